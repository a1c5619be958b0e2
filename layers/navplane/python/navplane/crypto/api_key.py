"""API keys: a known prefix and a UUID4. Only the SHA-256 is stored, so a copy of the database signs nobody in."""

import hashlib
import re
from collections.abc import Sequence
from uuid import uuid4

UUID4 = "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"


def new_api_key(prefix: str) -> str:
    """122 random bits from the operating system: a plain hash is enough, nobody can enumerate them."""
    return f"{prefix}{uuid4()}"


def digest(key: str) -> bytes:
    """The 32 bytes under which a key is stored and looked up. Never changes: stored digests can't be computed again."""
    return hashlib.sha256(key.encode()).digest()


def hint(key: str) -> str:
    """The last four characters: enough to recognise a key in a list, of no use to find it."""
    return key[-4:]


class ApiKeyShape:
    """Tells what could be an API key before anything is asked of a dependency."""

    def __init__(self, prefixes: Sequence[str]) -> None:
        alternatives = "|".join(re.escape(prefix) for prefix in prefixes)
        self._pattern = re.compile(f"(?:{alternatives}){UUID4}")

    def accepts(self, text: str) -> bool:
        return self._pattern.fullmatch(text) is not None
