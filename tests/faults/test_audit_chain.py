"""A thousand audit entries, as they are exported: whichever is altered, deleted, moved or cut off, the verifier names it.

AUDIT_STEP is the distance between the entries that are tried, 1 for all. Prints one JSON line.
"""

import json
import os
from collections import Counter
from collections.abc import Callable
from copy import copy
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from navplane.crypto.audit_chain import FIRST_PREVIOUS, canonical, entry_hash
from navplane.crypto.audit_verify import ChainBroken, verify_exports
from navplane.crypto.kek_local import LocalKek
from navplane.custody.sign_audit import AuditSigner
from navplane.model.ids import new_id
from navplane.model.tenancy import Region

from tests.support.audit_seed import exported, public_keys, write
from tests.support.postgres import TestDatabase

ENTRIES = 1000
STEP = int(os.environ.get("AUDIT_STEP", "20"))
SIGNED_EVERY = 250
NOW = datetime(2026, 11, 21, 6, tzinfo=UTC)
Document = dict[str, Any]
Fields = ["actor", "action", "resource", "before", "after", "ip", "user_agent", "request_id", "occurred_at", "id"]


def altered(entries: list[Document], place: int) -> int:
    """One field of its content says something else; which one, goes by its place."""
    name = Fields[place % len(Fields)]
    entries[place] = {**entries[place], "entry": {**entries[place]["entry"], name: "forged"}}
    return place + 1


def deleted(entries: list[Document], place: int) -> int:
    del entries[place]
    return place + 1


def moved(entries: list[Document], place: int) -> int:
    other = place - 1 if place == len(entries) - 1 else place + 1
    entries[place], entries[other] = entries[other], entries[place]
    return min(place, other) + 1


def truncated(entries: list[Document], place: int) -> int:
    del entries[place:]
    return place + 1


def inserted(entries: list[Document], place: int) -> int:
    entries.insert(place, copy(entries[place]))
    return place + 2


TAMPERINGS: list[Callable[[list[Document], int], int]] = [altered, deleted, moved, truncated, inserted]


@pytest.fixture
def proof(databases: TestDatabase) -> tuple[Document, dict[UUID, bytes]]:
    org_id, kek = new_id(), LocalKek(os.urandom(32))
    signer = AuditSigner(database=databases.as_role("navplane_signer", size=1), kek=kek, region=Region.US)
    admin = databases.as_role("navplane_admin", size=1)
    for first in range(1, ENTRIES, SIGNED_EVERY):
        write(admin, org_id, SIGNED_EVERY, now=NOW, first=first)
        signer.sign(NOW)
    return exported(databases, org_id), dict(public_keys(databases))


def named(document: Document, keys: dict[UUID, bytes]) -> int | None:
    """The entry that the verifier names; None when it finds nothing wrong."""
    try:
        verify_exports([document], public_keys=keys)
    except ChainBroken as broken:
        return broken.sequence
    return None


def test_whatever_is_done_to_an_entry_the_verifier_names_it(proof: tuple[Document, dict[UUID, bytes]]) -> None:
    document, keys = proof
    assert named(document, keys) is None
    assert (len(document["entries"]), len(document["heads"])) == (ENTRIES, ENTRIES // SIGNED_EVERY)
    places = sorted({0, ENTRIES - 1, *range(0, ENTRIES, STEP)})
    misnamed: Counter[str] = Counter()
    for tampering in TAMPERINGS:
        for place in places:
            entries = list(document["entries"])
            due = tampering(entries, place)
            misnamed[tampering.__name__] += named({**document, "entries": entries}, keys) != due
    report = {
        "harness": "audit_chain",
        "entries": ENTRIES,
        "tamperings": len(TAMPERINGS) * len(places),
        "misnamed": misnamed.total(),
        "by_kind": {tampering.__name__: len(places) for tampering in TAMPERINGS},
    }
    print(json.dumps(report))
    assert misnamed.total() == 0, misnamed


def test_a_forger_who_makes_all_hashes_anew_is_caught_by_the_signed_heads(
    proof: tuple[Document, dict[UUID, bytes]],
) -> None:
    document, keys = proof
    place, previous, forged = 600, FIRST_PREVIOUS, []
    for entry in document["entries"]:
        said = {**entry["entry"], "actor": "forged"} if entry["sequence"] == place else entry["entry"]
        found = entry_hash(
            org_id=UUID(document["organization"]), sequence=entry["sequence"], previous=previous, entry=canonical(said)
        )
        forged.append({**entry, "entry": said, "previous_hash": previous.hex(), "hash": found.hex()})
        previous = found
    # Which of the entries since the last good head it was, no one can tell; that none before them was touched, anybody can.
    assert named({**document, "entries": forged}, keys) == 501


def test_heads_that_are_taken_out_or_of_another_key_vouch_for_nothing(
    proof: tuple[Document, dict[UUID, bytes]],
) -> None:
    document, keys = proof
    assert named({**document, "heads": []}, keys) == 0
    assert named(document, {}) == SIGNED_EVERY
    assert named(document, dict.fromkeys(keys, bytes(32))) == SIGNED_EVERY
    newest = document["heads"][-1]
    for forged in (
        {**newest, "sequence": 999},
        {**newest, "hash": "00" * 32},
        {**newest, "signed_at": "2027-01-01T00:00:00+00:00"},
    ):
        assert named({**document, "heads": [*document["heads"][:-1], forged]}, keys) == forged["sequence"]


def test_a_verifier_that_looks_at_the_links_alone_would_miss_what_was_cut_off(
    proof: tuple[Document, dict[UUID, bytes]],
) -> None:
    document, keys = proof
    cut = {**document, "entries": document["entries"][:-1]}
    assert named(cut, keys) == ENTRIES
    assert named({**cut, "heads": document["heads"][:-1]}, keys) is None
