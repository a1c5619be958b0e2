"""The key-encryption key: wraps and unwraps data keys under an encryption context.

Two Protocols, because most of NavPlane may only do the first: `admin_provider_keys` holds a KekWrapper, the proxy a
KekUnwrapper, and only `rewrap_keys` both. tests/contract/kek holds every implementation to one suite.
"""

from collections.abc import Mapping
from typing import Protocol


class KekWrapper(Protocol):
    @property
    def kek_id(self) -> str:
        """Names this KEK for good; stored with every wrapped key. At most 255 bytes of ASCII."""
        ...

    def wrap(self, dek: bytes, *, context: Mapping[str, str]) -> bytes:
        """Raise DependencyUnavailable when the KEK can't be reached."""
        ...


class KekUnwrapper(Protocol):
    def unwrap(self, wrapped: bytes, *, kek_id: str, context: Mapping[str, str]) -> bytes:
        """Raise DecryptionError when it does not authenticate, DependencyUnavailable when the KEK can't be reached."""
        ...


class Kek(KekWrapper, KekUnwrapper, Protocol):
    """Both halves: for a rotation, and for who keeps a sealed key of its own."""
