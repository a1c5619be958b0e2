"""The audit's chain: who may add to it, what is signed of it, and that what was changed behind its back is not signed."""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from navplane.crypto.audit_chain import canonical
from navplane.crypto.audit_verify import ChainBroken, verify_exports
from navplane.crypto.kek_local import LocalKek
from navplane.custody.sign_audit import AuditBroken, AuditSigner, follows
from navplane.errors import DecryptionError
from navplane.model.ids import new_id
from navplane.model.tenancy import Region
from navplane.store import audit, audit_heads
from navplane.store.database import Database, sqlstate
from pg8000.exceptions import DatabaseError

from tests.support.audit_seed import event, exported, public_keys, write
from tests.support.postgres import TestDatabase

NOW = datetime(2026, 11, 21, 6, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def admin(databases: TestDatabase) -> Database:
    return databases.as_role("navplane_admin")


@pytest.fixture
def signer(databases: TestDatabase) -> AuditSigner:
    kek = LocalKek(os.urandom(32))
    return AuditSigner(database=databases.as_role("navplane_signer", size=1), kek=kek, region=Region.US)


def verified(databases: TestDatabase, org_id: UUID | None) -> tuple[int, int]:
    found = verify_exports([exported(databases, org_id)], public_keys=public_keys(databases))
    return found.entries, found.signed


def tamper(databases: TestDatabase, sql: str, **arguments: object) -> None:
    with databases.superuser() as db:
        db.run(sql, **arguments)


def test_what_was_written_is_signed_once_and_verifies(databases: TestDatabase, admin: Database, signer: AuditSigner) -> None:
    one, other = new_id(), new_id()
    write(admin, one, 5, now=NOW)
    write(admin, other, 2, now=NOW)
    write(admin, None, 1, now=NOW)
    assert signer.sign(NOW) == 3
    assert [verified(databases, org_id) for org_id in (one, other, None)] == [(5, 5), (2, 2), (1, 1)]
    assert signer.sign(NOW) == 0
    write(admin, one, 3, now=NOW, first=6)
    assert verified(databases, one) == (8, 5)
    assert signer.sign(NOW) == 1
    assert verified(databases, one) == (8, 8)
    assert len(public_keys(databases)) == 1


def test_a_chain_that_rests_is_signed_again_each_day(databases: TestDatabase, admin: Database, signer: AuditSigner) -> None:
    org_id = new_id()
    write(admin, org_id, 1, now=NOW)
    assert [signer.sign(NOW + DAY * n / 2) for n in range(5)] == [1, 0, 0, 1, 0]
    found = verify_exports([exported(databases, org_id)], public_keys=public_keys(databases))
    assert found.signed_at == NOW + DAY * 1.5


def test_what_is_added_while_a_chain_is_followed_is_no_break(
    databases: TestDatabase, admin: Database, signer: AuditSigner
) -> None:
    org_id = new_id()
    write(admin, org_id, 3, now=NOW)
    with signer.database.transaction() as db:
        (chain,) = audit_heads.unsigned(db, signed_before=NOW - DAY, limit=10)
        write(admin, org_id, 2, now=NOW, first=4)
        assert follows(db, chain)
        assert not follows(db, replace(chain, hash=bytes(32)))
        assert not follows(db, replace(chain, sequence=6))


def test_a_long_export_is_verified_file_by_file_and_only_as_a_whole(
    databases: TestDatabase, admin: Database, signer: AuditSigner
) -> None:
    org_id = new_id()
    write(admin, org_id, 25, now=NOW)
    signer.sign(NOW)
    files = [exported(databases, org_id, first=first, limit=10) for first in (1, 11, 21)]
    assert [file["next_sequence"] for file in files] == [11, 21, None]
    keys = public_keys(databases)
    assert verify_exports(files, public_keys=keys).entries == 25
    for wrong, named in ((files[:2], 21), (files[1:], 1), ([files[0], files[2]], 11), (files[::-1], 1)):
        with pytest.raises(ChainBroken) as broken:
            verify_exports(wrong, public_keys=keys)
        assert broken.value.sequence == named


def test_places_have_no_gaps_whoever_writes_at_once_and_whatever_is_taken_back(
    databases: TestDatabase, admin: Database, signer: AuditSigner
) -> None:
    org_id = new_id()

    def one(number: int) -> None:
        class Undo(Exception):
            pass

        try:
            with admin.transaction(org_id=org_id) as db:
                audit.append(db, canonical(event(org_id, number, now=NOW).entry()))
                if number % 3 == 0:
                    raise Undo
        except Undo:
            pass

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(one, range(30)))
    signer.sign(NOW)
    assert verified(databases, org_id) == (20, 20)


def test_nobody_adds_to_another_organizations_chain_or_past_the_function(databases: TestDatabase, admin: Database) -> None:
    mine, other = new_id(), new_id()
    for context, belongs in ((mine, other), (None, other), (mine, None)):
        with pytest.raises(DatabaseError) as refused, admin.transaction(org_id=context) as db:
            audit.append(db, canonical(event(belongs, 1, now=NOW).entry()))
        assert sqlstate(refused.value) == "42501"
    for role in ("navplane_admin", "navplane_reader", "navplane_writer", "navplane_signer", "navplane_rewrap"):
        for sql in (
            "INSERT INTO audit_events (id, actor, action, resource, occurred_at) VALUES (gen_random_uuid(), '', '', '', now())",
            "UPDATE audit_events SET actor = 'x'",
            "DELETE FROM audit_events",
            "UPDATE audit_chains SET sequence = 0",
            "DELETE FROM audit_heads",
            "UPDATE audit_heads SET sequence = 0",
        ):
            with pytest.raises(DatabaseError) as refused, databases.as_role(role, size=1).transaction(org_id=mine) as db:
                db.run(sql)
            assert sqlstate(refused.value) == "42501", (role, sql)


ALTERED = [
    "UPDATE audit_events SET entry = replace(entry, 'limit:update', 'limit:delete') WHERE org_id = :org AND sequence = 3",
    "UPDATE audit_events SET hash = sha256('x') WHERE org_id = :org AND sequence = 3",
    "DELETE FROM audit_events WHERE org_id = :org AND sequence = 3",
    "UPDATE audit_events SET sequence = 9 - sequence WHERE org_id = :org AND sequence IN (4, 5)",
    "DELETE FROM audit_events WHERE org_id = :org AND sequence = 5",
    "UPDATE audit_chains SET sequence = 1 WHERE org_id = :org",
]


@pytest.mark.parametrize("sql", ALTERED)
def test_a_chain_that_was_tampered_with_is_not_signed_and_the_others_are(
    databases: TestDatabase, admin: Database, signer: AuditSigner, sql: str
) -> None:
    org_id, other = new_id(), new_id()
    write(admin, org_id, 2, now=NOW)
    signer.sign(NOW)
    write(admin, org_id, 3, now=NOW, first=3)
    write(admin, other, 1, now=NOW)
    tamper(databases, "DROP INDEX audit_events_by_sequence")
    tamper(databases, sql, org=org_id)
    with pytest.raises(AuditBroken):
        signer.sign(NOW)
    assert verified(databases, other) == (1, 1)
    with pytest.raises((ChainBroken, AssertionError)):
        assert verified(databases, org_id) == (5, 5)


def test_the_signers_key_opens_under_its_own_kek_and_place_only(
    databases: TestDatabase, admin: Database, signer: AuditSigner
) -> None:
    write(admin, new_id(), 1, now=NOW)
    signer.sign(NOW)
    write(admin, new_id(), 1, now=NOW)
    with pytest.raises(DecryptionError):
        replace(signer, kek=LocalKek(os.urandom(32))).sign(NOW)
    with databases.superuser() as db:
        db.run("ALTER TABLE audit_heads DROP CONSTRAINT audit_heads_key_id_fkey")
        db.run("UPDATE audit_keys SET id = gen_random_uuid()")
    with pytest.raises(DecryptionError):
        signer.sign(NOW)


def test_a_region_has_a_key_of_its_own(databases: TestDatabase, admin: Database, signer: AuditSigner) -> None:
    write(admin, None, 1, now=NOW)
    signer.sign(NOW)
    eu = replace(signer, region=Region.EU, kek=LocalKek(os.urandom(32)))
    assert eu.sign(NOW + DAY * 2) == 1
    assert len(public_keys(databases)) == 2
    assert verified(databases, None) == (1, 1)
    assert exported(databases, None)["organization"] is None
