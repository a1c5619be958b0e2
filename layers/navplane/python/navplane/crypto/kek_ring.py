"""Two KEKs while one replaces the other: both open, and it is the database that says which one seals."""

from collections.abc import Mapping
from dataclasses import dataclass

from navplane.crypto.kek import Kek
from navplane.errors import DecryptionError


@dataclass(frozen=True, slots=True, kw_only=True)
class KekRing:
    """A Kek. It wraps with `current`; what `successor` wrapped is unwrapped too. Until the rotation has begun everybody must
    seal under the one that everybody can open."""

    current: Kek
    successor: Kek

    @property
    def kek_id(self) -> str:
        return self.current.kek_id

    def wrap(self, dek: bytes, *, context: Mapping[str, str]) -> bytes:
        return self.current.wrap(dek, context=context)

    def unwrap(self, wrapped: bytes, *, kek_id: str, context: Mapping[str, str]) -> bytes:
        for kek in (self.current, self.successor):
            if kek.kek_id == kek_id:
                return kek.unwrap(wrapped, kek_id=kek_id, context=context)
        raise DecryptionError
