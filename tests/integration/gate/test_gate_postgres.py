"""What is particular to the gate in Postgres: round trips, silence, what its roles may do, and its globs."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from navplane.errors import DependencyUnavailable, OutcomeUnknown
from navplane.gate.gate import Admission, Charge, Refusal, RefusalReason
from navplane.gate.gate_postgres import ADMIT, SETTLE, PostgresGate, admit_arguments
from navplane.model.ids import new_id
from navplane.model.limit import Limit, LimitKind, LimitMode, LimitScope
from navplane.model.policy import matches
from navplane.store.database import Database, connector
from navplane.store.reservations import forget_windows
from pg8000.exceptions import DatabaseError
from pg8000.native import Connection

from tests.support.gate_seed_postgres import NOW, PostgresSeed, Tenant
from tests.support.postgres import TestDatabase


@pytest.fixture
def seed(module_database: TestDatabase) -> PostgresSeed:
    return PostgresSeed(module_database.as_role("navplane_admin"))


@pytest.fixture
def gate(module_database: TestDatabase) -> PostgresGate:
    return PostgresGate(module_database.as_role("navplane_gate"))


class Relay:
    """Stands between the pool and Postgres. It counts how often the client speaks, and can swallow the answers."""

    def __init__(self, upstream: str) -> None:
        self._upstream = upstream
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.turns = 0
        self.silent = threading.Event()
        self._sockets: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        for each in (self._listener, *self._sockets):
            # Wakes whoever is blocked on it.
            with suppressed():
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with suppressed():
            while True:
                client, _ = self._listener.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(self._upstream)
                self._sockets += [client, server]
                threading.Thread(target=self._forward, args=(client, server), daemon=True).start()
                threading.Thread(target=self._return, args=(server, client), daemon=True).start()

    def _forward(self, client: socket.socket, server: socket.socket) -> None:
        with suppressed():
            while data := client.recv(65536):
                self.turns += 1
                server.sendall(data)

    def _return(self, server: socket.socket, client: socket.socket) -> None:
        with suppressed():
            while data := server.recv(65536):
                if not self.silent.is_set():
                    client.sendall(data)


@contextmanager
def suppressed() -> Iterator[None]:
    try:
        yield
    except OSError:
        return


@pytest.fixture
def relay(module_database: TestDatabase) -> Iterator[Relay]:
    where = module_database.settings("navplane_gate")
    relay = Relay(f"{where['DATABASE_HOST']}/.s.PGSQL.{where['DATABASE_PORT']}")
    yield relay
    relay.close()


@pytest.fixture
def relayed(module_database: TestDatabase, relay: Relay) -> Iterator[Database]:
    where = module_database.settings("navplane_gate")
    connect = connector(
        host="127.0.0.1", port=relay.port, name=where["DATABASE_NAME"], user="navplane_gate",
        password=lambda: where["DATABASE_PASSWORD"], tls=False, tls_ca_file=None, timeout_seconds=0.5,
    )  # fmt: skip
    database = Database(connect, size=1)
    yield database
    database.close()


def test_an_admission_is_one_round_trip_once_the_connection_is_warm(
    relayed: Database, relay: Relay, seed: PostgresSeed
) -> None:
    gate, tenant = PostgresGate(relayed), Tenant(seed)
    gate.admit(tenant.ask(), NOW)
    before = relay.turns
    assert isinstance(gate.admit(tenant.ask(), NOW), Admission)
    assert relay.turns == before + 1


def test_silence_in_the_middle_leaves_the_outcome_unknown_and_the_connection_is_discarded(
    relayed: Database, relay: Relay, seed: PostgresSeed
) -> None:
    gate, tenant = PostgresGate(relayed), Tenant(seed)
    gate.admit(tenant.ask(), NOW)
    relay.silent.set()
    with pytest.raises(OutcomeUnknown):
        gate.admit(tenant.ask(), NOW)
    relay.silent.clear()
    # An answer that belongs to the question before must never be read as this one's.
    ask = tenant.ask()
    answer = gate.admit(ask, NOW)
    assert isinstance(answer, Admission)
    assert answer.request_id == ask.request_id


def test_a_database_that_cannot_be_reached_admits_nothing_and_nothing_was_asked(relayed: Database, relay: Relay) -> None:
    relay.close()
    with pytest.raises(DependencyUnavailable) as caught:
        PostgresGate(relayed).ready()
    assert not isinstance(caught.value, OutcomeUnknown)


@pytest.mark.parametrize("model", ["gpt-5\0", "gpt-\ud800"])
def test_a_name_that_postgres_cannot_hold_is_a_model_that_nobody_has(
    gate: PostgresGate, seed: PostgresSeed, model: str
) -> None:
    tenant = Tenant(seed)
    refusal = gate.admit(replace(tenant.ask(), model=model), NOW)
    assert isinstance(refusal, Refusal)
    assert refusal.reason is RefusalReason.MODEL_NOT_FOUND


def test_a_deleted_organizations_keys_are_unknown_and_its_caller_is_named(gate: PostgresGate, seed: PostgresSeed) -> None:
    tenant = Tenant(seed)
    seed.delete_organization(tenant.org_id)
    assert gate.admit(tenant.ask(), NOW) == Refusal(reason=RefusalReason.INVALID_KEY, caller=tenant.caller)
    assert gate.standing([tenant.caller], NOW) == [RefusalReason.INVALID_KEY]


def test_the_proxys_role_reads_no_table_and_may_not_end_anything(module_database: TestDatabase, gate: PostgresGate) -> None:
    proxy = module_database.as_role("navplane_gate")
    with module_database.superuser() as superuser:
        tables = superuser.run(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')"
        )
    for (table,) in tables:
        with pytest.raises(DatabaseError, match="42501"), proxy.connection() as db:
            db.run(f'SELECT FROM public."{table}"')
    with pytest.raises(DatabaseError, match="42501"):
        gate.finalize({new_id(): Charge()}, NOW)
    with pytest.raises(DatabaseError, match="42501"):
        gate.expire(NOW, limit=1, now=NOW)


def test_the_log_planes_role_may_not_admit(module_database: TestDatabase, seed: PostgresSeed) -> None:
    with pytest.raises(DatabaseError, match="42501"):
        PostgresGate(module_database.as_role("navplane_writer")).admit(Tenant(seed).ask(), NOW)


def test_the_definer_may_lock_organizations_and_keys_and_change_neither(
    module_database: TestDatabase, seed: PostgresSeed
) -> None:
    tenant = Tenant(seed)
    with module_database.superuser() as superuser:
        superuser.run("SET ROLE navplane_gate_definer")
        assert superuser.run("SELECT 1 FROM public.organizations WHERE id = :id FOR SHARE", id=tenant.org_id) == [[1]]
        with pytest.raises(DatabaseError, match="42501"):
            superuser.run("UPDATE public.organizations SET enabled = false WHERE id = :id", id=tenant.org_id)
        with pytest.raises(DatabaseError, match="42501"):
            superuser.run("UPDATE public.organizations SET updated_at = now() WHERE id = :id", id=tenant.org_id)


def test_owners_come_from_the_reservation_else_from_the_key_else_from_nobody(
    module_database: TestDatabase, gate: PostgresGate, seed: PostgresSeed
) -> None:
    reserved, refused = Tenant(seed), Tenant(seed)
    ask = reserved.ask()
    gate.admit(ask, NOW)
    by_key, by_nobody, voided = new_id(), new_id(), new_id()
    writer = module_database.as_role("navplane_writer")
    PostgresGate(writer).finalize({voided: Charge()}, NOW)
    with writer.connection() as db:
        rows = db.run(
            "SELECT request_id, org_id, workspace_id, key_id FROM public.usage_owners(:requests::uuid[], :keys::uuid[])",
            requests=[ask.request_id, by_key, by_nobody, voided],
            # A signed-in key that is not the reservation's own changes nothing.
            keys=[refused.caller.key_id, refused.caller.key_id, new_id(), None],
        )
    owners = {row[0]: tuple(row[1:]) for row in rows}
    assert owners == {
        ask.request_id: (reserved.org_id, reserved.caller.workspace_id, reserved.caller.key_id),
        by_key: (refused.org_id, refused.caller.workspace_id, refused.caller.key_id),
    }


def test_windows_that_ended_are_forgotten_and_those_that_never_end_stay(
    module_database: TestDatabase, gate: PostgresGate, seed: PostgresSeed
) -> None:
    tenant = Tenant(seed)
    for kind in LimitKind:
        limit = Limit(id=new_id(), scope=LimitScope.KEY, scope_id=tenant.caller.key_id, kind=kind, amount=9)
        seed.set_limit(tenant.org_id, limit)
    ask = replace(tenant.ask(), stream=True)
    assert isinstance(gate.admit(ask, NOW), Admission)
    with module_database.as_role("navplane_writer").transaction() as db:
        assert forget_windows(db, before=NOW + timedelta(hours=1)) == 2
        assert forget_windows(db, before=NOW + timedelta(days=60)) == 5
    with module_database.superuser() as superuser:
        kept = superuser.run("SELECT kind FROM public.limit_counters WHERE org_id = :id", id=tenant.org_id)
    assert kept == [[LimitKind.CONCURRENT_STREAMS.value]]
    # What was counted there can still be settled.
    gate.settle(ask.request_id, Charge(tokens=1, nano_usd=1), NOW)


TEXT = st.text(alphabet=st.sampled_from("ab*%_\\.^$[](){}|?+-\n/é🙂"), max_size=12) | st.text(
    alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12
)


@pytest.fixture(scope="module")
def superuser(module_database: TestDatabase) -> Iterator[Connection]:
    with module_database.superuser() as connection:
        yield connection


@settings(max_examples=400, deadline=None)
@given(pattern=TEXT, model=TEXT, data=st.data())
def test_globs_mean_the_same_in_sql_and_in_python(superuser: Connection, pattern: str, model: str, data: st.DataObject) -> None:
    if data.draw(st.booleans()):
        model = "".join(data.draw(TEXT) if character == "*" else character for character in pattern)
    in_sql = superuser.run("SELECT public.gate_matches(:model, ARRAY[:pattern::text])", model=model, pattern=pattern)[0][0]
    assert in_sql is matches(pattern, model)


def waits_for_the_disk(database: TestDatabase, sql: str, **arguments: object) -> bool:
    """What a transaction that ran `sql` would do at its commit."""
    with database.as_role("navplane_gate").connection() as db:
        # The tests' own cluster waits for nothing.
        db.run("SET synchronous_commit = on")
        db.run("BEGIN")
        db.run(sql, **arguments)
        mode = db.run("SHOW synchronous_commit")[0][0]
        db.run("ROLLBACK")
        assert db.run("SHOW synchronous_commit") == [["on"]]
        db.run("RESET synchronous_commit")
    return bool(mode == "on")


@pytest.mark.parametrize(
    ("kind", "mode", "waits"),
    [
        (None, LimitMode.STRICT, False),
        (LimitKind.REQUESTS_PER_MINUTE, LimitMode.STRICT, False),
        (LimitKind.USD_PER_MONTH, LimitMode.NORMAL, False),
        (LimitKind.USD_PER_MONTH, LimitMode.STRICT, True),
        (LimitKind.TOKENS_PER_DAY, LimitMode.STRICT, True),
    ],
)
def test_an_admission_waits_for_the_disk_only_where_a_strict_budget_must_outlive_a_crash(
    module_database: TestDatabase, seed: PostgresSeed, kind: LimitKind | None, mode: LimitMode, waits: bool
) -> None:
    tenant = Tenant(seed)
    if kind is not None:
        limit = Limit(
            id=new_id(), scope=LimitScope.ORGANIZATION, scope_id=tenant.org_id, kind=kind, amount=10**9, mode=mode
        )  # fmt: skip
        seed.set_limit(tenant.org_id, limit)
    assert waits_for_the_disk(module_database, ADMIT, **admit_arguments(tenant.ask(), NOW)) is waits


def test_settling_never_waits_for_the_disk(module_database: TestDatabase) -> None:
    assert not waits_for_the_disk(module_database, SETTLE, request_id=new_id(), tokens=1, nano_usd=1, now=NOW)
