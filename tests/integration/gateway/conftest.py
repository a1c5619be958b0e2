"""One gateway and one fake provider for a module; an organization of its own for each test."""

from collections.abc import Iterator
from dataclasses import dataclass

import httpx2
import pytest
from navplane.model.tenancy import StreamUsage
from navplane.model.usage_event import UsageEvent

from tests.support.gateway import GatewayServer, Tenant
from tests.support.provider import FakeProvider


@pytest.fixture(scope="module")
def provider() -> Iterator[FakeProvider]:
    with FakeProvider() as playing:
        yield playing


@pytest.fixture(scope="module")
def server(provider: FakeProvider) -> Iterator[GatewayServer]:
    with GatewayServer({"openai": provider.url, "anthropic": provider.url}) as running:
        yield running


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """A caller with a key, and the rows that came of its calls."""

    tenant: Tenant
    server: GatewayServer
    http: httpx2.Client

    @property
    def bearer(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.tenant.key}"}

    def post(self, path: str, body: bytes, *, headers: dict[str, str] | None = None) -> httpx2.Response:
        return self.http.post(
            path, content=body, headers={"content-type": "application/json", **self.bearer, **(headers or {})}
        )

    def row(self) -> UsageEvent:
        """The one row of this organization."""
        (event,) = self.server.log.wait_for(1, org_id=self.tenant.org_id)
        return event


@pytest.fixture
def application(server: GatewayServer) -> Iterator[Application]:
    with server.client() as http:
        yield Application(tenant=server.tenant(), server=server, http=http)


@pytest.fixture
def observer(server: GatewayServer) -> Iterator[Application]:
    """Of an organization whose streams are left as they are."""
    with server.client() as http:
        yield Application(tenant=server.tenant(stream_usage=StreamUsage.OBSERVE), server=server, http=http)
