"""The control plane: tests without a role check, jobs of somebody else, and whose fault a fault is."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from navplane.admin.access import Access
from navplane.admin.app import create
from navplane.admin.openapi import ROUTERS
from navplane.admin.plane import KeyDesk, Plane
from navplane.crypto.kek_local import LocalKek
from navplane.crypto.token import TokenVerifier
from navplane.custody.probe_provider import ProviderProbe
from navplane.model.ids import new_id
from navplane.model.tenancy import Region
from navplane.store.database import Connection, Database, connector
from navplane.upstream.origin import Origins
from navplane_local.issuer import Issuer

from tests.support.http_script import Answer, ScriptedServer, serving
from tests.support.oidc import issuing
from tests.support.postgres import TestDatabase

SECRET = "sk-live-0123456789-WXYZ"
SERVICE_KEY = {"name": "x", "role": "auditor", "expires_at": (datetime.now(UTC) + timedelta(days=1)).isoformat()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """The whole admin API, as a platform admin, and the provider that it asks about keys."""

    plane: Plane
    app: FastAPI
    reading: FastAPI
    issuer: Issuer
    provider: ScriptedServer

    def client(self, subject: str, *, reading: bool = False) -> TestClient:
        """`reading`: of the function that only reads."""
        app = self.reading if reading else self.app
        return TestClient(app, headers={"authorization": f"Bearer {self.issuer.mint(subject)}"})

    @property
    def admin(self) -> TestClient:
        return self.client("local|admin")

    def organization(self) -> str:
        """Its path."""
        return f"/admin/orgs/{self.admin.post('/admin/orgs', json={'name': 'Acme'}).json()['id']}"

    def stored_key(self, organization: str) -> str:
        body = {"provider": "openai", "label": "production", "api_key": SECRET}
        answer = self.admin.post(f"{organization}/provider-keys", json=body)
        assert answer.status_code == 201, answer.text
        return f"{organization}/provider-keys/{answer.json()['id']}"


@pytest.fixture(scope="module")
def installed(module_database: TestDatabase) -> Iterator[Installation]:
    database, kek = module_database.as_role("navplane_admin"), LocalKek(os.urandom(32))
    with issuing() as (issuer, _), serving(lambda request: Answer(body=b'{"data":[]}')) as provider:
        origins = Origins(overrides={"openai": provider.url}, demo_url=None)
        verifier, admins = TokenVerifier(issuer.url, "navplane"), frozenset({"local|admin"})
        plane = Plane(
            database=database,
            access=Access(verifier, database=database, admin_subjects=admins, records_users=True),
            region=Region.US,
            key_prefixes=("np_",),
            key_desk=KeyDesk(kek=kek, origins=origins),
            probe=ProviderProbe(database=module_database.as_role("navplane_probe", size=1), keys=kek, origins=origins),
        )
        reader = module_database.as_role("navplane_reader")
        readers = Access(verifier, database=reader, admin_subjects=admins, records_users=False)
        yield Installation(
            plane=plane,
            app=create(title="test", routers=ROUTERS, plane=plane),
            reading=create(title="reads", routers=ROUTERS, plane=replace(plane, database=reader, access=readers)),
            issuer=issuer,
            provider=provider,
        )


@pytest.fixture
def superuser(module_database: TestDatabase) -> Iterator[Connection]:
    with module_database.superuser() as connection:
        yield connection


def member(installed: Installation, superuser: Connection, organization: str, membership: str) -> str:
    """The subject of somebody who was made one by hand."""
    user_id = new_id()
    superuser.run(
        "INSERT INTO user_identities (id, issuer, subject) VALUES (:id, :issuer, :subject)",
        id=user_id, issuer=installed.issuer.url, subject=str(user_id),
    )  # fmt: skip
    superuser.run(
        "INSERT INTO org_members (org_id, user_id, role) VALUES (:org, :id, :role)",
        org=organization.split("/")[3], id=user_id, role=membership,
    )  # fmt: skip
    return str(user_id)


def test_a_test_connection_endpoint_without_a_role_check(installed: Installation, superuser: Connection) -> None:
    mine, other = installed.organization(), installed.organization()
    key = installed.stored_key(mine)
    owner, plain = (installed.client(member(installed, superuser, mine, each)) for each in ("owner", "member"))
    stranger = installed.client(member(installed, superuser, other, "owner"))
    installed.provider.requests.clear()
    anybody = {
        "nobody": TestClient(installed.app),
        "a bad token": TestClient(installed.app, headers={"authorization": "Bearer x.y.z"}),
        "without the role": plain,
        "another's owner": stranger,
        "unknown": installed.client(f"nobody|{uuid4()}"),
    }
    answered = {name: client.post(f"{key}/test").status_code for name, client in anybody.items()}
    through_their_own = stranger.post(key.replace(mine, other) + "/test")
    body = {"provider": "openai", "label": "x", "api_key": "sk-live-of-somebody-else", "base_url": None}
    # Storing a key asks the provider, too.
    stored = {name: client.post(f"{mine}/provider-keys", json=body).status_code for name, client in anybody.items()}
    expected = {"nobody": 401, "a bad token": 401, "without the role": 403, "another's owner": 404, "unknown": 404}
    assert answered == stored == expected
    assert through_their_own.status_code == 404
    assert installed.provider.requests == [], "nobody's question reached the provider"
    assert owner.post(f"{key}/test").json()["result"] == "ok"
    assert [request.headers["authorization"] for request in installed.provider.requests] == [f"Bearer {SECRET}"]


def test_idor_on_an_async_job_of_another_organization(installed: Installation, superuser: Connection) -> None:
    mine, other = installed.organization(), installed.organization()
    owner = installed.client(member(installed, superuser, mine, "owner"))
    subject = member(installed, superuser, other, "owner")
    stranger, reader = installed.client(subject), installed.client(subject, reading=True)
    now = datetime.now(UTC)
    span = {"start": (now - timedelta(days=1)).isoformat(), "end": now.isoformat()}
    made = owner.post(f"{mine}/export-jobs", json={"subject": "requests", **span})
    assert made.status_code == 202, made.text
    job = made.json()["id"]

    def answers(organization: str, job_id: str) -> list[tuple[int, Any]]:
        path = f"{organization}/export-jobs/{job_id}"
        given = [stranger.get(path), reader.get(f"{path}/parts/1"), stranger.delete(path)]
        return [(answer.status_code, answer.json()["detail"]) for answer in given]

    through_their_own = answers(other, job)
    assert {status for status, _ in through_their_own} == {404}
    assert through_their_own == answers(other, str(uuid4())), "as if there were none"
    assert {status for status, _ in answers(mine, job)} == {404}
    assert owner.get(f"{mine}/export-jobs/{job}").json()["state"] == "waiting", "it is there, and nobody has touched it"


@pytest.mark.parametrize("credential", ["token", "service key"])
def test_a_database_fault_answered_with_401(installed: Installation, credential: str) -> None:
    organization = installed.organization()
    made = installed.admin.post(f"{organization}/service-keys", json=SERVICE_KEY)
    assert made.status_code == 201, made.text
    presented = installed.issuer.mint("local|admin") if credential == "token" else made.json()["api_key"]
    headers = {"authorization": f"Bearer {presented}"}
    assert TestClient(installed.app, headers=headers).get(f"{organization}/requests").status_code == 200
    nowhere = connector(host="/nonexistent", port=5432, name="x", user="x", password=lambda: "x", tls=False, tls_ca_file=None)
    away = Database(nowhere, size=1)
    verifier, admins = TokenVerifier(installed.issuer.url, "navplane"), frozenset({"local|admin"})
    access = Access(verifier, database=away, admin_subjects=admins, records_users=True)
    app = create(title="test", routers=ROUTERS, plane=replace(installed.plane, database=away, access=access))
    answer = TestClient(app, headers=headers).get(f"{organization}/requests")
    assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (503, "unavailable", "1")


def test_sql_built_from_the_auth_header_of_the_admin_api(installed: Installation, superuser: Connection) -> None:
    before = superuser.run("SELECT count(*) FROM service_keys")
    for injection in ("' OR '1'='1", "nps_' OR 1=1 --", "nps_x'; DROP TABLE service_keys; --"):
        answer = TestClient(installed.app, headers={"authorization": f"Bearer {injection}"}).get("/admin/orgs")
        assert answer.status_code == 401, injection
    assert superuser.run("SELECT count(*) FROM service_keys") == before


@pytest.mark.parametrize(
    "base_url",
    [
        "https://169.254.169.254",
        "https://127.0.0.1:1",
        "https://localhost:1",
        "http://llm.example.com",
        "https://user@llm.example.com",
    ],
)
def test_ssrf_by_the_address_of_a_provider_key(installed: Installation, base_url: str) -> None:
    organization = installed.organization()
    for provider in ("custom", "azure", "openai"):
        body = {"provider": provider, "label": "x", "api_key": SECRET, "base_url": base_url}
        answer = installed.admin.post(f"{organization}/provider-keys", json=body)
        assert answer.status_code == 422, answer.text
        assert SECRET not in answer.text
