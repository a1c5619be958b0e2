"""A US stack and an EU stack on one database: what is pinned to the other's region is refused, and what both serve is not."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from fastapi.testclient import TestClient
from navplane.admin.app import create
from navplane.admin.openapi import ROUTERS, guarded
from navplane.admin.plane import KeyDesk, Plane
from navplane.model.ids import new_request_id
from navplane.model.tenancy import Region
from navplane.upstream.origin import Origins
from navplane_local.issuer import Issuer
from pg8000.native import Connection

from tests.support.http_script import ScriptedServer
from tests.support.postgres import TestDatabase

NOW = datetime.now(UTC)
SPAN = {"start": (NOW - timedelta(days=1)).isoformat(), "end": (NOW + timedelta(hours=1)).isoformat()}
MISMATCH = (403, "region_mismatch")


@pytest.fixture
def superuser(module_database: TestDatabase) -> Iterator[Connection]:
    with module_database.superuser() as connection:
        yield connection


@pytest.fixture
def eu(plane: Plane, issuer: Issuer, provider: ScriptedServer) -> TestClient:
    """The same database, asked through the other region's stack."""
    assert plane.key_desk is not None
    origins = Origins(overrides={"openai": provider.url}, demo_url=None, region=Region.EU)
    desk = KeyDesk(kek=plane.key_desk.kek, origins=origins)
    app = create(title="eu", routers=ROUTERS, plane=replace(plane, region=Region.EU, key_desk=desk))
    return TestClient(app, headers={"authorization": f"Bearer {issuer.mint('local|admin')}"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Both:
    """An organization at home in the US, with its default workspace there and one in the EU, each with a request."""

    org: str
    default: str
    european: str
    requests: dict[str, UUID]


@pytest.fixture
def both(api: TestClient, organization: dict[str, str], superuser: Connection) -> Both:
    org = f"/admin/orgs/{organization['id']}"
    (default,) = api.get(f"{org}/workspaces").json()["items"]
    european = api.post(f"{org}/workspaces", json={"name": "Europe", "region": "eu"}).json()["id"]
    requests = {
        region: served(superuser, organization["id"], workspace, region)
        for region, workspace in (("us", default["id"]), ("eu", european))
    }
    return Both(org=org, default=default["id"], european=european, requests=requests)


def served(superuser: Connection, org_id: str, workspace_id: str, region: str) -> UUID:
    request_id = new_request_id(NOW)
    superuser.run("SELECT public.ensure_request_log_partitions(:now, 1)", now=NOW)
    superuser.run(
        "INSERT INTO request_logs (request_id, org_id, workspace_id, key_id, endpoint, region, stream, demo, status, outcome,"
        " usage_quality, input_tokens, output_tokens, cached_input_tokens, cache_write_5m_tokens, cache_write_1h_tokens,"
        " reasoning_tokens, audio_input_tokens, audio_output_tokens, web_searches, attempts, duration_ms, request_bytes,"
        " response_bytes, started_at) VALUES (:id, :org, :workspace, gen_random_uuid(), 'models', :region, false, false, 200,"
        " 'ok', 'exact', 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0, :now)",
        id=request_id, org=org_id, workspace=workspace_id, region=region, now=NOW,
    )  # fmt: skip
    superuser.run(
        "INSERT INTO request_contents (request_id, org_id, workspace_id, request, response, request_truncated,"
        " response_truncated) VALUES (:id, :org, :workspace, :kept, :kept, false, false)",
        id=request_id, org=org_id, workspace=workspace_id, kept=b"kept",
    )  # fmt: skip
    return request_id


def said(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json().get("code", "") if answer.content else ""


NAMES_A_WORKSPACE = sorted(
    (method, route.path)
    for route, gate in guarded()
    for method in route.methods or ()
    if "{workspace_id}" in route.path and gate is not None
)


@pytest.mark.parametrize(("method", "path"), NAMES_A_WORKSPACE)
def test_whatever_names_a_workspace_of_another_region_is_refused_and_in_its_own_it_is_not(
    api: TestClient, eu: TestClient, both: Both, method: str, path: str
) -> None:
    url = path.replace("{org_id}", both.org.rpartition("/")[2]).replace("{workspace_id}", both.european)
    body = {"there is no such field": 1} if method in ("POST", "PUT") else None
    assert said(api.request(method, url, json=body)) == MISMATCH
    assert said(eu.request(method, url, json=body)) != MISMATCH


@pytest.mark.parametrize("what", ["requests", "exports/requests", "usage/summary", "usage/timeseries", "usage/top"])
def test_whatever_is_narrowed_to_a_workspace_of_another_region_is_refused(
    api: TestClient, eu: TestClient, both: Both, what: str
) -> None:
    query = {"workspace_id": both.european, **SPAN} | ({"by": "model"} if what == "usage/top" else {})
    assert said(api.get(f"{both.org}/{what}", params=query)) == MISMATCH
    assert eu.get(f"{both.org}/{what}", params=query).status_code == 200


def test_the_platforms_reads_are_held_to_it_too(api: TestClient, eu: TestClient, both: Both) -> None:
    query = {"workspace_id": both.european, **SPAN}
    assert said(api.get("/admin/usage/requests", params=query)) == MISMATCH
    assert eu.get("/admin/usage/requests", params=query).status_code == 200


def test_requests_are_listed_exported_and_read_in_the_region_that_served_them(
    api: TestClient, eu: TestClient, both: Both
) -> None:
    for here, there, stack in (("us", "eu", api), ("eu", "us", eu)):
        listed = [one["request_id"] for one in stack.get(f"{both.org}/requests").json()["items"]]
        assert listed == [str(both.requests[here])]
        exported = stack.get(f"{both.org}/exports/requests", params=SPAN).text
        assert str(both.requests[here]) in exported
        assert str(both.requests[there]) not in exported
        for tail in ("", "/content"):
            assert stack.get(f"{both.org}/requests/{both.requests[here]}{tail}").status_code == 200
            assert said(stack.get(f"{both.org}/requests/{both.requests[there]}{tail}")) == MISMATCH


def test_a_larger_export_holds_to_the_region_it_was_asked_in(api: TestClient, eu: TestClient, both: Both) -> None:
    narrowed = {"subject": "requests", **SPAN, "only": {"workspace_id": both.european}}
    assert said(api.post(f"{both.org}/export-jobs", json=narrowed)) == MISMATCH
    made = eu.post(f"{both.org}/export-jobs", json={"subject": "requests", **SPAN})
    assert (made.status_code, made.json()["only"]) == (202, {"region": "eu"})


def test_each_region_keeps_provider_keys_of_its_own(
    api: TestClient, eu: TestClient, both: Both, provider: ScriptedServer, superuser: Connection
) -> None:
    key = {"provider": "openai", "api_key": "sk-test-0123456789abcdef"}
    made = eu.post(f"{both.org}/provider-keys", json={**key, "label": "Europe"})
    assert made.status_code == 201, made.text
    assert superuser.run("SELECT region FROM provider_keys WHERE id = :id", id=made.json()["id"]) == [["eu"]]
    asked = len(provider.requests)
    for path, body in (("rotate", {"api_key": key["api_key"]}), ("test", None)):
        assert said(api.post(f"{both.org}/provider-keys/{made.json()['id']}/{path}", json=body)) == MISMATCH
    assert len(provider.requests) == asked, "no provider was asked"


def test_a_provider_without_a_host_in_the_region_is_refused_before_it_is_asked(
    eu: TestClient, both: Both, provider: ScriptedServer, superuser: Connection
) -> None:
    key = {"provider": "anthropic", "api_key": "sk-test-0123456789abcdef", "label": "x"}
    answer = eu.post(f"{both.org}/provider-keys", json=key)
    assert (said(answer), "Anthropic" in answer.json()["detail"]) == (MISMATCH, True)
    assert provider.requests == []
    assert superuser.run("SELECT count(*) FROM provider_keys WHERE label = 'x'") == [[0]]


def test_what_is_the_organizations_is_read_in_both(api: TestClient, eu: TestClient, both: Both) -> None:
    for stack in (api, eu):
        names = {one["name"] for one in stack.get(f"{both.org}/workspaces").json()["items"]}
        assert names == {"default", "Europe"}
        assert stack.get(both.org).status_code == 200
