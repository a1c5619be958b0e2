"""The audit's chain: what of an entry is hashed, and what of a head is signed. Anybody can repeat both offline.

Entry v1: SHA-256 over version (1 byte, 0x01), organization (16; zeros for the platform), sequence (8, big-endian, from 1), the
hash before it (32; zeros for the first), and the entry as canonical JSON. The database repeats it (0039_audit_chain.sql).

Head v1: Ed25519 (RFC 8032) over a label and the head as canonical JSON.

What may never change for version 1: all of that, the names of the fields, and what canonical means. A change is version 2.
"""

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self
from uuid import UUID

VERSION = b"\x01"
PLATFORM = UUID(int=0)
FIRST_PREVIOUS = bytes(32)
HEAD_LABEL = b"navplane audit head v1\x00"


def canonical(value: Any) -> str:
    """JSON in ASCII, keys in the order of their code points, no spaces. Ids and decimals become text. Raise ValueError for a
    number that JSON can't say."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False, default=str)


def entry_hash(*, org_id: UUID, sequence: int, previous: bytes, entry: str) -> bytes:
    place = VERSION + org_id.bytes + sequence.to_bytes(8, "big") + previous
    return hashlib.sha256(place + entry.encode("ascii")).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """Where a chain stood when it was signed: `sequence` entries, the last of them with `hash`."""

    org_id: UUID
    sequence: int
    hash: bytes
    signed_at: datetime
    key_id: UUID

    def statement(self) -> bytes:
        """What is signed."""
        fields = {
            "organization": self.org_id,
            "sequence": self.sequence,
            "hash": self.hash.hex(),
            "signed_at": self.signed_at.isoformat(),
            "key_id": self.key_id,
        }
        return HEAD_LABEL + canonical(fields).encode("ascii")


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedHead:
    head: Head
    signature: bytes

    def document(self) -> dict[str, object]:
        """As it stands in an export."""
        return {
            "sequence": self.head.sequence,
            "hash": self.head.hash.hex(),
            "signed_at": self.head.signed_at.isoformat(),
            "key_id": str(self.head.key_id),
            "signature": base64.b64encode(self.signature).decode(),
        }

    @classmethod
    def parse(cls, document: Mapping[str, Any], *, org_id: UUID) -> Self:
        """Raise KeyError, TypeError or ValueError for what `document` never made."""
        head = Head(
            org_id=org_id,
            sequence=int(document["sequence"]),
            hash=bytes.fromhex(document["hash"]),
            signed_at=datetime.fromisoformat(document["signed_at"]),
            key_id=UUID(document["key_id"]),
        )
        return cls(head=head, signature=base64.b64decode(document["signature"], validate=True))
