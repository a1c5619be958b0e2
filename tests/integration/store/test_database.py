"""The pool and its transactions: what is lent again, what is thrown away, and which failures are whose."""

import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress

import pytest
from navplane.errors import DependencyUnavailable, NotFound
from navplane.model.ids import new_id
from navplane.store.database import MAX_AGE_SECONDS, MAX_IDLE_SECONDS, Database, connector, sqlstate
from pg8000.exceptions import DatabaseError, InterfaceError
from pg8000.native import Connection

from tests.support.postgres import TestCluster, TestDatabase, running_cluster


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pool(postgres: TestCluster, module_database: TestDatabase, clock: Clock) -> Iterator[Database]:
    connect = postgres.connector(module_database.name, "navplane_admin", timeout_seconds=5.0)
    database = Database(connect, size=1, wait_seconds=0.05, clock=clock)
    yield database
    database.close()


@pytest.fixture
def superuser(module_database: TestDatabase) -> Iterator[Connection]:
    with closing(module_database.superuser()) as connection:
        yield connection


def backend(pool: Database) -> int:
    """The server process behind the pool's one connection: another number is another connection."""
    with pool.connection() as db:
        pid: int = db.run("SELECT pg_backend_pid()")[0][0]
        return pid


def test_a_connection_is_lent_again(pool: Database) -> None:
    assert backend(pool) == backend(pool)


def test_a_plain_sql_error_reaches_the_caller_and_keeps_the_connection(pool: Database) -> None:
    before = backend(pool)
    with pytest.raises(DatabaseError) as caught, pool.connection() as db:
        db.run("SELECT 1 / 0")
    assert sqlstate(caught.value) == "22012"
    assert backend(pool) == before


def test_the_bodys_own_failure_keeps_the_connection(pool: Database) -> None:
    before = backend(pool)
    with pytest.raises(NotFound), pool.transaction():
        raise NotFound("no such thing")
    with pytest.raises(KeyError), pool.connection():
        raise KeyError
    assert backend(pool) == before


def test_a_transaction_left_open_is_thrown_away_with_its_connection(pool: Database) -> None:
    before = backend(pool)
    with pool.connection() as db:
        db.run("BEGIN")
    assert backend(pool) != before


@pytest.mark.parametrize("seconds", [MAX_IDLE_SECONDS, MAX_AGE_SECONDS])
def test_what_lay_idle_too_long_by_the_wall_clock_is_not_lent_again(pool: Database, clock: Clock, seconds: float) -> None:
    before = backend(pool)
    clock.now += seconds
    assert backend(pool) != before


def test_what_is_too_old_is_not_lent_again_however_busy(pool: Database, clock: Clock) -> None:
    before = backend(pool)
    for _ in range(int(MAX_AGE_SECONDS // 50)):
        assert backend(pool) == before
        clock.now += 50
    assert backend(pool) != before


def test_a_connection_that_the_server_closed_meanwhile_is_noticed_before_it_is_lent(
    pool: Database, superuser: Connection
) -> None:
    before = backend(pool)
    superuser.run("SELECT pg_terminate_backend(:pid, 5000)", pid=before)
    assert backend(pool) != before


def test_a_connection_that_breaks_while_it_is_lent_is_a_dependencys_failure(pool: Database, superuser: Connection) -> None:
    def broken() -> None:
        with pool.connection() as db:
            pid = db.run("SELECT pg_backend_pid()")[0][0]
            superuser.run("SELECT pg_terminate_backend(:pid, 5000)", pid=pid)
            db.run("SELECT 1")

    with pytest.raises(DependencyUnavailable):
        broken()
    backend(pool)


def test_a_statement_that_takes_too_long_is_a_dependencys_failure(postgres: TestCluster, module_database: TestDatabase) -> None:
    pool = Database(postgres.connector(module_database.name, "navplane_admin", timeout_seconds=0.05), size=1)
    before = backend(pool)
    with pytest.raises(DependencyUnavailable), pool.connection() as db:
        db.run("SELECT pg_sleep(60)")
    assert backend(pool) != before
    pool.close()


def test_a_server_that_goes_silent_is_given_up(postgres: TestCluster, module_database: TestDatabase) -> None:
    pool = Database(postgres.connector(module_database.name, "navplane_admin", timeout_seconds=0.2), size=1)

    def silenced() -> None:
        with pool.connection() as db:
            pid = db.run("SELECT pg_backend_pid()")[0][0]
            os.kill(pid, signal.SIGSTOP)
            try:
                db.run("SELECT 1")
            finally:
                os.kill(pid, signal.SIGCONT)

    with pytest.raises(DependencyUnavailable):
        silenced()
    pool.close()


def test_a_lock_that_is_not_had_in_time_is_a_dependencys_failure(pool: Database, superuser: Connection) -> None:
    superuser.run("SELECT pg_advisory_lock(4711)")

    def locked_out() -> None:
        with pool.transaction() as db:
            db.run("SET LOCAL lock_timeout = '20ms'")
            db.run("SELECT pg_advisory_xact_lock(4711)")

    with pytest.raises(DependencyUnavailable):
        locked_out()


def test_misuse_of_the_driver_is_not_disguised_as_a_lost_connection(pool: Database) -> None:
    with pytest.raises(InterfaceError), pool.connection() as db:
        db.run("SELECT :stream", stream=1)


def test_an_sql_error_that_the_body_swallows_does_not_become_a_commit(pool: Database, superuser: Connection) -> None:
    org_id = new_id()

    def careless() -> None:
        with pool.transaction(org_id=org_id) as db:
            db.run("INSERT INTO public.organizations (id, name) VALUES (:id, 'Acme')", id=org_id)
            with suppress(DatabaseError):
                db.run("SELECT 1 / 0")

    with pytest.raises(InterfaceError):
        careless()
    assert superuser.run("SELECT count(*) FROM public.organizations WHERE id = :id", id=org_id) == [[0]]
    backend(pool)


def test_an_empty_pool_makes_callers_wait_and_then_says_so(pool: Database) -> None:
    with pool.connection(), pytest.raises(DependencyUnavailable), pool.connection():
        pass
    backend(pool)


def test_a_connection_given_back_goes_to_whoever_waits(postgres: TestCluster, module_database: TestDatabase) -> None:
    pool = Database(postgres.connector(module_database.name, "navplane_admin"), size=1, wait_seconds=10)
    lent, give_back = threading.Event(), threading.Event()

    def hold() -> int:
        with pool.connection() as db:
            lent.set()
            give_back.wait(10)
            pid: int = db.run("SELECT pg_backend_pid()")[0][0]
            return pid

    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(hold)
        lent.wait(10)
        second = threads.submit(backend, pool)
        assert not second.done()
        give_back.set()
        assert first.result(10) == second.result(10)
    pool.close()


def test_many_threads_never_share_a_connection(postgres: TestCluster, module_database: TestDatabase) -> None:
    pool = Database(postgres.connector(module_database.name, "navplane_admin"), size=3, wait_seconds=30)
    lent: set[int] = set()
    guard = threading.Lock()

    def use(number: int) -> None:
        with pool.connection() as db:
            with guard:
                assert id(db) not in lent
                lent.add(id(db))
            assert db.run("SELECT :n::int", n=number) == [[number]]
            with guard:
                lent.remove(id(db))

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(use, range(200)))
    pool.close()


def test_what_fails_to_connect_does_not_use_up_the_pool(postgres: TestCluster) -> None:
    pool = Database(postgres.connector("no_such_database", "navplane_admin"), size=1, wait_seconds=0.05)
    for _ in range(3):
        with pytest.raises(DependencyUnavailable, match="can't be reached"), pool.connection():
            pass


def test_a_wrong_password_is_our_own_fault_and_never_the_callers(postgres: TestCluster, module_database: TestDatabase) -> None:
    where = module_database.settings("navplane_admin")
    connect = connector(
        host=where["DATABASE_HOST"], port=5432, name=where["DATABASE_NAME"], user="navplane_admin",
        password=lambda: "wrong", tls=False, tls_ca_file=None,
    )  # fmt: skip
    with pytest.raises(DependencyUnavailable):
        connect()


def test_nothing_of_a_transaction_is_left_for_the_next_borrower(pool: Database) -> None:
    org_id = new_id()
    with pool.transaction(org_id=org_id) as db:
        assert db.run("SELECT current_setting('app.org_id')") == [[str(org_id)]]
    with pool.transaction(platform=True) as db:
        assert db.run("SELECT current_user") == [["navplane_platform_reader"]]
    with pool.connection() as db:
        assert db.run("SELECT current_setting('app.org_id', true), current_user") == [["", "navplane_admin"]]


def test_a_transaction_commits_or_takes_all_of_it_back(pool: Database, superuser: Connection) -> None:
    kept, lost = new_id(), new_id()
    with pool.transaction(org_id=kept) as db:
        db.run("INSERT INTO public.organizations (id, name) VALUES (:id, 'Acme')", id=kept)

    def failing() -> None:
        with pool.transaction(org_id=lost) as db:
            db.run("INSERT INTO public.organizations (id, name) VALUES (:id, 'Acme')", id=lost)
            raise NotFound("gone")

    with pytest.raises(NotFound):
        failing()
    assert superuser.run("SELECT id FROM public.organizations WHERE id = ANY(:ids::uuid[])", ids=[kept, lost]) == [[kept]]


def test_a_database_that_went_away_is_a_503_and_its_return_is_noticed() -> None:
    with running_cluster() as cluster:
        database = cluster.copy().as_role("navplane_admin")
        before = backend(database)
        cluster.server.stop()
        with pytest.raises(DependencyUnavailable):
            backend(database)
        cluster.server.start()
        assert backend(database) != before
        database.close()
