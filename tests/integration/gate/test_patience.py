"""The proxy's gate gives up after a second: a caller is told 503 long before it would give up itself."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from navplane import wiring
from navplane.config import DatabaseSettings
from navplane.crypto.api_key import digest, new_api_key
from navplane.errors import DependencyUnavailable
from navplane.gate.gate import Charge
from navplane.gate.gate_postgres import PostgresGate
from navplane.gateway.limits import Limits
from navplane.gateway.threads import GATE_THREADS

from tests.support.gate_seed_postgres import NOW, PostgresSeed, Tenant
from tests.support.gateway import GatewayServer, sealed_key
from tests.support.postgres import TestDatabase

# Well beyond the second, and well within what other functions wait for a statement.
RELEASED_AFTER_SECONDS = 3.5


def test_an_admission_that_has_to_wait_is_given_up_before_what_it_waits_for_ends(databases: TestDatabase) -> None:
    tenant = Tenant(PostgresSeed(databases.as_role("navplane_admin")))
    gate = wiring.late_gate(DatabaseSettings.from_env(databases.settings("navplane_gate")), connections=1)
    with databases.superuser() as holder:
        holder.run("BEGIN")
        holder.run("SELECT FROM public.organizations WHERE id = :id FOR UPDATE", id=tenant.org_id)
        release = threading.Timer(RELEASED_AFTER_SECONDS, lambda: holder.run("ROLLBACK"))
        release.start()
        try:
            with pytest.raises(DependencyUnavailable):
                gate.admit(tenant.ask(), NOW)
        finally:
            release.cancel()
            release.join()


def test_whoever_gave_up_on_a_gate_that_was_asked_has_a_row_for_what_it_reserves_later(databases: TestDatabase) -> None:
    """The real gate behind the real gateway, held up by a lock. Who was given up before the gate was asked leaves nothing at
    all; of the others the gate reserves once the lock is gone, and each reservation has the row that closes it."""
    seed, key = PostgresSeed(databases.as_role("navplane_admin")), new_api_key("np_")
    org_id = seed.organization()
    seed.key(org_id, digest=digest(key))
    seed.provider_key(sealed_key(org_id, "openai"))
    gate = PostgresGate(databases.as_role("navplane_gate", size=GATE_THREADS))
    server = GatewayServer({"openai": "http://127.0.0.1:9"}, gate=gate, limits=Limits(gate=0.5))
    with databases.superuser() as holder:
        holder.run("BEGIN")
        holder.run("SELECT FROM public.organizations WHERE id = :id FOR UPDATE", id=org_id)
        with server:
            with ThreadPoolExecutor(2 * GATE_THREADS) as callers:
                statuses = list(callers.map(lambda _: _status(server, key), range(2 * GATE_THREADS)))
            rows = {event.request_id for event in server.log.wait_for(GATE_THREADS)}
            # Leaving the server waits for the gate's threads, and so for the admissions that nobody waits for.
            holder.run("ROLLBACK")
        reserved = {row[0] for row in holder.run("SELECT request_id FROM public.reservations WHERE state = 'reserved'")}
        assert set(statuses) == {503}
        assert len(rows) == GATE_THREADS
        assert reserved == rows
        assert {event.request_id for event in server.log.events} == rows
        PostgresGate(databases.as_role("navplane_writer")).finalize({id_: Charge() for id_ in rows}, NOW)
        assert holder.run("SELECT count(*) FROM public.reservations WHERE state = 'reserved'") == [[0]]


def _status(server: GatewayServer, key: str) -> int:
    with server.client() as http:
        body = {"model": "gpt-5", "messages": []}
        return http.post("/v1/chat/completions", json=body, headers={"authorization": f"Bearer {key}"}).status_code
