"""Once a kill or a revocation is acknowledged, nothing is admitted any more; it waits for the admissions under way."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from navplane.gate.gate import Admission, Refusal, RefusalReason
from navplane.gate.gate_postgres import ADMIT, PostgresGate, admit_arguments
from pg8000.native import Connection

from tests.support.gate_seed_postgres import NOW, PostgresSeed, Tenant
from tests.support.postgres import TestDatabase


@pytest.fixture
def seed(databases: TestDatabase) -> PostgresSeed:
    return PostgresSeed(databases.as_role("navplane_admin"))


@pytest.fixture
def tenant(seed: PostgresSeed) -> Tenant:
    return Tenant(seed)


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as pool:
        yield pool


@pytest.fixture
def superuser(databases: TestDatabase) -> Iterator[Connection]:
    with databases.superuser() as connection:
        yield connection


@contextmanager
def admission_under_way(databases: TestDatabase, tenant: Tenant) -> Iterator[None]:
    """One admission that has been decided and is not committed yet; it commits at the end."""
    with databases.as_role("navplane_gate").transaction() as db:
        rows = db.run(ADMIT, **admit_arguments(tenant.ask(), NOW))
        assert rows[0][0] is None
        yield


def wait_until_blocked(superuser: Connection, *, sessions: int = 1) -> None:
    """Return when that many other sessions of this database wait for a lock."""
    deadline = time.monotonic() + 10
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    while superuser.run(waiting)[0][0] < sessions:
        assert time.monotonic() < deadline, "nobody waits for a lock"
        time.sleep(0.005)


Change = Callable[[PostgresSeed, Tenant], None]
CHANGES: list[tuple[Change, RefusalReason]] = [
    (lambda seed, tenant: seed.set_enabled(tenant.org_id, False), RefusalReason.ORGANIZATION_DISABLED),
    (lambda seed, tenant: seed.revoke(tenant.caller.key_id), RefusalReason.INVALID_KEY),
    (lambda seed, tenant: seed.delete_organization(tenant.org_id), RefusalReason.INVALID_KEY),
]
NAMES = ["kill", "revoke", "delete"]


@pytest.mark.parametrize(("change", "reason"), CHANGES, ids=NAMES)
def test_the_change_waits_for_admissions_under_way_and_none_follows_it(
    databases: TestDatabase, seed: PostgresSeed, tenant: Tenant, threads: ThreadPoolExecutor, superuser: Connection,
    change: Change, reason: RefusalReason,
) -> None:  # fmt: skip
    gate = PostgresGate(databases.as_role("navplane_gate"))
    with admission_under_way(databases, tenant):
        changing = threads.submit(change, seed, tenant)
        wait_until_blocked(superuser)
        following: Future[Admission | Refusal] = threads.submit(gate.admit, tenant.ask(), NOW)
        wait_until_blocked(superuser, sessions=2)
        assert not changing.done()
        assert not following.done()
    changing.result(timeout=10)
    assert following.result(timeout=10) == Refusal(reason=reason, caller=tenant.caller)


def test_the_row_locks_alone_make_a_change_wait(
    databases: TestDatabase, tenant: Tenant, threads: ThreadPoolExecutor, superuser: Connection
) -> None:
    def kill_without_queueing() -> None:
        with databases.superuser() as other:
            other.run("UPDATE public.organizations SET enabled = false WHERE id = :id", id=tenant.org_id)

    with admission_under_way(databases, tenant):
        killing = threads.submit(kill_without_queueing)
        wait_until_blocked(superuser)
        assert not killing.done()
    killing.result(timeout=10)


def test_a_gate_that_takes_no_lock_would_be_caught(
    databases: TestDatabase, seed: PostgresSeed, tenant: Tenant, threads: ThreadPoolExecutor, superuser: Connection
) -> None:
    definition = superuser.run("SELECT pg_get_functiondef('public.gate_caller'::regproc)")[0][0]
    unlocked = definition.replace("FOR SHARE OF k, o", "").replace("pg_advisory_xact_lock_shared", "abs")
    assert unlocked != definition
    superuser.execute_simple(unlocked)
    with admission_under_way(databases, tenant):
        threads.submit(seed.set_enabled, tenant.org_id, False).result(timeout=10)


def test_one_organizations_change_does_not_wait_for_anothers_admissions(
    databases: TestDatabase, seed: PostgresSeed, tenant: Tenant, threads: ThreadPoolExecutor
) -> None:
    other = Tenant(seed)
    with admission_under_way(databases, tenant):
        threads.submit(seed.set_enabled, other.org_id, False).result(timeout=10)


def test_nothing_is_admitted_after_the_acknowledgement_whatever_the_load(
    databases: TestDatabase, seed: PostgresSeed, tenant: Tenant, threads: ThreadPoolExecutor
) -> None:
    gate = PostgresGate(databases.as_role("navplane_gate", size=6))
    acknowledged, running = threading.Event(), threading.Barrier(7)

    def hammer() -> tuple[int, int]:
        before = after = 0
        running.wait()
        while after < 5:
            was_acknowledged = acknowledged.is_set()
            admitted = isinstance(gate.admit(tenant.ask(), NOW), Admission)
            before += admitted
            assert not (was_acknowledged and admitted)
            after += was_acknowledged
        return before, after

    for _ in range(5):
        clients = [threads.submit(hammer) for _ in range(6)]
        running.wait()
        gate.admit(tenant.ask(), NOW)
        seed.set_enabled(tenant.org_id, False)
        acknowledged.set()
        counts = [client.result(timeout=30) for client in clients]
        assert all(after == 5 for _, after in counts)
        seed.set_enabled(tenant.org_id, True)
        acknowledged.clear()
