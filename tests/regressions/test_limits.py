"""Limits: how other gateways' budgets were passed by, forgotten or multiplied. On a real Postgres."""

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest
from navplane.gate.gate import Admission, Ask, Charge
from navplane.gate.gate_postgres import PostgresGate
from navplane.model.ids import new_id, new_request_id
from navplane.model.limit import Limit, LimitKind, LimitScope
from navplane.store.database import Connection

from tests.regressions.conftest import Application
from tests.support.gate_seed_postgres import NOW, PostgresSeed, Tenant
from tests.support.postgres import TestDatabase
from tests.support.provider import FakeProvider, json_answer

PREFIXES = {"openai": ["/v1", "", "/v1/v1", "/openai/v1"], "anthropic": ["/v1", "", "/v1/v1", "/anthropic/v1"]}
OPERATIONS = [
    ("openai", "/chat/completions", {"model": "gpt-5", "messages": [], "max_completion_tokens": 5}),
    ("openai", "/responses", {"model": "gpt-5", "input": "x", "max_output_tokens": 5, "store": False}),
    ("openai", "/embeddings", {"model": "text-embedding-3-small", "input": "x"}),
    ("anthropic", "/messages", {"model": "claude-opus-5", "messages": [], "max_tokens": 5}),
]
SIDE_DOORS = ["/passthrough", "/openai/passthrough/v1/chat/completions", "/proxy/openai/v1/chat/completions", "/v1/rerank"]

# The bugs, put into the gate's own functions. Each connection has counters of its own, as a limiter in memory would.
COUNT_PER_INSTANCE = """
CREATE OR REPLACE FUNCTION public.gate_window(kind text, at_time timestamptz, OUT name text, OUT ends_at timestamptz)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    name := 'of ' || pg_backend_pid();
    ends_at := date_trunc('minute', at_time) + interval '1 minute';
END $$
"""
# The check and the count are two statements, and the gap between them is held open.
CHECK_THEN_COUNT = """
CREATE OR REPLACE FUNCTION public.gate_count(
    of_org_id uuid, of_scope text, of_scope_id uuid, of_kind text, amount bigint, strict boolean, weight bigint,
    at_time timestamptz
) RETURNS bigint LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    period   record := public.gate_window(of_kind, at_time);
    so_far   bigint;
    counted  bigint;
BEGIN
    INSERT INTO public.limit_counters (org_id, scope, scope_id, kind, window_name, ends_at)
    VALUES (of_org_id, of_scope, of_scope_id, of_kind, period.name, period.ends_at) ON CONFLICT DO NOTHING;
    SELECT c.used INTO so_far FROM public.limit_counters AS c
     WHERE c.scope_id = of_scope_id AND c.kind = of_kind AND c.window_name = period.name;
    IF so_far + weight > amount THEN
        RETURN NULL;
    END IF;
    PERFORM pg_sleep(0.2);
    UPDATE public.limit_counters AS c SET used = c.used + weight
     WHERE c.scope_id = of_scope_id AND c.kind = of_kind AND c.window_name = period.name RETURNING c.id INTO counted;
    RETURN counted;
END $$
"""


def limited(seed: PostgresSeed, tenant: Tenant | Application, kind: LimitKind, amount: int) -> None:
    scope_id = tenant.caller.key_id
    seed.set_limit(tenant.org_id, Limit(id=new_id(), scope=LimitScope.KEY, scope_id=scope_id, kind=kind, amount=amount))


def ask(tenant: Tenant, *, tokens: int = 0, nano_usd: int = 0) -> Ask:
    weight = Charge(tokens=tokens, nano_usd=nano_usd)
    return replace(tenant.ask(), request_id=new_request_id(NOW), reserve=weight)


def used(superuser: Connection, tenant: Tenant) -> list[int]:
    sql = "SELECT used FROM limit_counters WHERE scope_id = :id ORDER BY kind"
    return [row[0] for row in superuser.run(sql, id=tenant.caller.key_id)]


def admitted(gates: Sequence[PostgresGate], tenant: Tenant, *, times: int, nano_usd: int = 0) -> int:
    """How many pass when each gate is asked so many times, all of them at once."""
    with ThreadPoolExecutor(len(gates)) as instances:
        answers = instances.map(
            lambda gate: [gate.admit(ask(tenant, nano_usd=nano_usd), NOW) for _ in range(times)],
            gates,
        )
        return sum(isinstance(answer, Admission) for each in answers for answer in each)


def instances(database: TestDatabase, count: int) -> list[PostgresGate]:
    """Gates of as many processes: each with one connection of its own."""
    return [PostgresGate(database.as_role("navplane_gate", size=1)) for _ in range(count)]


# -- routes ----------------------------------------------------------------------------------------------------------------


def test_passthrough_routes_without_a_budget(tenant: Application, seed: PostgresSeed, provider: FakeProvider) -> None:
    provider.script(json_answer(b'{"usage":{}}'))
    paths = [(prefix + path, json.dumps(body)) for name, path, body in OPERATIONS for prefix in PREFIXES[name]]
    called = len(provider.requests)
    for path, body in paths:
        assert tenant.post(path, body.encode()).status_code == 200, path
    assert len(provider.requests) == called + len(paths), "without a budget each of them reaches the provider"
    limited(seed, tenant, LimitKind.TOKENS_PER_MONTH, 0)
    for path, body in paths:
        assert tenant.post(path, body.encode()).status_code == (402 if "messages" in path else 429), path
    for path in SIDE_DOORS:
        assert tenant.post(path, paths[0][1].encode()).status_code == 404, path
    assert len(provider.requests) == called + len(paths)


# -- counters --------------------------------------------------------------------------------------------------------------


def test_spend_restored_by_a_stale_cache_write(
    module_database: TestDatabase, seed: PostgresSeed, gate: PostgresGate, superuser: Connection
) -> None:
    """Whatever was true earlier comes late, or again: what was spent stays spent."""
    tenant, writers = Tenant(seed), PostgresGate(module_database.as_role("navplane_writer"))
    limited(seed, tenant, LimitKind.TOKENS_PER_DAY, 100)
    spent = ask(tenant, tokens=90)
    assert isinstance(gate.admit(spent, NOW), Admission)
    gate.settle(spent.request_id, Charge(tokens=90), NOW)
    writers.finalize({spent.request_id: Charge(tokens=95)}, NOW)
    assert used(superuser, tenant) == [95]
    # The proxy's settlement again, an older one; its admission again; the reaper, long after the lease.
    gate.settle(spent.request_id, Charge(tokens=0), NOW - timedelta(seconds=5))
    with pytest.raises(Exception, match="closed"):
        gate.admit(spent, NOW)
    writers.expire(NOW + timedelta(hours=1), limit=100, now=NOW)
    assert used(superuser, tenant) == [95]
    # A limit that is set anew, as a console that has read it an hour ago would: the limit changes, the spend does not.
    limited(seed, tenant, LimitKind.TOKENS_PER_DAY, 99)
    assert used(superuser, tenant) == [95]
    assert not isinstance(gate.admit(ask(tenant, tokens=5), NOW), Admission)
    assert isinstance(gate.admit(ask(tenant, tokens=4), NOW), Admission)


def test_rate_limits_multiplied_by_the_number_of_instances(databases: TestDatabase) -> None:
    seed, gates = PostgresSeed(databases.as_role("navplane_admin")), instances(databases, 4)
    tenant, other = Tenant(seed), Tenant(seed)
    for each in (tenant, other):
        limited(seed, each, LimitKind.REQUESTS_PER_MINUTE, 5)
    assert admitted(gates, tenant, times=6) == 5
    with databases.superuser() as db:
        db.execute_simple(COUNT_PER_INSTANCE)
    assert admitted(gates, other, times=6) == 20, "the bug: as many as the limit for each of four"


def test_budget_check_then_increment(databases: TestDatabase) -> None:
    seed, gates = PostgresSeed(databases.as_role("navplane_admin")), instances(databases, 8)
    tenant, other = Tenant(seed), Tenant(seed)
    for each in (tenant, other):
        limited(seed, each, LimitKind.USD_PER_DAY, 200)
    assert admitted(gates, tenant, times=2, nano_usd=100) == 2
    with databases.superuser() as db:
        db.execute_simple(CHECK_THEN_COUNT)
    assert admitted(gates, other, times=1, nano_usd=100) > 2, "the bug: all have looked before the first has counted"
