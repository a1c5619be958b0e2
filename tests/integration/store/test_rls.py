"""Row-level security, the second lock: who sees and writes what, in which state of the connection, and that it is on."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

import pytest
from navplane.model.ids import new_id, new_request_id
from navplane.store.database import Database, sqlstate
from pg8000.exceptions import DatabaseError
from pg8000.native import Connection

from tests.support.gate_seed_postgres import NOW
from tests.support.postgres import TestDatabase

OWN, OTHER, NONE, MALFORMED = "own", "other", "none", "malformed"
# A price that is in force can't be deleted.
LATER = datetime(2126, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table with one row per organization. `key` names the column that says whose a row is, `touched` one that may be
    set to itself; `admin` and `reader` are the verbs that the role has."""

    name: str
    touched: str
    admin: str
    reader: str
    key: str = "org_id"


TABLES = [
    Table(name="organizations", key="id", touched="name", admin="SIU", reader="S"),
    Table(name="workspaces", touched="name", admin="SIU", reader="S"),
    Table(name="api_keys", touched="name", admin="SIU", reader="S"),
    Table(name="api_key_uses", touched="last_used_at", admin="S", reader="S"),
    Table(name="provider_keys", touched="label", admin="SIU", reader="S"),
    Table(name="org_provider_settings", touched="allow_models", admin="SIU", reader="S"),
    Table(name="org_members", touched="role", admin="SIUD", reader="S"),
    Table(name="role_assignments", touched="role", admin="SID", reader="S"),
    Table(name="service_keys", touched="name", admin="SIU", reader="S"),
    Table(name="invitations", touched="email", admin="SIU", reader=""),
    Table(name="request_logs", touched="status", admin="S", reader="S"),
    Table(name="audit_events", touched="action", admin="S", reader="S"),
    Table(name="audit_chains", touched="sequence", admin="", reader=""),
    Table(name="shredding_certificates", touched="statement", admin="S", reader="S"),
    Table(name="audit_heads", touched="sequence", admin="S", reader="S"),
    Table(name="outbox", touched="aggregate", admin="I", reader=""),
    Table(name="price_overrides", touched="effective_to", admin="SIUD", reader="S"),
    Table(name="ledger_jobs", touched="state", admin="SI", reader="S"),
    Table(name="export_jobs", touched="state", admin="SID", reader="S"),
    Table(name="export_parts", touched="rows", admin="", reader="S"),
    Table(name="ledger_entries", touched="kind", admin="S", reader="S"),
    Table(name="usage_hourly", touched="endpoint", admin="S", reader="S"),
    Table(name="usage_daily", touched="endpoint", admin="S", reader="S"),
    Table(name="org_usage_hourly", touched="endpoint", admin="S", reader="S"),
    Table(name="org_usage_daily", touched="endpoint", admin="S", reader="S"),
    Table(name="reservations", touched="state", admin="", reader=""),
    Table(name="provider_objects", touched="object_id", admin="", reader=""),
    Table(name="awaited_objects", touched="asked", admin="", reader=""),
    Table(name="request_contents", touched="request_truncated", admin="S", reader=""),
    Table(name="alert_rules", touched="enabled", admin="SIUD", reader="S"),
    Table(name="notifications", touched="read_by", admin="SU", reader="S"),
    Table(name="alert_destinations", touched="name", admin="SIU", reader=""),
    Table(name="reconciliation_keys", touched="requested_at", admin="SIUD", reader=""),
    Table(name="reconciliations", touched="drift", admin="S", reader="S"),
    Table(name="alert_deliveries", touched="state", admin="SI", reader=""),
    Table(name="limits", touched="amount", admin="SIUD", reader="S"),
    Table(name="limit_counters", touched="used", admin="S", reader="S"),
    Table(name="policies", touched="allow_files", admin="SIUD", reader="S"),
    Table(name="routes", touched="position", admin="SIUD", reader="S"),
    Table(name="workflows", touched="name", admin="SIU", reader="S"),
    Table(name="workflow_versions", touched="state", admin="SIU", reader="S"),
]
BY_NAME = {table.name: table for table in TABLES}


def new_row(table: str, org_id: UUID, ids: dict[str, UUID]) -> tuple[str, dict[str, object]]:
    """An INSERT of one more row for `org_id`."""
    fresh = new_id()
    sums = {
        "org_id": org_id, "workspace_id": ids["workspace"], "key_id": fresh, "endpoint": "models", "demo": False,
        "starts_at": NOW, "requests": 1, "failed_requests": 0, "unpriced_requests": 0, "inexact_requests": 0,
        "input_tokens": 0, "cached_input_tokens": 0, "cache_write_tokens": 0, "output_tokens": 0, "reasoning_tokens": 0,
        "cost_usd": 0,
    }  # fmt: skip
    slim_sums = {name: value for name, value in sums.items() if name != "key_id"} | {"model": str(fresh)}
    rows: dict[str, dict[str, object]] = {
        "organizations": {"id": org_id, "name": "Acme"},
        "workspaces": {"org_id": org_id, "id": fresh, "name": "More", "region": "us"},
        "api_keys": {
            "org_id": org_id, "id": fresh, "workspace_id": ids["workspace"], "name": "k", "digest": fresh.bytes * 2,
            "key_prefix": "np_", "key_hint": "abcd",
        },
        "api_key_uses": {"org_id": org_id, "key_id": fresh, "last_used_at": NOW},
        "provider_keys": {
            "org_id": org_id, "id": fresh, "provider": "openai", "label": str(fresh), "key_hint": "abcd", "region": "us",
            "sealed": b"sealed", "kek_id": "kek",
        },
        "org_provider_settings": {"org_id": org_id},
        "org_members": {"org_id": org_id, "user_id": ids["user"], "role": "member"},
        "role_assignments": {"org_id": org_id, "id": fresh, "user_id": ids["member"], "role": "auditor"},
        "service_keys": {
            "org_id": org_id, "id": fresh, "name": "k", "role": "auditor", "digest": fresh.bytes * 2, "key_hint": "abcd",
            "created_by": "a", "expires_at": LATER,
        },
        "invitations": {
            "org_id": org_id, "id": fresh, "email": "a@example.com", "membership": "member", "token_digest": fresh.bytes * 2,
            "invited_by": "a", "expires_at": LATER,
        },
        "request_logs": {
            "request_id": new_request_id(NOW), "org_id": org_id, "workspace_id": ids["workspace"], "key_id": fresh,
            "endpoint": "models", "region": "us", "stream": False, "demo": False, "status": 200, "outcome": "ok",
            "usage_quality": "exact", "input_tokens": 0, "output_tokens": 0, "cached_input_tokens": 0,
            "cache_write_5m_tokens": 0, "cache_write_1h_tokens": 0, "reasoning_tokens": 0, "audio_input_tokens": 0,
            "audio_output_tokens": 0, "web_searches": 0, "attempts": 1, "duration_ms": 1, "request_bytes": 0,
            "response_bytes": 0, "started_at": NOW,
        },
        "audit_events": {"id": fresh, "org_id": org_id, "actor": "a", "action": "b", "resource": "c", "occurred_at": NOW},
        "audit_chains": {"org_id": org_id, "sequence": 0, "hash": bytes(32)},
        "shredding_certificates": {"org_id": org_id, "id": fresh, "statement": "{}", "created_at": NOW},
        "audit_heads": {
            "org_id": org_id, "sequence": 1, "hash": bytes(32), "signed_at": NOW, "key_id": ids["audit_key"],
            "signature": bytes(64),
        },
        "outbox": {"id": fresh, "org_id": org_id, "aggregate": "organization", "aggregate_id": org_id},
        "price_overrides": {
            "org_id": org_id, "id": fresh, "provider": "openai", "model": str(fresh), "effective_from": LATER, "input_usd": 1,
            "output_usd": 1,
        },
        "ledger_jobs": {
            "org_id": org_id, "id": fresh, "kind": "reprice", "starts_at": NOW, "ends_at": LATER, "requested_by": "a",
            "created_at": NOW, "state": "done",
        },
        "export_jobs": {
            "org_id": org_id, "id": fresh, "subject": "requests", "format": "csv", "starts_at": NOW, "ends_at": LATER,
            "wanted": "{}", "by": [], "requested_by": "a", "created_at": NOW, "expires_at": LATER,
        },
        "export_parts": {
            "org_id": org_id, "job_id": ids["export_job"], "number": fresh.int % 2**31, "rows": 1, "content": b"x",
            "described": b"",
        },
        "ledger_entries": {
            "request_id": new_request_id(NOW), "revision": 1, "org_id": org_id, "workspace_id": ids["workspace"],
            "key_id": fresh, "kind": "charge", "amount_usd": 1, "price_source": "list", "price_version": "1",
        },
        "usage_hourly": sums,
        "usage_daily": sums,
        "org_usage_hourly": slim_sums,
        "org_usage_daily": slim_sums,
        "provider_objects": {
            "provider": "openai", "object_id": str(fresh), "org_id": org_id, "provider_key_id": fresh, "created_at": NOW,
        },
        "awaited_objects": {
            "provider": "openai", "object_id": str(fresh), "org_id": org_id, "request_id": fresh, "ask_at": LATER,
        },
        "reservations": {
            "request_id": new_request_id(NOW), "org_id": org_id, "workspace_id": ids["workspace"], "key_id": fresh,
            "provider": "openai", "provider_key_id": fresh, "endpoint": "models", "region": "us", "stream": False,
            "demo": False, "state": "reserved", "lease_until": NOW, "created_at": NOW,
        },
        "request_contents": {
            "request_id": new_request_id(NOW), "org_id": org_id, "workspace_id": ids["workspace"], "request": b"q",
            "response": b"a", "request_truncated": False, "response_truncated": False,
        },
        "alert_rules": {
            "org_id": org_id, "id": fresh, "kind": "budget", "enabled": True, "thresholds": [50], "sensitivity": 6,
            "floor_usd": 1, "created_at": NOW,
        },
        "notifications": {
            "org_id": org_id, "id": fresh, "kind": "budget", "subject": str(fresh), "window_name": "d:2026-11-21",
            "threshold": 50, "title": "t", "facts": "{}", "created_at": NOW,
        },
        "alert_destinations": {
            "org_id": org_id, "id": fresh, "name": str(fresh), "kind": "webhook", "address": "a", "alerts": ["budget"],
            "enabled": True, "region": "us", "sealed": b"sealed", "kek_id": "kek", "created_at": NOW,
        },
        "reconciliation_keys": {
            "org_id": org_id, "id": fresh, "provider": "openai", "key_hint": "abcd", "region": "us", "sealed": b"sealed",
            "kek_id": "kek", "created_at": NOW,
        },
        "reconciliations": {
            "org_id": org_id, "id": fresh, "provider": "openai", "day": NOW.date(), "model": str(fresh), "ledger_requests": 1,
            "ledger_input": 1, "ledger_output": 1, "ledger_usd": 1, "provider_input": 1, "provider_output": 1,
            "provider_usd": 1, "drift": 0, "seen_at": NOW,
        },
        "alert_deliveries": {
            "org_id": org_id, "id": fresh, "destination_id": ids["destination"], "title": "t", "body": "{}", "next_at": NOW,
            "created_at": NOW,
        },
        "limits": {
            "org_id": org_id, "id": fresh, "scope": "key", "scope_id": fresh, "kind": "usd_per_day", "amount": 1,
            "mode": "strict",
        },
        "policies": {"org_id": org_id, "id": fresh, "scope": "key", "scope_id": fresh},
        "routes": {
            "org_id": org_id, "id": fresh, "name": str(fresh), "match": "m", "dialect": "openai", "position": 0,
            "targets": "[]",
        },
        "workflows": {"org_id": org_id, "id": fresh, "name": str(fresh), "created_by": "a"},
        "workflow_versions": {
            "org_id": org_id, "id": fresh, "workflow_id": ids["workflow"], "number": fresh.int % 2**31 or 1,
            "state": "withdrawn", "document": "", "sha256": "", "authors": [], "created_by": "a",
        },
        "limit_counters": {
            "org_id": org_id, "scope": "key", "scope_id": fresh, "kind": "usd_per_day", "window_name": "d:2026-11-21",
        },
    }  # fmt: skip
    row = rows[table]
    columns, values = ", ".join(row), ", ".join(f":{name}_" for name in row)
    return f"INSERT INTO public.{table} ({columns}) VALUES ({values})", {f"{name}_": value for name, value in row.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    database: TestDatabase
    own: UUID
    other: UUID
    ids: dict[UUID, dict[str, UUID]]

    def key_of(self, context: str) -> str | None:
        return {OWN: str(self.own), OTHER: str(self.other), NONE: None, MALFORMED: "not-a-uuid"}[context]


@pytest.fixture(scope="module")
def world(module_database: TestDatabase) -> World:
    """Two organizations with one row in each table."""
    own, other = new_id(), new_id()
    ids = {}
    with module_database.superuser() as superuser:
        superuser.run("SELECT public.ensure_request_log_partitions(:now, 1)", now=NOW)
        for org_id in (own, other):
            names = ("workspace", "user", "audit_key", "export_job", "workflow", "destination")
            ids[org_id] = {name: new_id() for name in names}
            ids[org_id]["member"] = ids[org_id]["user"]
            superuser.run(
                "INSERT INTO public.audit_keys (id, public_key, region, sealed, kek_id, created_at)"
                " VALUES (:id, :public_key, 'us', 's', 'k', :now)",
                id=ids[org_id]["audit_key"], public_key=bytes(32), now=NOW,
            )  # fmt: skip
            user = ids[org_id]["user"]
            superuser.run(
                "INSERT INTO public.user_identities (id, issuer, subject) VALUES (:id, 'i', :s)", id=user, s=str(user)
            )
            for table in TABLES:
                sql, row = new_row(table.name, org_id, ids[org_id])
                if table.name == "workspaces":
                    row["id_"] = ids[org_id]["workspace"]
                if table.name == "workflows":
                    row["id_"] = ids[org_id]["workflow"]
                if table.name == "export_jobs":
                    row["id_"] = ids[org_id]["export_job"]
                if table.name == "alert_destinations":
                    row["id_"] = ids[org_id]["destination"]
                superuser.run(sql, **row)
            # For the INSERT of a member that is not one yet.
            ids[org_id]["user"] = new_id()
            superuser.run("INSERT INTO public.user_identities (id, issuer, subject) VALUES (:id, 'i', :s)",
                          id=ids[org_id]["user"], s=str(ids[org_id]["user"]))  # fmt: skip
    return World(database=module_database, own=own, other=other, ids=ids)


@pytest.fixture(scope="module")
def pools(world: World) -> dict[str, Database]:
    """One connection each, so that every question meets what the one before left behind."""
    return {role: world.database.as_role(role, size=1) for role in ("navplane_admin", "navplane_reader")}


def leave_behind(pool: Database, world: World, state: str) -> None:
    """Put the pool's one connection into the state that an earlier user leaves it in: with the other's context set last."""
    try:
        with pool.transaction(org_id=world.other) as db:
            db.run("SELECT id FROM public.organizations WHERE true")
            if state == "abort":
                db.run("SELECT 1 / 0")
    except DatabaseError:
        assert state == "abort"


DENIED = "denied"


def attempt(pool: Database, world: World, table: Table, verb: str, context: str) -> int | str:
    """How many of `own`'s rows the verb reached in `context`, or why it was refused. Nothing is kept."""
    row: dict[str, object] = {}
    sql = f"SELECT {table.key} FROM public.{table.name} WHERE {table.key} = :own"
    if verb == "U":
        sql = f"UPDATE public.{table.name} SET {table.touched} = {table.touched} WHERE {table.key} = :own"
    elif verb == "D":
        sql = f"DELETE FROM public.{table.name} WHERE {table.key} = :own"
    elif verb == "I":
        sql, row = new_row(table.name, world.own, world.ids[world.own])
    arguments = row or {"own": world.own}
    setting = world.key_of(context)

    class Undo(Exception):
        pass

    try:
        with pool.transaction() as db:
            if setting is not None:
                db.run("SELECT set_config('app.org_id', :value, true)", value=setting)
            db.run(sql, **arguments)
            count: int = db.row_count
            raise Undo
    except Undo:
        return count
    except DatabaseError as exc:
        return sqlstate(exc)


NO_PRIVILEGE = RLS_VIOLATION = "42501"
BAD_UUID = "22P02"
ALREADY_THERE = "23505"


def expected(table: Table, role: str, verb: str, context: str) -> set[int | str]:
    if verb not in (table.admin if role == "navplane_admin" else table.reader):
        # Which of two refusals comes first is the planner's business.
        return {NO_PRIVILEGE, BAD_UUID} if context == MALFORMED else {NO_PRIVILEGE}
    if context == MALFORMED:
        return {BAD_UUID}
    if context == OWN:
        # The row that every organization has one of is there already: it got as far as that.
        return {1, ALREADY_THERE} if verb == "I" else {1, 2}
    return {RLS_VIOLATION} if verb == "I" else {0}


@pytest.mark.parametrize("state", ["fresh", "abort", "commit"])
@pytest.mark.parametrize("context", [OWN, OTHER, NONE, MALFORMED])
@pytest.mark.parametrize("verb", ["S", "I", "U", "D"])
@pytest.mark.parametrize("role", ["navplane_admin", "navplane_reader"])
def test_matrix(world: World, pools: dict[str, Database], role: str, verb: str, context: str, state: str) -> None:
    pool = world.database.as_role(role, size=1) if state == "fresh" else pools[role]
    for table in TABLES:
        if state != "fresh":
            leave_behind(pool, world, state)
        assert attempt(pool, world, table, verb, context) in expected(table, role, verb, context), table.name


# -- roles beyond tenants ------------------------------------------------------------------------------------------------


@pytest.fixture
def superuser(module_database: TestDatabase) -> Iterator[Connection]:
    with module_database.superuser() as connection:
        yield connection


@pytest.mark.parametrize("role", ["navplane_admin", "navplane_reader"])
def test_the_platform_reader_sees_every_organization_for_one_transaction_and_writes_nothing(
    world: World, pools: dict[str, Database], role: str
) -> None:
    visible = "SELECT count(*) FROM public.organizations WHERE id = ANY(:ids::uuid[])"
    both = [world.own, world.other]
    with pools[role].transaction(platform=True) as db:
        assert db.run(visible, ids=both) == [[2]]
    with pools[role].transaction() as db:
        assert db.run(visible, ids=both) == [[0]]
    with pytest.raises(DatabaseError, match=NO_PRIVILEGE), pools[role].transaction(platform=True) as db:
        db.run("UPDATE public.organizations SET enabled = false")
    with pytest.raises(DatabaseError, match=NO_PRIVILEGE), pools[role].transaction(platform=True) as db:
        db.run("SELECT id FROM public.api_keys")


@pytest.mark.parametrize("role", ["navplane_writer", "navplane_gate", "navplane_owner"])
def test_nobody_else_can_put_on_the_platform_reader(world: World, role: str) -> None:
    with pytest.raises(DatabaseError, match=NO_PRIVILEGE), world.database.as_role(role, size=1).transaction(platform=True):
        pass


@pytest.mark.parametrize("role", ["navplane_admin", "navplane_reader", "navplane_writer", "navplane_gate"])
def test_a_digest_and_a_sealed_key_can_be_read_back_by_nobody(world: World, role: str) -> None:
    pool = world.database.as_role(role, size=1)
    for column, table in (
        ("digest", "api_keys"),
        ("sealed", "provider_keys"),
        ("digest", "service_keys"),
        ("token_digest", "invitations"),
        ("sealed", "alert_destinations"),
        ("sealed", "reconciliation_keys"),
    ):
        with pytest.raises(DatabaseError, match=NO_PRIVILEGE), pool.transaction(org_id=world.own) as db:
            db.run(f"SELECT {column} FROM public.{table}")


def test_the_writer_reaches_every_organizations_logs_and_no_key(world: World) -> None:
    writer = world.database.as_role("navplane_writer", size=1)
    with writer.transaction() as db:
        seen = {row[0] for row in db.run("SELECT org_id FROM public.request_logs")}
    assert {world.own, world.other} <= seen
    for table in ("api_keys", "provider_keys", "organizations", "user_identities", "audit_events"):
        with pytest.raises(DatabaseError, match=NO_PRIVILEGE), writer.transaction() as db:
            db.run(f"SELECT FROM public.{table}")


def test_the_writer_deletes_final_reservations_and_cannot_see_open_ones(world: World, superuser: Connection) -> None:
    request_ids = {state: new_request_id(NOW) for state in ("reserved", "final")}
    for state, request_id in request_ids.items():
        sql, row = new_row("reservations", world.own, world.ids[world.own])
        superuser.run(sql, **{**row, "request_id_": request_id, "state_": state})
    with world.database.as_role("navplane_writer", size=1).transaction() as db:
        assert db.run("SELECT state FROM public.reservations WHERE request_id = ANY(:ids::uuid[])",
                      ids=list(request_ids.values())) == [["final"]]  # fmt: skip
        db.run("DELETE FROM public.reservations WHERE request_id = ANY(:ids::uuid[])", ids=list(request_ids.values()))
    left = superuser.run(
        "SELECT state FROM public.reservations WHERE request_id = ANY(:ids::uuid[])", ids=list(request_ids.values())
    )
    assert left == [["reserved"]]


def test_even_the_owner_of_the_tables_sees_no_tenants_rows(world: World) -> None:
    with world.database.as_role("navplane_owner", size=1).transaction(org_id=world.own) as db:
        for table in TABLES:
            assert db.run(f"SELECT count(*) FROM public.{table.name}") == [[0]]


def test_a_partition_is_no_way_around_its_table(world: World, superuser: Connection) -> None:
    partitions = superuser.run(
        "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'public.request_logs'::regclass"
    )
    assert partitions
    for (partition,) in partitions:
        for role in ("navplane_admin", "navplane_reader", "navplane_writer"):
            with pytest.raises(DatabaseError, match=NO_PRIVILEGE), world.database.as_role(role, size=1).transaction() as db:
                db.run(f"SELECT FROM public.{partition}")


# -- the catalogue -------------------------------------------------------------------------------------------------------

UNFORCED = """
SELECT c.relname FROM pg_class AS c
 WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
   AND (c.relname = 'organizations' OR EXISTS (
        SELECT FROM pg_attribute AS a WHERE a.attrelid = c.oid AND a.attname = 'org_id' AND NOT a.attisdropped))
   AND NOT (c.relrowsecurity AND c.relforcerowsecurity)
"""
UNPOLICED = """
SELECT c.relname FROM pg_class AS c
 WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relrowsecurity
   AND NOT EXISTS (SELECT FROM pg_policy AS p WHERE p.polrelid = c.oid)
"""
LOOSE_FUNCTIONS = """
SELECT proname FROM pg_proc
 WHERE pronamespace = 'public'::regnamespace
   AND NOT ('search_path=pg_catalog, pg_temp' = ANY (coalesce(proconfig, '{}')))
"""
FOR_PUBLIC = """
SELECT 'table', relname::text FROM pg_class, aclexplode(relacl) AS acl
 WHERE relnamespace = 'public'::regnamespace AND acl.grantee = 0
UNION ALL SELECT 'column', attname::text FROM pg_attribute, aclexplode(attacl) AS acl, pg_class AS c
 WHERE c.oid = attrelid AND c.relnamespace = 'public'::regnamespace AND acl.grantee = 0
UNION ALL SELECT 'function', proname::text FROM pg_proc, aclexplode(coalesce(proacl, acldefault('f', proowner))) AS acl
 WHERE pronamespace = 'public'::regnamespace AND acl.grantee = 0
UNION ALL SELECT 'schema', nspname::text FROM pg_namespace, aclexplode(coalesce(nspacl, acldefault('n', nspowner))) AS acl
 WHERE nspname = 'public' AND acl.grantee = 0
UNION ALL SELECT 'database', datname::text FROM pg_database, aclexplode(coalesce(datacl, acldefault('d', datdba))) AS acl
 WHERE datname = current_database() AND acl.grantee = 0
UNION ALL SELECT 'policy', polname::text FROM pg_policy WHERE 0 = ANY (polroles)
"""
POWERFUL = """
SELECT rolname FROM pg_roles WHERE rolname LIKE 'navplane%'
   AND (rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb OR rolreplication)
"""
OUR_TABLES = """
SELECT relname FROM pg_class
 WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
"""
OWNED_BY_DEFINER = "SELECT relname FROM pg_class WHERE relowner = 'navplane_gate_definer'::regrole"
CATALOGUE = {
    "tables without forced row-level security": UNFORCED,
    "tables with row-level security and no policy": UNPOLICED,
    "functions without the fixed search path": LOOSE_FUNCTIONS,
    "what PUBLIC may do": FOR_PUBLIC,
    "roles with a power of their own": POWERFUL,
    "relations of the definer": OWNED_BY_DEFINER,
}


@pytest.mark.parametrize("what", CATALOGUE)
def test_the_catalogue_has_none_of(superuser: Connection, what: str) -> None:
    assert superuser.run(CATALOGUE[what]) == []


def test_every_table_of_the_schema_is_in_the_matrix_or_known_to_belong_to_nobody(superuser: Connection) -> None:
    tables = {row[0] for row in superuser.run(OUR_TABLES)}
    assert tables - BY_NAME.keys() == {
        "admin_idempotency",
        "admin_paces",
        "user_identities",
        "usage_queue",
        "usage_queue_sightings",
        "schema_migrations",
        "platform_limits",
        "platform_notifications",
        "rollup_checks",
        "model_price_hits",
        "model_prices",
        "audit_keys",
        "kek_rotations",
    }


# -- mutants: a lock that is taken off must be noticed -------------------------------------------------------------------


def wrong_cells(world: World, pool: Database) -> set[str]:
    """The tables for which a cell of the admin's matrix is not what it should be."""
    wrong = set()
    for table in TABLES:
        for verb in table.admin:
            for context in (OWN, OTHER, NONE):
                if attempt(pool, world, table, verb, context) not in expected(table, "navplane_admin", verb, context):
                    wrong.add(table.name)
    return wrong


POLICED = [table.name for table in TABLES if table.admin]


@pytest.mark.parametrize("name", POLICED)
def test_the_matrix_notices_a_dropped_policy(
    world: World, pools: dict[str, Database], superuser: Connection, name: str
) -> None:
    with policy_dropped(superuser, name):
        assert name in wrong_cells(world, pools["navplane_admin"])
    assert wrong_cells(world, pools["navplane_admin"]) == set()


@pytest.mark.parametrize("name", POLICED)
def test_the_matrix_notices_that_row_level_security_is_off(
    world: World, pools: dict[str, Database], superuser: Connection, name: str
) -> None:
    superuser.run(f"ALTER TABLE public.{name} DISABLE ROW LEVEL SECURITY")
    try:
        assert name in wrong_cells(world, pools["navplane_admin"])
        assert [name] in superuser.run(UNFORCED)
    finally:
        superuser.run(f"ALTER TABLE public.{name} ENABLE ROW LEVEL SECURITY")


class policy_dropped:  # noqa: N801 - read as a verb
    """Without the policy `tenant` on one table, and with it again afterwards."""

    def __init__(self, superuser: Connection, table: str) -> None:
        self._superuser, self._table = superuser, table

    def __enter__(self) -> None:
        roles, using = self._superuser.run(
            "SELECT array_to_json(roles)::text, qual FROM pg_policies WHERE tablename = :t AND policyname = 'tenant'",
            t=self._table,
        )[0]
        self._restore = f"CREATE POLICY tenant ON public.{self._table} TO {', '.join(json.loads(roles))} USING ({using})"
        self._superuser.run(f"DROP POLICY tenant ON public.{self._table}")

    def __exit__(self, *exc_info: object) -> None:
        self._superuser.execute_simple(self._restore)
