"""The whole admin API in one application, on a real Postgres, with an issuer and a provider on real HTTP."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from navplane.admin.access import Access
from navplane.admin.app import create
from navplane.admin.openapi import ROUTERS
from navplane.admin.plane import KeyDesk, Plane
from navplane.admin.readiness import Readiness, database_probe, kek_probe
from navplane.crypto.kek_local import LocalKek
from navplane.crypto.token import TokenVerifier
from navplane.custody.probe_provider import ProviderProbe
from navplane.gate.gate_postgres import PostgresGate
from navplane.model.tenancy import Region
from navplane.store.database import Database
from navplane.upstream.origin import Origins
from navplane_local.issuer import Issuer

from tests.integration.admin.support import Admission, Mailbox, provider_script
from tests.integration.admin.workflow_support import Team
from tests.support.http_script import ScriptedServer, serving
from tests.support.oidc import issuing
from tests.support.postgres import TestDatabase


@pytest.fixture(scope="module")
def served_issuer() -> Iterator[tuple[Issuer, ScriptedServer]]:
    with issuing() as pair:
        yield pair


@pytest.fixture(scope="module")
def issuer(served_issuer: tuple[Issuer, ScriptedServer]) -> Issuer:
    return served_issuer[0]


@pytest.fixture
def provider() -> Iterator[ScriptedServer]:
    """Every provider, at its override, and the demo upstream below /demo."""
    with serving(provider_script) as server:
        yield server


@pytest.fixture(scope="module")
def database(module_database: TestDatabase) -> Database:
    return module_database.as_role("navplane_admin")


@pytest.fixture(scope="module")
def kek() -> LocalKek:
    return LocalKek(os.urandom(32))


@pytest.fixture(scope="module")
def access(issuer: Issuer, database: Database) -> Access:
    return Access(
        TokenVerifier(issuer.url, "navplane"),
        database=database,
        admin_subjects=frozenset({"local|admin"}),
        records_users=True,
    )


@pytest.fixture
def mailbox() -> Mailbox:
    return Mailbox()


@pytest.fixture
def plane(
    database: Database,
    access: Access,
    kek: LocalKek,
    provider: ScriptedServer,
    module_database: TestDatabase,
    mailbox: Mailbox,
) -> Plane:
    overrides = {"openai": provider.url, "anthropic": provider.url}
    origins = Origins(overrides=overrides, demo_url=provider.url + "/demo")
    return Plane(
        database=database,
        access=access,
        region=Region.US,
        key_prefixes=("np_",),
        key_desk=KeyDesk(kek=kek, origins=origins),
        mailer=mailbox,
        probe=ProviderProbe(database=module_database.as_role("navplane_probe", size=1), keys=kek, origins=origins),
        readiness=Readiness({"database": database_probe(database), "kek": kek_probe(kek)}),
    )


@pytest.fixture
def app(plane: Plane) -> FastAPI:
    return create(title="test", routers=ROUTERS, plane=plane)


@pytest.fixture
def anonymous(app: FastAPI) -> TestClient:
    return TestClient(app)


@pytest.fixture
def api(app: FastAPI, issuer: Issuer) -> TestClient:
    """As the platform admin."""
    return TestClient(app, headers={"authorization": f"Bearer {issuer.mint('local|admin')}"})


@pytest.fixture
def organization(api: TestClient) -> dict[str, str]:
    """A fresh one, as it was answered, API key included."""
    answer = api.post("/admin/orgs", json={"name": "Acme"})
    assert answer.status_code == 201, answer.text
    created: dict[str, str] = answer.json()
    return created


@pytest.fixture
def team(app: FastAPI, api: TestClient, issuer: Issuer, organization: dict[str, str], module_database: TestDatabase) -> Team:
    key = {"provider": "openai", "label": "x", "api_key": "sk-live-12345678"}
    assert api.post(f"/admin/orgs/{organization['id']}/provider-keys", json=key).status_code == 201
    return Team(app=app, issuer=issuer, database=module_database, organization=organization)


@pytest.fixture
def admission(module_database: TestDatabase) -> Admission:
    """What the gate says of an API key: None when it lets a call through, else why not."""
    return Admission(PostgresGate(module_database.as_role("navplane_gate")), now=datetime.now(UTC))
