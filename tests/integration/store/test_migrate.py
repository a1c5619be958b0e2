"""The migration runner: once, in order, by one runner at a time, and never past a disagreement."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from navplane.errors import DependencyUnavailable
from navplane.model.ids import new_request_id
from navplane.store.bootstrap import LOGIN_ROLES, bootstrap
from navplane.store.migrate import (
    MIGRATIONS,
    Migration,
    MigrationRefused,
    ensure_partitions,
    migrate,
    read_migrations,
    schema_version,
)
from navplane_local.postgres import EmbeddedPostgres
from pg8000.exceptions import DatabaseError, Error
from pg8000.native import Connection

from tests.support.postgres import TestCluster, TestDatabase, running_server

FIRST = Migration(name="0001_first", sql="CREATE TABLE public.first (n integer);")
SECOND = Migration(name="0002_second", sql="CREATE TABLE public.second (n integer); INSERT INTO public.second VALUES (1), (2);")

LOG_ROW = """
INSERT INTO public.request_logs (
    request_id, org_id, workspace_id, key_id, endpoint, region, stream, demo, status, outcome, usage_quality, input_tokens,
    output_tokens, cached_input_tokens, cache_write_5m_tokens, cache_write_1h_tokens, reasoning_tokens, audio_input_tokens,
    audio_output_tokens, web_searches, attempts, duration_ms, request_bytes, response_bytes, started_at
) SELECT :id, o, o, o, 'models', 'us', false, false, 200, 'ok', 'exact', 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0, now()
    FROM gen_random_uuid() AS o
"""


@pytest.fixture
def empty(postgres: TestCluster) -> Iterator[TestDatabase]:
    database = postgres.empty()
    yield database
    database.drop()


@pytest.fixture
def owner(postgres: TestCluster, empty: TestDatabase) -> Iterator[Connection]:
    with closing(postgres.connector(empty.name, "navplane_owner")()) as connection:
        yield connection


def test_what_is_pending_is_applied_in_order_and_once(owner: Connection) -> None:
    assert migrate(owner, migrations=[FIRST]) == ["0001_first"]
    assert migrate(owner, migrations=[FIRST, SECOND]) == ["0002_second"]
    assert migrate(owner, migrations=[FIRST, SECOND]) == []
    assert owner.run("SELECT count(*) FROM public.second") == [[2]]
    assert schema_version(owner) == "0002_second"


def test_an_empty_database_has_no_version(owner: Connection) -> None:
    assert schema_version(owner) is None


def test_an_applied_file_that_changed_is_refused_and_nothing_is_applied(owner: Connection) -> None:
    migrate(owner, migrations=[FIRST])
    changed = Migration(name=FIRST.name, sql=FIRST.sql + " -- harmless")
    with pytest.raises(MigrationRefused, match="0001_first was applied and has changed"):
        migrate(owner, migrations=[changed, SECOND])
    assert schema_version(owner) == "0001_first"


@pytest.mark.parametrize(
    "files", [[FIRST], [SECOND], [FIRST, Migration(name="0002_other", sql="")]], ids=["end", "begin", "replaced"]
)
def test_an_applied_file_that_is_missing_is_refused(owner: Connection, files: list[Migration]) -> None:
    migrate(owner, migrations=[FIRST, SECOND])
    with pytest.raises(MigrationRefused, match="no such file"):
        migrate(owner, migrations=files)


def test_a_file_that_fails_leaves_nothing_and_those_before_it_stay(owner: Connection) -> None:
    broken = Migration(name="0002_broken", sql="CREATE TABLE public.half (n integer); SELECT 1 / 0;")
    with pytest.raises(DatabaseError, match="22012"):
        migrate(owner, migrations=[FIRST, broken])
    assert schema_version(owner) == "0001_first"
    assert owner.run("SELECT to_regclass('public.half')") == [[None]]
    assert migrate(owner, migrations=[FIRST, SECOND]) == ["0002_second"]


def test_an_assertion_that_holds_is_silent_and_one_that_does_not_takes_its_file_back(owner: Connection) -> None:
    holds = Migration(name=SECOND.name, sql=SECOND.sql + "\n-- assert: SELECT count(*) = 2 FROM public.second\n")
    fails = Migration(name="0003_fails", sql="CREATE TABLE public.third ();\n-- assert: SELECT count(*) = 3 FROM public.second")
    with pytest.raises(MigrationRefused, match=r"0003_fails: this must be true .* = 3"):
        migrate(owner, migrations=[FIRST, holds, fails])
    assert schema_version(owner) == "0002_second"
    assert owner.run("SELECT to_regclass('public.third')") == [[None]]


def test_a_backfill_that_row_level_security_hides_its_rows_from_is_noticed(owner: Connection, empty: TestDatabase) -> None:
    table = Migration(
        name="0001_table",
        sql="CREATE TABLE public.t (n int); INSERT INTO public.t VALUES (0);"
        "ALTER TABLE public.t ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;",
    )
    update = "UPDATE public.t SET n = 1;\n-- assert: SELECT count(*) = 1 FROM public.t WHERE n = 1\n"
    with pytest.raises(MigrationRefused):
        migrate(owner, migrations=[table, Migration(name="0002_backfill", sql=update)])
    policy = "CREATE POLICY backfill ON public.t TO navplane_owner USING (true);\n"
    migrate(owner, migrations=[table, Migration(name="0002_backfill", sql=policy + update)])
    with empty.superuser() as superuser:
        assert superuser.run("SELECT n FROM public.t") == [[1]]


def test_runners_at_the_same_time_apply_each_file_once(postgres: TestCluster, empty: TestDatabase) -> None:
    slow = Migration(name="0001_slow", sql="CREATE TABLE public.slow (n integer); SELECT pg_sleep(0.2);")
    start = threading.Barrier(4)

    def run() -> list[str]:
        with closing(postgres.connector(empty.name, "navplane_owner")()) as connection:
            start.wait()
            return migrate(connection, migrations=[slow, SECOND])

    with ThreadPoolExecutor(4) as pool:
        results = [future.result(timeout=30) for future in [pool.submit(run) for _ in range(4)]]
    assert sorted(results) == [[], [], [], ["0001_slow", "0002_second"]]


def test_a_lock_that_is_not_had_in_time_gives_up_and_keeps_nothing(owner: Connection, empty: TestDatabase) -> None:
    migrate(owner, migrations=[FIRST])
    sql = "SET LOCAL lock_timeout = '50ms'; CREATE TABLE public.third (); ALTER TABLE public.first ADD COLUMN m integer;"
    with empty.superuser() as superuser:
        superuser.run("BEGIN")
        superuser.run("SELECT FROM public.first")
        with pytest.raises(DependencyUnavailable):
            migrate(owner, migrations=[FIRST, Migration(name="0002_waits", sql=sql)])
        superuser.run("ROLLBACK")
    assert schema_version(owner) == "0001_first"
    assert owner.run("SELECT to_regclass('public.third')") == [[None]]
    assert owner.run("SHOW lock_timeout") == [["0"]]


def test_statements_run_under_both_timeouts(owner: Connection) -> None:
    shown = (
        "CREATE TABLE public.shown AS SELECT current_setting('lock_timeout') AS l, current_setting('statement_timeout') AS s;"
    )
    migrate(owner, migrations=[Migration(name="0001_shown", sql=shown)])
    assert owner.run("SELECT l, s FROM public.shown") == [["5s", "5min"]]


# -- the files themselves ------------------------------------------------------------------------------------------------


def test_every_file_begins_with_a_sentence_and_has_a_number_of_its_own() -> None:
    files = read_migrations()
    assert [migration.name for migration in files] == sorted(path.stem for path in MIGRATIONS.glob("*.sql"))
    for migration in files:
        assert migration.sql.startswith("-- "), migration.name


def test_numbers_may_have_gaps_and_give_the_order(tmp_path: Path) -> None:
    for name in ("0010_c.sql", "0002_b.sql"):
        (tmp_path / name).write_text("-- Nothing.")
    assert [migration.name for migration in read_migrations(tmp_path)] == ["0002_b", "0010_c"]


@pytest.mark.parametrize("names", [["0001-a.sql"], ["1_a.sql"], ["0001_a.sql", "0001_b.sql"]])
def test_a_strange_name_or_a_number_that_is_taken_is_refused(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        (tmp_path / name).write_text("-- Nothing.")
    with pytest.raises(MigrationRefused):
        read_migrations(tmp_path)


# -- partitions ----------------------------------------------------------------------------------------------------------


def partitions(connection: Connection) -> list[str]:
    sql = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'public.request_logs'::regclass ORDER BY 1"
    return [row[0] for row in connection.run(sql)]


def test_missing_months_are_made_once_from_the_month_before(owner: Connection) -> None:
    migrate(owner)
    now = datetime(2026, 12, 31, 23, 59, tzinfo=UTC)
    names = ["request_logs_2026_11", "request_logs_2026_12", "request_logs_2027_01"]
    assert ensure_partitions(owner, now=now, months_ahead=1) == names
    assert ensure_partitions(owner, now=now, months_ahead=1) == []
    assert partitions(owner) == names


def test_a_request_lands_in_the_month_of_its_id_to_the_millisecond(owner: Connection, empty: TestDatabase) -> None:
    migrate(owner)
    boundary = datetime(2027, 1, 1, tzinfo=UTC)
    ensure_partitions(owner, now=boundary, months_ahead=0)
    last = new_request_id(boundary - timedelta(milliseconds=1))
    first = UUID(int=int(boundary.timestamp() * 1000) << 80 | 0x7 << 76 | 0x2 << 62)
    with empty.superuser() as superuser:
        for request_id in (last, first):
            superuser.run(LOG_ROW, id=request_id)
        found = dict(superuser.run("SELECT request_id, tableoid::regclass::text FROM public.request_logs"))
        assert found == {last: "request_logs_2026_12", first: "request_logs_2027_01"}
        assert superuser.run("SELECT created_at FROM public.request_logs WHERE request_id = :id", id=first) == [[boundary]]


def test_a_request_of_a_month_that_has_no_partition_is_an_error(owner: Connection, empty: TestDatabase) -> None:
    migrate(owner)
    ensure_partitions(owner, now=datetime(2026, 11, 1, tzinfo=UTC), months_ahead=0)
    with empty.superuser() as superuser, pytest.raises(DatabaseError, match="23514"):
        superuser.run(LOG_ROW, id=new_request_id(datetime(2026, 12, 1, tzinfo=UTC)))


def test_the_log_plane_may_make_partitions_while_others_read_and_write(owner: Connection, empty: TestDatabase) -> None:
    migrate(owner)
    now = datetime(2026, 11, 1, tzinfo=UTC)
    ensure_partitions(owner, now=now, months_ahead=0)
    with empty.superuser() as busy:
        busy.run("BEGIN")
        busy.run(LOG_ROW, id=new_request_id(now))
        with empty.as_role("navplane_writer").transaction() as db:
            assert ensure_partitions(db, now=now, months_ahead=1) == ["request_logs_2026_12"]
        busy.run("ROLLBACK")


# -- the roles -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def master() -> Iterator[tuple[EmbeddedPostgres, Connection]]:
    """The master user of an RDS instance, as far as its documentation says: no superuser, but CREATEROLE and CREATEDB, owner
    of its database, and entitled to give rds_iam away."""
    with running_server() as server:
        with server.connect() as superuser:
            superuser.run("CREATE ROLE rds_iam")
            superuser.run("CREATE ROLE master LOGIN CREATEROLE CREATEDB PASSWORD 'm'")
            superuser.run("GRANT rds_iam TO master WITH ADMIN OPTION")
            superuser.run("CREATE DATABASE navplane OWNER master")
        with closing(connect(server, "master", "m")) as connection:
            yield server, connection


def connect(server: EmbeddedPostgres, role: str, password: str) -> Connection:
    return Connection(role, password=password, database="navplane", unix_sock=f"{server.socket_dir}/.s.PGSQL.{server.port}")


def test_roles_and_tables_can_be_made_without_a_superuser_and_again(master: tuple[EmbeddedPostgres, Connection]) -> None:
    server, connection = master
    for _ in range(2):
        bootstrap(connection, passwords=dict.fromkeys(LOGIN_ROLES, "first"))
    with closing(connect(server, "navplane_owner", "first")) as owner:
        assert migrate(owner) == [migration.name for migration in read_migrations()]
    bootstrap(connection, passwords=dict.fromkeys(LOGIN_ROLES, "second"))
    with closing(connect(server, "navplane_gate", "second")) as gate:
        assert gate.run("SELECT current_user") == [["navplane_gate"]]
    with pytest.raises(Error):
        connect(server, "navplane_gate", "first")


def test_roles_without_a_password_sign_in_with_iam_where_there_is_iam(master: tuple[EmbeddedPostgres, Connection]) -> None:
    _, connection = master
    bootstrap(connection, passwords={})
    members = (
        "SELECT member::regrole::text FROM pg_auth_members WHERE roleid = 'rds_iam'::regrole AND member <> 'master'::regrole"
    )
    assert {row[0] for row in connection.run(members)} == set(LOGIN_ROLES)
    assert connection.run("SELECT count(*) FROM pg_roles WHERE rolname LIKE 'navplane%' AND rolcanlogin") == [
        [len(LOGIN_ROLES)]
    ]


def test_no_password_is_in_the_servers_log_even_when_it_logs_every_statement() -> None:
    with running_server() as server, server.connect() as superuser:
        superuser.run("SET log_statement = 'all'")
        bootstrap(superuser, passwords={"navplane_gate": "a-very-secret-password"})
        log = server.data_dir.with_name("postgres.log").read_text()
    assert "ALTER ROLE navplane_gate LOGIN PASSWORD" in log
    assert "a-very-secret" not in log


def test_provider_settings_of_an_older_database_become_the_organizations_policy(owner: Connection, empty: TestDatabase) -> None:
    every = read_migrations()
    before = [migration for migration in every if migration.name < "0011"]
    migrate(owner, migrations=before)
    org_id = UUID(int=7)
    with empty.superuser() as superuser:
        superuser.run("INSERT INTO public.organizations (id, name) VALUES (:id, 'Acme')", id=org_id)
        superuser.run(
            "INSERT INTO public.org_provider_settings VALUES (:id, '{groq}', '{gpt-*,o3}', '{\"null\"}', now(), now())",
            id=org_id,
        )
        migrate(owner)
        columns = "scope, scope_id, disabled_providers, allow_models, block_models, enabled_providers, allow_files"
        assert superuser.run(f"SELECT {columns} FROM public.policies") == [
            ["organization", org_id, ["groq"], ["gpt-*", "o3"], ["null"], [], None]
        ]
