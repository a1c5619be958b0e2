"""Service keys, users and workspaces: what automation and operators do with them."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from navplane_local.issuer import Issuer
from pg8000.native import Connection

from tests.integration.admin.support import joined
from tests.support.postgres import TestDatabase


@pytest.fixture
def superuser(module_database: TestDatabase) -> Iterator[Connection]:
    with module_database.superuser() as connection:
        yield connection


@pytest.fixture
def base(organization: dict[str, str]) -> str:
    return f"/admin/orgs/{organization['id']}"


def soon(**time: int) -> str:
    return (datetime.now(UTC) + timedelta(**time)).isoformat()


def issued(api: TestClient, base: str, **changes: Any) -> dict[str, Any]:
    body = {"name": "Deployment", "role": "operator", "expires_at": soon(hours=1), **changes}
    answer = api.post(f"{base}/service-keys", json=body)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def holder(app: FastAPI, key: dict[str, Any]) -> TestClient:
    return TestClient(app, headers={"authorization": f"Bearer {key['api_key']}"})


def test_a_service_key_does_what_its_role_may_until_it_is_revoked(app: FastAPI, api: TestClient, base: str) -> None:
    key = issued(api, base)
    client = holder(app, key)
    assert client.get(f"{base}/api-keys").status_code == 200
    assert client.get(f"{base}/members").status_code == 403
    assert [one["id"] for one in client.get("/admin/orgs").json()["items"]] == [base.rpartition("/")[2]]
    assert api.delete(f"{base}/service-keys/{key['id']}").status_code == 204
    assert client.get(f"{base}/api-keys").status_code == 401
    (shown,) = api.get(f"{base}/service-keys").json()["items"]
    assert shown["revoked_at"] is not None
    assert shown["last_used_at"] is not None
    assert "api_key" not in shown


def test_a_service_key_opens_no_other_organization(app: FastAPI, api: TestClient, base: str) -> None:
    other = api.post("/admin/orgs", json={"name": "Other"}).json()["id"]
    assert holder(app, issued(api, base)).get(f"/admin/orgs/{other}/api-keys").status_code == 404


def test_a_service_key_of_a_workspace_stays_in_it(app: FastAPI, api: TestClient, base: str) -> None:
    mine, others = (api.post(f"{base}/workspaces", json={"name": name}).json()["id"] for name in ("A", "B"))
    client = holder(app, issued(api, base, workspace_id=mine, role="workspace_admin"))
    assert client.get(f"{base}/workspaces/{mine}").status_code == 200
    assert client.get(f"{base}/workspaces/{others}").status_code == 404
    assert [one["id"] for one in client.get(f"{base}/workspaces").json()["items"]] == [mine]
    grown = {"name": "k", "role": "workspace_admin", "expires_at": soon(hours=1)}
    assert client.post(f"{base}/service-keys", json=grown).status_code == 403, "all of the organization is not its to give"


@pytest.mark.parametrize("expires_at", ["2025-01-01T00:00:00Z", "2099-01-01T00:00:00Z", "tomorrow", "2026-12-01T00:00:00"])
def test_a_service_key_ends_within_a_year(api: TestClient, base: str, expires_at: str) -> None:
    body = {"name": "k", "role": "auditor", "expires_at": expires_at}
    assert api.post(f"{base}/service-keys", json=body).status_code == 422


def test_nobody_issues_a_service_key_with_more_than_they_have(
    app: FastAPI, superuser: Connection, issuer: Issuer, base: str
) -> None:
    person = joined(app, superuser, issuer, base.rpartition("/")[2], "member", "integration_admin")
    given = [
        person.api.post(f"{base}/service-keys", json={"name": "k", "role": role, "expires_at": soon(hours=1)}).status_code
        for role in ("integration_admin", "workspace_admin", "auditor")
    ]
    assert given == [201, 403, 403]


# -- users ---------------------------------------------------------------------------------------------------------------


def test_users_are_found_by_text_role_and_status(
    app: FastAPI, api: TestClient, superuser: Connection, issuer: Issuer, base: str
) -> None:
    person = joined(app, superuser, issuer, base.rpartition("/")[2])
    mark = f"x{uuid4().hex}@example.com"
    superuser.run("UPDATE user_identities SET email = :email WHERE id = :id", email=mark, id=person.id)

    def found(query: str) -> list[str]:
        return [one["id"] for one in api.get(f"/admin/users?search={mark[:20]}&{query}").json()["items"]]

    assert found("") == found("role=owner") == found("status=active") == [str(person.id)]
    assert found("role=member") == found("role=platform_admin") == found("status=deactivated") == []


def test_a_deactivated_user_is_refused_everywhere_at_once_and_comes_back_with_their_roles(
    app: FastAPI, api: TestClient, superuser: Connection, issuer: Issuer, base: str
) -> None:
    person = joined(app, superuser, issuer, base.rpartition("/")[2])
    switch = f"/admin/users/{person.id}/active"
    assert api.put(switch, json={"active": False}).json()["active"] is False
    assert {person.api.get(path).status_code for path in (base, "/admin/orgs")} == {403}
    assert api.put(switch, json={"active": True}).status_code == 200
    assert person.api.get(base).status_code == 200


def test_ended_tokens_are_refused_and_a_new_login_is_not(
    app: FastAPI, api: TestClient, superuser: Connection, issuer: Issuer, base: str
) -> None:
    person = joined(app, superuser, issuer, base.rpartition("/")[2])
    assert api.post(f"/admin/users/{person.id}/revoke-tokens").status_code == 204
    assert person.api.get(base).status_code == 401
    later = int(datetime.now(UTC).timestamp()) + 5
    bearer = issuer.mint(f"owner|{person.id}", claims={"iat": later, "nbf": later})
    assert person.api.get(base, headers={"authorization": f"Bearer {bearer}"}).status_code == 200


def test_nobody_deactivates_themselves(app: FastAPI, api: TestClient, superuser: Connection) -> None:
    (mine,) = superuser.run("SELECT id FROM user_identities WHERE subject = 'local|admin'")[0]
    assert api.put(f"/admin/users/{mine}/active", json={"active": False}).status_code == 403
    assert api.put(f"/admin/users/{uuid4()}/active", json={"active": False}).status_code == 404


# -- workspaces ----------------------------------------------------------------------------------------------------------


def test_a_workspace_is_made_renamed_and_deleted(api: TestClient, base: str) -> None:
    made = api.post(f"{base}/workspaces", json={"name": "Production"}).json()
    assert (made["region"], made["is_default"], made["data_mode"]) == ("us", False, "metadata_only")
    path = f"{base}/workspaces/{made['id']}"
    etag = api.get(path).headers["etag"]
    assert api.put(path, json={"name": "Renamed"}, headers={"if-match": etag}).json()["name"] == "Renamed"
    assert api.put(path, json={"name": "Late"}, headers={"if-match": etag}).status_code == 412
    assert api.put(path, json={"name": "x", "region": "eu"}).status_code == 422, "a region never changes"
    assert api.delete(path).status_code == 204
    assert [api.get(path).status_code, api.delete(path).status_code] == [404, 404]


def test_the_default_workspace_and_one_with_keys_stay(api: TestClient, base: str) -> None:
    (default,) = api.get(f"{base}/workspaces").json()["items"]
    assert api.delete(f"{base}/workspaces/{default['id']}").status_code == 409
    used = api.post(f"{base}/workspaces", json={"name": "Used"}).json()["id"]
    key = issued(api, base, workspace_id=used)
    assert api.delete(f"{base}/workspaces/{used}").status_code == 409
    api.delete(f"{base}/service-keys/{key['id']}")
    assert api.delete(f"{base}/workspaces/{used}").status_code == 204
