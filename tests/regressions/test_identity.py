"""Who is calling: what other gateways got wrong about keys, and about whose fault it is when nobody can tell."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from urllib.parse import urlsplit

import httpx2
import pytest
from navplane.crypto.api_key import new_api_key
from navplane.errors import DependencyUnavailable
from navplane.gate.gate import Admission, Ask, Caller, Refusal, RefusalReason
from navplane.gate.gate_postgres import PostgresGate
from navplane.gateway.limits import Limits
from navplane.store.database import Connection, Database, connector

from tests.regressions.conftest import Application, new_tenant
from tests.support.gate_memory import MemoryGate
from tests.support.gate_seed_postgres import PostgresSeed
from tests.support.gateway import GatewayServer, add_tenant, exchange
from tests.support.postgres import TestDatabase
from tests.support.provider import FakeProvider, json_answer

CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
BODIES = {CHAT: b'{"model":"gpt-5","messages":[]}', MESSAGES: b'{"model":"claude-opus-5","max_tokens":5,"messages":[]}'}
ANSWER = b'{"model":"gpt-5","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1}}'
INJECTIONS = [
    "' OR '1'='1",
    "np_' OR 1=1 --",
    "np_x'; DROP TABLE api_keys; --",
    "np_$(SELECT digest FROM api_keys LIMIT 1)",
    "{key}' OR 'a'='a",
    "{key}%27%20OR%201=1",
    "{key}\\' UNION SELECT * FROM api_keys --",
]


def sibling(key: str) -> str:
    """Another key: all of the first but its last character."""
    return key[:-1] + ("0" if key[-1] != "0" else "1")


def code(answer: httpx2.Response) -> tuple[int, str]:
    error = answer.json()["error"]
    return answer.status_code, error.get("code") or error["type"]


class CountedConnections:
    """What a gate is given in place of the database: it counts how often it is asked for a connection."""

    def __init__(self, database: Database) -> None:
        self._database, self.taken = database, 0

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        self.taken += 1
        with self._database.connection() as db:
            yield db


@pytest.mark.parametrize("header", ["authorization", "x-api-key", "api-key"])
def test_sql_built_from_the_auth_header(
    module_database: TestDatabase, seed: PostgresSeed, provider: FakeProvider, superuser: Connection, header: str
) -> None:
    connections = CountedConnections(module_database.as_role("navplane_gate"))
    provider.script(json_answer(ANSWER))
    with GatewayServer({"openai": provider.url}, gate=PostgresGate(connections)) as server, server.client() as http:
        tenant = new_tenant(server, seed, http)
        before = superuser.run("SELECT count(*), max(updated_at) FROM api_keys")
        called, headers = len(provider.requests), {"content-type": "application/json"}
        for injection in INJECTIONS:
            value = injection.format(key=tenant.key)
            credential = {header: f"Bearer {value}" if header == "authorization" else value}
            answer = http.post(CHAT, content=BODIES[CHAT], headers=headers | credential)
            assert code(answer) == (401, "invalid_api_key"), injection
        assert (connections.taken, len(provider.requests)) == (0, called)
        assert superuser.run("SELECT count(*), max(updated_at) FROM api_keys") == before
        credential = {header: f"Bearer {tenant.key}" if header == "authorization" else tenant.key}
        assert http.post(CHAT, content=BODIES[CHAT], headers=headers | credential).content == ANSWER
        assert connections.taken > 0


def test_identity_cache_keyed_on_the_first_20_characters(tenant: Application, provider: FakeProvider) -> None:
    provider.script(json_answer(ANSWER))
    assert tenant.post(CHAT, BODIES[CHAT]).status_code == 200
    called = len(provider.requests)
    for stranger in (sibling(tenant.key), tenant.key[:20] + sibling(new_api_key("np_"))[20:]):
        assert stranger[:20] == tenant.key[:20], "what the bug looked at is the same"
        assert code(tenant.post(CHAT, BODIES[CHAT], authorization=f"Bearer {stranger}")) == (401, "invalid_api_key")
    assert len(provider.requests) == called


def test_a_401_cache_keyed_on_a_token_prefix(tenant: Application, provider: FakeProvider) -> None:
    """Whoever guesses at keys must not lock out the one whose key begins alike."""
    provider.script(json_answer(ANSWER))
    for _ in range(5):
        assert tenant.post(CHAT, BODIES[CHAT], authorization=f"Bearer {sibling(tenant.key)}").status_code == 401
    assert tenant.post(CHAT, BODIES[CHAT]).content == ANSWER


class OutageGate(MemoryGate):
    """As long as `away` it can't answer; the first admission after `hold` was set is decided at once and told later."""

    def __init__(self) -> None:
        super().__init__()
        self.away = False
        self.hold: threading.Event | None = None
        self.holding = threading.Event()

    def admit(self, ask: Ask, now: datetime) -> Admission | Refusal:
        self._fail()
        answer, held, self.hold = super().admit(ask, now), self.hold, None
        if held is not None:
            self.holding.set()
            assert held.wait(10)
        return answer

    def standing(self, callers: Sequence[Caller], now: datetime) -> Sequence[RefusalReason | None]:
        self._fail()
        return super().standing(callers, now)

    def _fail(self) -> None:
        if self.away:
            raise DependencyUnavailable("The gate is away.")


@pytest.fixture
def failing() -> OutageGate:
    return OutageGate()


@pytest.fixture
def remembering(provider: FakeProvider, failing: OutageGate) -> Iterator[Application]:
    """Of an organization that is served by what is remembered of its admissions while the gate is away: the one cache."""
    tenant = add_tenant(failing)
    failing.set_cached_admission(tenant.org_id, True)
    provider.script(json_answer(ANSWER))
    # Nobody gives up on the gate, however slow this machine is.
    patient = Limits(gate=30.0)
    with GatewayServer({"openai": provider.url}, gate=failing, limits=patient) as server, server.client() as http:
        yield Application(server=server, caller=tenant.caller, key=tenant.key, http=http)


def test_identity_cache_of_an_outage_keyed_on_the_first_20_characters(remembering: Application, failing: OutageGate) -> None:
    assert remembering.post(CHAT, BODIES[CHAT]).status_code == 200
    failing.away = True
    assert remembering.post(CHAT, BODIES[CHAT]).content == ANSWER, "the cache is at work"
    stranger = remembering.post(CHAT, BODIES[CHAT], authorization=f"Bearer {sibling(remembering.key)}")
    assert code(stranger) == (503, "unavailable")


def test_a_stale_key_object_written_back_to_a_cache(remembering: Application, failing: OutageGate) -> None:
    """An admission is decided; the key is revoked and another call told so; only then does the first hear of its admission."""
    released = threading.Event()
    failing.hold = released
    early: list[int] = []
    asking = threading.Thread(target=lambda: early.append(remembering.post(CHAT, BODIES[CHAT]).status_code))
    asking.start()
    assert failing.holding.wait(10)
    failing.revoke(remembering.caller.key_id)
    assert remembering.post(CHAT, BODIES[CHAT]).status_code == 401
    released.set()
    asking.join(10)
    # It was admitted before the key was revoked, or was found out about by the look before the first byte.
    assert early in ([200], [401])
    failing.away = True
    assert code(remembering.post(CHAT, BODIES[CHAT])) == (503, "unavailable")


# -- whose fault it is -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [CHAT, MESSAGES])
def test_a_database_fault_shown_as_401(provider: FakeProvider, tenant: Application, path: str) -> None:
    nowhere = connector(host="/nonexistent", port=5432, name="x", user="x", password=lambda: "x", tls=False, tls_ca_file=None)
    called = len(provider.requests)
    with GatewayServer({}, gate=PostgresGate(Database(nowhere, size=1))) as server, server.client() as http:
        answer = http.post(path, content=BODIES[path], headers=tenant.headers)
    assert code(answer) == (503, "unavailable" if path == CHAT else "api_error")
    assert int(answer.headers["retry-after"]) <= 2
    assert len(provider.requests) == called
    provider.script(json_answer(ANSWER))
    assert tenant.post(path, BODIES[path]).status_code == 200, "the key was good all the time"


def test_a_database_that_refuses_a_statement_shown_as_401(databases: TestDatabase, provider: FakeProvider) -> None:
    seed = PostgresSeed(databases.as_role("navplane_admin"))
    gate = PostgresGate(databases.as_role("navplane_gate"))
    with databases.superuser() as db:
        db.run("REVOKE SELECT ON api_keys FROM navplane_gate_definer")
    with GatewayServer({"openai": provider.url}, gate=gate) as server, server.client() as http:
        tenant, called = new_tenant(server, seed, http), len(provider.requests)
        assert tenant.post(CHAT, BODIES[CHAT]).status_code == 500
    assert len(provider.requests) == called


# -- what decides ----------------------------------------------------------------------------------------------------------

HOSTS = ["127.0.0.1/health?", "127.0.0.1/health#", "x@127.0.0.1/ready?", "127.0.0.1", "localhost:1"]


@pytest.mark.parametrize("host", HOSTS)
def test_auth_decided_on_a_url_rebuilt_from_host(server: GatewayServer, provider: FakeProvider, host: str) -> None:
    called = len(provider.requests)
    forwarded = (
        f"X-Forwarded-Host: {host}\r\nX-Original-URL: /health\r\nX-Rewrite-URL: /health\r\nX-Forwarded-Prefix: /health\r\n"
    )
    for headers in (f"Host: {host}\r\n", f"Host: {host}\r\n{forwarded}", f"Host: 127.0.0.1\r\n{forwarded}"):
        body = BODIES[CHAT]
        head = f"POST {CHAT} HTTP/1.1\r\n{headers}content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        answer = exchange(server.port, head.encode() + body)
        assert answer.startswith(b"HTTP/1.1 401 "), answer
    assert len(provider.requests) == called


def test_those_hosts_do_fool_who_rebuilds_the_url() -> None:
    """The bug itself: what it takes for a path that needs no key."""
    fooled = [host for host in HOSTS if urlsplit(f"http://{host}{CHAT}").path in ("/health", "/ready")]
    assert len(fooled) == 3
