"""A stored key is tested by the one part that may open it, and by nobody else."""

from dataclasses import replace
from uuid import UUID, uuid4

import pytest
from fastapi.testclient import TestClient
from navplane.admin.app import create
from navplane.admin.openapi import ROUTERS
from navplane.admin.plane import Plane
from navplane.crypto.kek_local import LocalKek
from navplane.custody.probe_provider import ProviderProbe
from navplane.store.database import sqlstate
from navplane.upstream.origin import Origins
from pg8000.exceptions import DatabaseError

from tests.support.http_script import Answer, Request, ScriptedServer, serving
from tests.support.postgres import TestDatabase

SECRET = "sk-live-0123456789-WXYZ"


@pytest.fixture
def path(organization: dict[str, str]) -> str:
    return f"/admin/orgs/{organization['id']}/provider-keys"


@pytest.fixture
def stored(api: TestClient, path: str) -> str:
    answer = api.post(path, json={"provider": "openai", "label": "production", "api_key": SECRET})
    assert answer.status_code == 201, answer.text
    return f"{path}/{answer.json()['id']}/test"


def asking(plane: Plane, api: TestClient, probe: ProviderProbe) -> TestClient:
    app = create(title="test", routers=ROUTERS, plane=replace(plane, probe=probe))
    return TestClient(app, headers=dict(api.headers))


def probe_at(url: str, database: TestDatabase, kek: LocalKek) -> ProviderProbe:
    pool = database.as_role("navplane_probe", size=1)
    return ProviderProbe(database=pool, keys=kek, origins=Origins(overrides={"openai": url}, demo_url=None))


def test_a_key_that_is_taken_is_ok_and_was_asked_about_with_the_key_itself(
    api: TestClient, stored: str, provider: ScriptedServer, module_database: TestDatabase
) -> None:
    provider.requests.clear()
    answer = api.post(stored)
    assert answer.status_code == 200, answer.text
    assert set(answer.json()) == {"result", "tested_at", "duration_ms"}
    assert answer.json()["result"] == "ok"
    assert [request.headers["authorization"] for request in provider.requests] == [f"Bearer {SECRET}"]
    assert SECRET not in answer.text
    with module_database.superuser() as db:
        (row,) = db.run(
            "SELECT after FROM audit_events WHERE action = 'provider_key:test' AND org_id = :id", id=UUID(stored.split("/")[3])
        )
    assert row == [{"result": "ok"}]


@pytest.mark.parametrize(("status", "result"), [(401, "invalid"), (500, "unreachable"), (200, "ok")])
def test_what_the_provider_says_is_what_is_answered(
    plane: Plane, api: TestClient, stored: str, module_database: TestDatabase, kek: LocalKek, status: int, result: str
) -> None:
    def refuses(request: Request) -> Answer:
        return Answer(status=status, body=f"you sent {request.headers['authorization']}".encode())

    with serving(refuses) as server:
        answer = asking(plane, api, probe_at(server.url, module_database, kek)).post(stored)
    assert (answer.status_code, answer.json()["result"]) == (200, result)
    assert SECRET not in answer.text


def test_a_provider_that_nobody_listens_for_is_unreachable(
    plane: Plane, api: TestClient, stored: str, module_database: TestDatabase, kek: LocalKek
) -> None:
    with serving(lambda request: Answer()) as gone:
        url = gone.url
    answer = asking(plane, api, probe_at(url, module_database, kek)).post(stored)
    assert answer.json()["result"] == "unreachable"


def test_a_key_that_is_deleted_or_somebody_elses_is_404(api: TestClient, stored: str) -> None:
    other = api.post("/admin/orgs", json={"name": "Other"}).json()["id"]
    key_id = stored.split("/")[5]
    assert api.post(f"/admin/orgs/{other}/provider-keys/{key_id}/test").status_code == 404
    assert api.post(stored.replace(key_id, str(uuid4()))).status_code == 404
    assert api.delete(stored.removesuffix("/test")).status_code == 204
    assert api.post(stored).status_code == 404


def test_the_probe_sees_one_organizations_keys_and_nothing_else(stored: str, module_database: TestDatabase) -> None:
    pool = module_database.as_role("navplane_probe", size=1)
    own = UUID(stored.split("/")[3])
    for org_id, seen in ((own, 1), (uuid4(), 0), (None, 0)):
        with pool.transaction(org_id=org_id) as db:
            assert len(db.run("SELECT sealed FROM public.provider_keys")) == seen
    forbidden = (
        "SELECT label FROM public.provider_keys",
        "SELECT id FROM public.organizations",
        "SELECT id FROM public.api_keys",
        "SELECT sealed FROM public.audit_keys",
        "UPDATE public.provider_keys SET label = 'x'",
        "DELETE FROM public.provider_keys",
    )
    for sql in forbidden:
        with pytest.raises(DatabaseError) as refused, pool.transaction(org_id=own) as db:
            db.run(sql)
        assert sqlstate(refused.value) == "42501", sql
