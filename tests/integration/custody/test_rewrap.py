"""Rotation of the KEK: everything moves, nothing is lost, and nobody seals under a KEK that goes."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from itertools import permutations
from threading import Barrier
from uuid import UUID

import boto3
import pytest
from navplane.crypto.envelope import kek_id_of, open_sealed, rewrap
from navplane.crypto.kek import Kek
from navplane.crypto.kek_aws_kms import AwsKmsKek
from navplane.crypto.kek_local import LocalKek
from navplane.crypto.kek_ring import KekRing
from navplane.custody.rewrap import Rewrapper
from navplane.errors import ConfigurationError, Conflict, DecryptionError, DependencyUnavailable, KekRetired
from navplane.model.provider_key import SealedFor
from navplane.store import kek_rotations, sealed_values
from navplane.store.database import Connection
from navplane.store.sealed_values import SEALED_TABLES

from tests.support.moto_server import aws_environment, moto_server
from tests.support.postgres import TestDatabase
from tests.support.sealed_seed import Vault, kek_ids_agree, stored

NOW = datetime(2026, 11, 21, 7, tzinfo=UTC)


def now() -> datetime:
    return NOW


@pytest.fixture
def superuser(databases: TestDatabase) -> Iterator[Connection]:
    with databases.superuser() as connection:
        yield connection


@pytest.fixture
def old() -> LocalKek:
    return LocalKek(os.urandom(32))


@pytest.fixture
def new() -> LocalKek:
    return LocalKek(os.urandom(32))


@pytest.fixture
def vault(superuser: Connection, old: LocalKek) -> Vault:
    filled = Vault()
    filled.fill(superuser, old, provider_keys=5)
    return filled


@pytest.fixture
def rewrapper(databases: TestDatabase, old: LocalKek, new: LocalKek) -> Rewrapper:
    return Rewrapper(database=databases.as_role("navplane_rewrap", size=1), old=old, new=new)


def test_everything_is_sealed_under_the_new_kek_and_opens_to_the_same(
    rewrapper: Rewrapper, vault: Vault, superuser: Connection, old: LocalKek, new: LocalKek
) -> None:
    before = dict(superuser.run("SELECT id, sealed FROM provider_keys"))
    progress = rewrapper.run(now=now)
    assert (progress.rewrapped, progress.unreadable, progress.remaining, progress.finished) == (6, 0, 0, True)
    assert vault.opened(superuser, new) == vault.payloads
    assert kek_ids_agree(superuser)
    # The ciphertext is what it was; only the header is another one.
    after = dict(superuser.run("SELECT id, sealed FROM provider_keys"))
    assert all(after[key][-56:] == before[key][-56:] and after[key] != before[key] for key in before)
    with pytest.raises(DecryptionError):
        vault.opened(superuser, old)
    outbox = superuser.run("SELECT count(*) FROM outbox WHERE aggregate = 'organization'")
    assert outbox == [[5]]


def test_running_it_again_changes_nothing(rewrapper: Rewrapper, vault: Vault, superuser: Connection) -> None:
    rewrapper.run(now=now)
    before = stored(superuser)
    assert rewrapper.run(now=now).rewrapped == 0
    assert stored(superuser) == before
    with rewrapper.database.transaction() as db:
        (rotation,) = kek_rotations.rotations(db)
    assert (rotation.rewrapped, rotation.finished_at) == (6, NOW)
    events = superuser.run("SELECT org_id, action, resource, after->>'successor' FROM audit_events ORDER BY sequence")
    resource = f"kek/{rewrapper.old.kek_id}"
    assert events == [[None, action, resource, rewrapper.new.kek_id] for action in ("kek:rotate", "kek:retire")]


def test_it_stops_between_two_rows_when_its_time_is_up_and_goes_on_where_it_was(
    rewrapper: Rewrapper, vault: Vault, superuser: Connection, old: LocalKek, new: LocalKek
) -> None:
    turns = iter([True, True, False])
    progress = rewrapper.run(now=now, goes_on=lambda: next(turns))
    assert (progress.rewrapped, progress.remaining, progress.finished) == (2, 4, False)
    assert vault.opened(superuser, KekRing(current=old, successor=new)) == vault.payloads
    assert rewrapper.run(now=now).rewrapped == 4


def test_two_at_once_do_each_row_once(
    rewrapper: Rewrapper, databases: TestDatabase, superuser: Connection, vault: Vault
) -> None:
    vault.fill(superuser, rewrapper.old, provider_keys=25, audit_keys=0)
    barrier = Barrier(2)
    other = replace(rewrapper, database=databases.as_role("navplane_rewrap", size=1))

    def run(one: Rewrapper) -> int:
        barrier.wait()
        return one.run(now=now).rewrapped

    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(run, (rewrapper, other)))
    assert sum(done) == 31
    assert vault.opened(superuser, rewrapper.new) == vault.payloads


def test_the_new_kek_must_be_another_one(rewrapper: Rewrapper, vault: Vault, superuser: Connection) -> None:
    with pytest.raises(ConfigurationError, match="the old one"):
        replace(rewrapper, new=rewrapper.old).run(now=now)
    assert superuser.run("SELECT count(*) FROM kek_rotations") == [[0]]


class OneWay(LocalKek):
    """A key that wraps and does not unwrap, as a policy may have it."""

    def unwrap(self, wrapped: bytes, **where: object) -> bytes:
        raise DependencyUnavailable("denied")


def test_a_new_kek_that_does_not_work_is_noticed_before_anything_changes(
    rewrapper: Rewrapper, vault: Vault, superuser: Connection
) -> None:
    before = stored(superuser)
    with pytest.raises(DependencyUnavailable):
        replace(rewrapper, new=OneWay(os.urandom(32))).run(now=now)
    assert stored(superuser) == before
    assert superuser.run("SELECT count(*) FROM kek_rotations") == [[0]]


def test_a_value_that_does_not_open_is_left_alone_and_keeps_the_old_kek(
    rewrapper: Rewrapper, vault: Vault, superuser: Connection
) -> None:
    (broken,) = superuser.run("SELECT id FROM provider_keys LIMIT 1")[0]
    superuser.run("UPDATE provider_keys SET region = 'eu' WHERE id = :id", id=broken)
    progress = rewrapper.run(now=now)
    assert (progress.rewrapped, progress.unreadable, progress.remaining, progress.finished) == (5, 1, 1, False)
    superuser.run("UPDATE provider_keys SET region = 'us' WHERE id = :id", id=broken)
    assert rewrapper.run(now=now).finished
    assert vault.opened(superuser, rewrapper.new) == vault.payloads


def test_a_row_that_changed_since_it_was_read_is_not_overwritten(
    rewrapper: Rewrapper, vault: Vault, superuser: Connection
) -> None:
    deleted: list[UUID] = []

    def at(point: str) -> None:
        if point == "provider_keys row rewrapped" and not deleted:
            deleted.append(superuser.run("SELECT min(id::text)::uuid FROM provider_keys")[0][0])
            superuser.run("UPDATE provider_keys SET sealed = '', deleted_at = now() WHERE id = :id", id=deleted[0])

    progress = replace(rewrapper, at=at).run(now=now)
    assert (progress.rewrapped, progress.finished) == (5, True)
    assert superuser.run("SELECT length(sealed) FROM provider_keys WHERE id = :id", id=deleted[0]) == [[0]]


def test_nothing_is_sealed_under_a_kek_that_goes(
    rewrapper: Rewrapper, vault: Vault, databases: TestDatabase, superuser: Connection, old: LocalKek, new: LocalKek
) -> None:
    with suppress(StopIteration):
        rewrapper.run(now=now, goes_on=lambda: False)
    admin = databases.as_role("navplane_admin", size=1)
    org_id = superuser.run("SELECT org_id FROM provider_keys LIMIT 1")[0][0]

    def store(kek: Kek) -> None:
        with admin.transaction(org_id=org_id) as db:
            db.run(
                "INSERT INTO provider_keys (org_id, id, provider, label, key_hint, region, sealed, kek_id)"
                " VALUES (:org, gen_random_uuid(), 'openai', gen_random_uuid()::text, 'abcd', 'us', 'sealed', :kek)",
                org=org_id,
                kek=kek.kek_id,
            )

    store(new)
    with pytest.raises(KekRetired):
        store(old)
    superuser.run("DELETE FROM provider_keys WHERE sealed = 'sealed'")
    assert rewrapper.run(now=now).finished
    with pytest.raises(KekRetired):
        store(old)


def test_the_start_waits_for_what_is_being_sealed_and_finds_it(
    rewrapper: Rewrapper, databases: TestDatabase, superuser: Connection, old: LocalKek
) -> None:
    vault = Vault()
    with ThreadPoolExecutor(1) as pool, databases.superuser() as sealing:
        sealing.run("BEGIN")
        vault.provider_key(sealing, old)
        running = pool.submit(rewrapper.run, now=now)
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'advisory'"
        while superuser.run(waiting) == [[0]]:
            assert not running.done()
        sealing.run("COMMIT")
        assert running.result(timeout=30).rewrapped == 1


def test_rotations_of_the_same_keks_do_not_cross_and_others_do_not_matter(
    rewrapper: Rewrapper, vault: Vault, superuser: Connection
) -> None:
    rewrapper.run(now=now, goes_on=lambda: False)
    third = LocalKek(os.urandom(32))
    for crossing in (replace(rewrapper, new=third), replace(rewrapper, old=rewrapper.new, new=rewrapper.old),
                     replace(rewrapper, old=rewrapper.new, new=third), replace(rewrapper, old=third)):  # fmt: skip
        with pytest.raises(Conflict, match="finish it first"):
            crossing.run(now=now)
    elsewhere = replace(rewrapper, old=third, new=LocalKek(os.urandom(32)))
    assert elsewhere.run(now=now).finished
    assert rewrapper.run(now=now).finished


def test_there_and_back_again(rewrapper: Rewrapper, vault: Vault, superuser: Connection, old: LocalKek) -> None:
    rewrapper.run(now=now)
    back = replace(rewrapper, old=rewrapper.new, new=old)
    assert back.run(now=now).finished
    assert vault.opened(superuser, old) == vault.payloads
    assert rewrapper.run(now=now).finished


def test_a_local_key_gives_way_to_kms_and_one_kms_key_to_another(
    databases: TestDatabase, superuser: Connection, vault: Vault, old: LocalKek, monkeypatch: pytest.MonkeyPatch
) -> None:
    with moto_server() as endpoint:
        for name, value in aws_environment(endpoint).items():
            monkeypatch.setenv(name, value)
        kms = boto3.session.Session().client("kms")
        first, second = (AwsKmsKek(kms.create_key()["KeyMetadata"]["Arn"]) for _ in range(2))
        database = databases.as_role("navplane_rewrap", size=1)
        steps: list[tuple[Kek, Kek]] = [(old, first), (first, second), (second, old)]
        for before, after in steps:
            assert Rewrapper(database=database, old=before, new=after).run(now=now).finished
            assert vault.opened(superuser, after) == vault.payloads


# -- what is sealed opens in its own place only, before and after --------------------------------------------------------


def test_a_sealed_value_moved_anywhere_is_refused_before_and_after_a_rotation(
    rewrapper: Rewrapper, vault: Vault, superuser: Connection, old: LocalKek, new: LocalKek
) -> None:
    ring = KekRing(current=old, successor=new)
    for _ in range(2):
        values, swaps = stored(superuser), 0
        for (place, _own), (_other_place, other) in permutations(values, 2):
            with pytest.raises(DecryptionError):
                open_sealed(other, context=place, kek=ring)
            with pytest.raises(DecryptionError):
                rewrap(other, context=place, old=ring, new=new)
            swaps += 1
        for place, sealed in values:
            elsewhere = [
                replace(place, org_id=UUID(int=7)), replace(place, provider_key_id=UUID(int=7)), replace(place, provider="x"),
                replace(place, region="eu"), *(replace(place, kind=kind) for kind in SealedFor if kind is not place.kind),
            ]  # fmt: skip
            for moved in elsewhere:
                with pytest.raises(DecryptionError):
                    open_sealed(sealed, context=moved, kek=ring)
        assert swaps == 30
        rewrapper.run(now=now)
    assert {kek_id_of(sealed) for _, sealed in stored(superuser)} == {new.kek_id}


# -- the list of what is sealed ------------------------------------------------------------------------------------------

SEALED_COLUMNS = """
SELECT DISTINCT c.table_name FROM information_schema.columns AS c
 WHERE c.table_schema = 'public' AND (c.column_name IN ('sealed', 'kek_id') OR c.column_name LIKE '%sealed%')
"""
FENCED = "SELECT tgrelid::regclass::text FROM pg_trigger WHERE tgname = 'kek_fence'"


def test_every_table_that_holds_something_sealed_is_in_the_list_fenced_and_open_to_the_rotation(
    databases: TestDatabase, superuser: Connection
) -> None:
    listed = {table.name for table in SEALED_TABLES}
    assert {row[0] for row in superuser.run(SEALED_COLUMNS)} == listed
    assert {row[0] for row in superuser.run(FENCED)} == listed
    assert len({table.kind for table in SEALED_TABLES}) == len(SEALED_TABLES)
    with databases.as_role("navplane_rewrap", size=1).transaction() as db:
        assert sealed_values.by_kek(db) == {}
        for table in SEALED_TABLES:
            assert sealed_values.page(db, table, kek_id="none", after=UUID(int=0), limit=1) == []
