"""Members and their roles: nobody raises themselves, nobody gives what they lack, and an owner stays."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from navplane_local.issuer import Issuer
from pg8000.native import Connection

from tests.integration.admin.support import Person, joined
from tests.support.postgres import TestDatabase


@pytest.fixture
def superuser(module_database: TestDatabase) -> Iterator[Connection]:
    with module_database.superuser() as connection:
        yield connection


@pytest.fixture
def base(organization: dict[str, str]) -> str:
    return f"/admin/orgs/{organization['id']}"


@pytest.fixture
def owner(app: FastAPI, superuser: Connection, issuer: Issuer, organization: dict[str, str]) -> Person:
    return joined(app, superuser, issuer, organization["id"])


@pytest.fixture
def member(app: FastAPI, superuser: Connection, issuer: Issuer, organization: dict[str, str]) -> Person:
    return joined(app, superuser, issuer, organization["id"], "member")


def changes(*who: tuple[Person, str]) -> dict[str, Any]:
    return {"changes": [{"user_id": str(person.id), "membership": membership} for person, membership in who]}


def test_members_are_listed_searched_and_told_apart(owner: Person, member: Person, base: str, superuser: Connection) -> None:
    superuser.run("UPDATE user_identities SET email = 'ada@example.com', name = 'Ada' WHERE id = :id", id=member.id)
    assert [one["user_id"] for one in owner.api.get(f"{base}/members").json()["items"]] == [str(member.id), str(owner.id)]
    for query in ("search=ADA@", "search=ada", "membership=member"):
        assert [one["user_id"] for one in owner.api.get(f"{base}/members?{query}").json()["items"]] == [str(member.id)]
    first = owner.api.get(f"{base}/members?limit=1").json()
    second = owner.api.get(f"{base}/members?limit=1&cursor={first['next_cursor']}").json()
    assert [page["items"][0]["user_id"] for page in (first, second)] == [str(member.id), str(owner.id)]
    assert second["next_cursor"] is None


def test_a_bulk_change_happens_whole_or_not_at_all(owner: Person, member: Person, base: str) -> None:
    stranger = Person(id=uuid4(), api=member.api)
    assert owner.api.post(f"{base}/members/change", json=changes((member, "owner"), (stranger, "owner"))).status_code == 404
    assert memberships(owner, base)[str(member.id)] == "member"
    assert owner.api.post(f"{base}/members/change", json=changes((member, "owner"))).status_code == 200
    assert memberships(owner, base)[str(member.id)] == "owner"


def test_nobody_changes_their_own_membership_or_roles(owner: Person, member: Person, base: str) -> None:
    both = changes((member, "owner"), (owner, "member"))
    assert owner.api.post(f"{base}/members/change", json=both).status_code == 403
    assert memberships(owner, base)[str(member.id)] == "member", "and nothing else of the same call happened"
    own = {"roles": [{"role": "auditor"}]}
    assert owner.api.put(f"{base}/members/{owner.id}/roles", json=own).status_code == 403


def test_the_last_owner_who_can_sign_in_stays(
    api: TestClient, owner: Person, member: Person, base: str, superuser: Connection
) -> None:
    assert api.post(f"{base}/members/change", json=changes((owner, "member"))).status_code == 409
    assert api.delete(f"{base}/members/{owner.id}").status_code == 409
    api.post(f"{base}/members/change", json=changes((member, "owner")))
    superuser.run("UPDATE user_identities SET deactivated_at = now() WHERE id = :id", id=member.id)
    assert api.delete(f"{base}/members/{owner.id}").status_code == 409, "the other one can't sign in"
    superuser.run("UPDATE user_identities SET deactivated_at = NULL WHERE id = :id", id=member.id)
    assert api.delete(f"{base}/members/{owner.id}").status_code == 204
    assert owner.api.get(base).status_code == 404, "hidden from the next call on"


def test_roles_are_set_read_and_held_to_the_version_that_was_seen(owner: Person, member: Person, base: str) -> None:
    path = f"{base}/members/{member.id}/roles"
    seen = owner.api.get(path)
    one = {"roles": [{"role": "operator", "workspace_id": None}]}
    assert owner.api.put(path, json=one, headers={"if-match": seen.headers["etag"]}).json()["roles"] == one["roles"]
    assert owner.api.put(path, json={"roles": []}, headers={"if-match": seen.headers["etag"]}).status_code == 412
    assert member.api.get(f"{base}/api-keys").status_code == 200
    assert owner.api.put(path, json={"roles": []}).json()["roles"] == []
    assert member.api.get(f"{base}/api-keys").status_code == 403


def test_a_role_of_a_workspace_that_is_not_here_is_refused(api: TestClient, member: Person, base: str) -> None:
    elsewhere = api.post("/admin/orgs", json={"name": "Other"}).json()["id"]
    foreign = api.get(f"/admin/orgs/{elsewhere}/workspaces").json()["items"][0]["id"]
    for workspace_id in (foreign, str(uuid4())):
        body = {"roles": [{"role": "auditor", "workspace_id": workspace_id}]}
        assert api.put(f"{base}/members/{member.id}/roles", json=body).status_code == 422


@pytest.mark.parametrize("role", ["owner", "platform_admin", "member", "*"])
def test_a_membership_is_no_role_to_assign(api: TestClient, member: Person, base: str, role: str) -> None:
    assert api.put(f"{base}/members/{member.id}/roles", json={"roles": [{"role": role}]}).status_code == 422


def test_what_was_changed_is_in_the_audit_with_before_and_after(owner: Person, member: Person, base: str) -> None:
    owner.api.post(f"{base}/members/change", json=changes((member, "owner")))
    event = owner.api.get(f"{base}/audit").json()["items"][0]
    assert (event["action"], event["resource"]) == ("member:update", f"member/{member.id}")
    assert (event["before"], event["after"]) == ({"membership": "member"}, {"membership": "owner"})


def memberships(owner: Person, base: str) -> dict[str, str]:
    return {one["user_id"]: one["membership"] for one in owner.api.get(f"{base}/members").json()["items"]}
