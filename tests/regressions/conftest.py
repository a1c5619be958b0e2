"""The gateway before a provider that a test plays; its gate in memory, or on a real Postgres with the real ledger."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx2
import pytest
from navplane.crypto.api_key import digest, new_api_key
from navplane.gate.gate import Caller
from navplane.gate.gate_postgres import PostgresGate
from navplane.ingest.recording import record_what_can_be
from navplane.model.tenancy import StreamUsage
from navplane.model.usage_event import UsageEvent
from navplane.store.database import Connection, Database

from tests.support.gate_seed_postgres import PostgresSeed
from tests.support.gateway import GatewayServer, sealed_key
from tests.support.postgres import TestDatabase
from tests.support.provider import FakeProvider


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """A caller with a key, and the rows that came of its calls."""

    server: GatewayServer
    caller: Caller
    key: str
    http: httpx2.Client

    @property
    def org_id(self) -> UUID:
        return self.caller.org_id

    @property
    def headers(self) -> dict[str, str]:
        return {"content-type": "application/json", "authorization": f"Bearer {self.key}"}

    def post(self, path: str, body: bytes, **more: str) -> httpx2.Response:
        """`more` are headers, with underscores for hyphens."""
        added = {name.replace("_", "-"): value for name, value in more.items()}
        return self.http.post(path, content=body, headers=self.headers | added)

    def row(self) -> UsageEvent:
        (event,) = self.server.log.wait_for(1, org_id=self.org_id)
        return event


@pytest.fixture(scope="module")
def provider() -> Iterator[FakeProvider]:
    with FakeProvider() as playing:
        yield playing


@pytest.fixture(scope="module")
def server(provider: FakeProvider) -> Iterator[GatewayServer]:
    with GatewayServer({"openai": provider.url, "anthropic": provider.url}) as running:
        yield running


@pytest.fixture
def application(server: GatewayServer) -> Iterator[Application]:
    """Of an organization whose streams are asked for their usage."""
    tenant = server.tenant()
    with server.client() as http:
        yield Application(server=server, caller=tenant.caller, key=tenant.key, http=http)


@pytest.fixture
def observer(server: GatewayServer) -> Iterator[Application]:
    """Of one whose streams are left as they are."""
    tenant = server.tenant(stream_usage=StreamUsage.OBSERVE)
    with server.client() as http:
        yield Application(server=server, caller=tenant.caller, key=tenant.key, http=http)


# -- on Postgres -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def seed(module_database: TestDatabase) -> PostgresSeed:
    return PostgresSeed(module_database.as_role("navplane_admin"), superuser=module_database.superuser)


@pytest.fixture(scope="module")
def gate(module_database: TestDatabase) -> PostgresGate:
    return PostgresGate(module_database.as_role("navplane_gate"))


@pytest.fixture(scope="module")
def deployed(provider: FakeProvider, gate: PostgresGate) -> Iterator[GatewayServer]:
    with GatewayServer({"openai": provider.url, "anthropic": provider.url}, gate=gate) as running:
        yield running


@pytest.fixture
def superuser(module_database: TestDatabase) -> Iterator[Connection]:
    with module_database.superuser() as connection:
        yield connection


@pytest.fixture
def writer(module_database: TestDatabase) -> Database:
    return module_database.as_role("navplane_writer", size=1)


@pytest.fixture
def tenant(deployed: GatewayServer, seed: PostgresSeed) -> Iterator[Application]:
    with deployed.client() as http:
        yield new_tenant(deployed, seed, http)


def new_tenant(
    server: GatewayServer, seed: PostgresSeed, http: httpx2.Client, *, stream_usage: StreamUsage = StreamUsage.INJECT
) -> Application:
    """An organization with a key for each provider, and one key of its own."""
    org_id, key = seed.organization(stream_usage=stream_usage), new_api_key("np_")
    caller = seed.key(org_id, digest=digest(key))
    for name in ("openai", "anthropic"):
        seed.provider_key(sealed_key(org_id, name))
    return Application(server=server, caller=caller, key=key, http=http)


def entered(superuser: Connection, writer: Database, event: UsageEvent, *columns: str) -> tuple[list[Any], list[Any]]:
    """The writer records the event: those columns of its row, and the amounts of its entries in the ledger."""
    record_what_can_be(writer, [event])
    [row] = superuser.run(f"SELECT {', '.join(columns)} FROM request_logs WHERE request_id = :id", id=event.request_id)
    entries = superuser.run("SELECT amount_usd FROM ledger_entries WHERE request_id = :id", id=event.request_id)
    return list(row), [amount for (amount,) in entries]
