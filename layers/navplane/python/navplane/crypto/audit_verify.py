"""Verifies an export of the audit offline, from it and the public keys alone, and names the first entry that is wrong."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from navplane.crypto.audit_chain import FIRST_PREVIOUS, PLATFORM, SignedHead, canonical, entry_hash
from navplane.crypto.signing import SignatureInvalid, verify

FORMAT = "navplane audit export v1"


class ChainBroken(Exception):
    """`sequence` is the first entry that is not as it was written; 0 when it is the export as a whole."""

    def __init__(self, sequence: int, reason: str) -> None:
        super().__init__(f"entry {sequence}: {reason}" if sequence else reason)
        self.sequence, self.reason = sequence, reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """`entries` from the first on are as they were written; of these the first `signed` are vouched for by a signature, and
    since `signed_at` nothing was taken from them."""

    organization: UUID
    entries: int
    signed: int
    signed_at: datetime


def verify_exports(documents: Sequence[Mapping[str, Any]], *, public_keys: Mapping[UUID, bytes]) -> Verified:
    """`documents` are the files of one organization's export, in order. Raise ChainBroken."""
    try:
        organization = _organization(documents)
        entries = [entry for document in documents for entry in document["entries"]]
        heads = [SignedHead.parse(head, org_id=organization) for document in documents for head in document["heads"]]
        hashes = _followed(entries, organization)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as exc:
        raise ChainBroken(0, "This is not an export of the audit, or it was damaged.") from exc
    newest = _vouched(heads, hashes, public_keys)
    return Verified(
        organization=organization, entries=len(entries), signed=newest.head.sequence, signed_at=newest.head.signed_at
    )


def _organization(documents: Sequence[Mapping[str, Any]]) -> UUID:
    names = {document["organization"] for document in documents}
    if any(document["format"] != FORMAT for document in documents) or len(names) != 1:
        raise ChainBroken(0, "These are not the files of one organization's export.")
    (name,) = names
    return UUID(name) if name is not None else PLATFORM


def _followed(entries: Sequence[Mapping[str, Any]], organization: UUID) -> list[bytes]:
    """The hash of each entry, and before them that of none. Raise ChainBroken at the first that does not follow the last."""
    hashes = [FIRST_PREVIOUS]
    places = {entry["sequence"] for entry in entries}
    for entry in entries:
        due = len(hashes)
        if entry["sequence"] != due:
            raise ChainBroken(due, "out of order" if due in places else "missing")
        if bytes.fromhex(entry["previous_hash"]) != hashes[-1]:
            raise ChainBroken(due, "altered: it does not follow the entry before it")
        hashes.append(_own_hash(entry, organization, previous=hashes[-1]))
    return hashes


def _own_hash(entry: Mapping[str, Any], organization: UUID, *, previous: bytes) -> bytes:
    sequence, said = entry["sequence"], entry["entry"]
    found = entry_hash(org_id=organization, sequence=sequence, previous=previous, entry=canonical(said))
    if found.hex() != entry["hash"]:
        raise ChainBroken(sequence, "altered: its content does not have its hash")
    if said["organization"] != (None if organization == PLATFORM else str(organization)):
        raise ChainBroken(sequence, "of another organization")
    return found


def _vouched(heads: Sequence[SignedHead], hashes: Sequence[bytes], public_keys: Mapping[UUID, bytes]) -> SignedHead:
    """The newest head. Raise ChainBroken for one that is forged, or that vouches for other entries than these."""
    ordered = sorted(heads, key=lambda signed: (signed.head.sequence, signed.head.signed_at))
    vouched = 0
    for signed in ordered:
        head = signed.head
        _check_signature(signed, public_keys)
        if head.sequence >= len(hashes):
            raise ChainBroken(len(hashes), f"missing: a signed head says that there are {head.sequence} entries")
        if hashes[head.sequence] != head.hash:
            raise ChainBroken(vouched + 1, f"altered: from here to {head.sequence} they are not those that were signed")
        vouched = head.sequence
    if not ordered:
        raise ChainBroken(0, "No signed head is in the export: nothing vouches for it. Heads are signed once a minute.")
    return ordered[-1]


def _check_signature(signed: SignedHead, public_keys: Mapping[UUID, bytes]) -> None:
    head = signed.head
    if head.key_id not in public_keys:
        raise ChainBroken(head.sequence, f"its head is signed by the key {head.key_id}, which is not among the public keys")
    try:
        verify(head.statement(), signed.signature, public_key=public_keys[head.key_id])
    except SignatureInvalid as exc:
        raise ChainBroken(head.sequence, "the signature of its head is not valid") from exc
