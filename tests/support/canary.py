"""Finding a secret in whatever it may have leaked into, in every spelling that software gives to text."""

import base64
import json
from collections.abc import Iterator
from urllib.parse import quote


def spellings(secret: str) -> Iterator[bytes]:
    """As itself, base64 at each alignment, hexadecimal, and escaped for a URL and for JSON."""
    raw = secret.encode()
    yield from (
        raw,
        raw.hex().encode(),
        raw.hex().upper().encode(),
        quote(secret, safe="").encode(),
        json.dumps(secret)[1:-1].encode(),
    )
    for lead in range(3):
        encoded = base64.b64encode(b"\x00" * lead + raw)
        # What of it does not depend on its neighbours: whole groups inside.
        yield encoded[4 : len(encoded) // 4 * 4 - 4]
        yield base64.urlsafe_b64encode(b"\x00" * lead + raw)[4 : len(encoded) // 4 * 4 - 4]


def found(secret: str, haystack: bytes) -> list[bytes]:
    return [spelling for spelling in spellings(secret) if spelling in haystack]
