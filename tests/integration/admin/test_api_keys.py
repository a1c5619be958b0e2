"""API keys: what is answered, what the gate makes of it at once, and what is never shown again."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from fastapi.testclient import TestClient
from navplane.crypto.api_key import ApiKeyShape, digest
from navplane.gate.gate import RefusalReason
from navplane.gate.gate_postgres import PostgresGate
from navplane.ingest.recording import record_what_can_be
from navplane.store.migrate import ensure_partitions

from tests.integration.admin.support import Admission
from tests.support.postgres import TestDatabase
from tests.support.usage_events import usage_event

INVALID, MISSING = RefusalReason.INVALID_KEY, RefusalReason.PROVIDER_KEY_MISSING


@pytest.fixture
def path(organization: dict[str, str]) -> str:
    return f"/admin/orgs/{organization['id']}/api-keys"


@pytest.fixture
def made(api: TestClient, path: str) -> dict[str, Any]:
    answer = api.post(path, json={"name": " checkout "})
    assert answer.status_code == 201, answer.text
    created: dict[str, Any] = answer.json()
    return created


def at(database: TestDatabase, moment: datetime) -> Admission:
    return Admission(PostgresGate(database.as_role("navplane_gate")), now=moment)


def without_key(issued: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in issued.items() if name != "api_key"}


def test_a_new_key_works_at_once_and_is_shown_once(
    api: TestClient, path: str, made: dict[str, Any], organization: dict[str, str], admission: Admission
) -> None:
    assert ApiKeyShape(("np_",)).accepts(made["api_key"])
    assert (made["name"], made["status"], made["is_default"]) == ("checkout", "active", False)
    assert made["key_hint"] == made["api_key"][-4:]
    assert admission.refusal(made["api_key"]) is MISSING
    read = api.get(f"{path}/{made['id']}")
    assert read.json() == without_key(made)
    listed = api.get(path).json()
    assert listed["items"][0]["id"] == made["id"]
    assert [item["is_default"] for item in listed["items"]] == [False, True]
    assert made["api_key"] not in read.text + str(listed)
    assert made["workspace_id"] == listed["items"][1]["workspace_id"]


def test_the_list_has_pages_and_is_of_one_workspace_if_asked(api: TestClient, path: str, made: dict[str, Any]) -> None:
    first = api.get(path, params={"limit": 1}).json()
    rest = api.get(path, params={"limit": 1, "cursor": first["next_cursor"]}).json()
    assert (first["items"][0]["id"], rest["next_cursor"]) == (made["id"], None)
    assert len(api.get(path, params={"workspace_id": made["workspace_id"]}).json()["items"]) == 2
    assert api.get(path, params={"workspace_id": str(uuid4())}).json()["items"] == []


def test_a_key_ends_when_it_was_said_to(api: TestClient, path: str, module_database: TestDatabase) -> None:
    end = datetime.now(UTC) + timedelta(hours=1)
    key = api.post(path, json={"name": "short", "expires_at": end.isoformat()}).json()
    assert at(module_database, end - timedelta(seconds=1)).refusal(key["api_key"]) is MISSING
    assert at(module_database, end).refusal(key["api_key"]) is INVALID
    one = f"{path}/{key['id']}"
    assert api.put(one, json={"name": "renamed"}).json()["expires_at"] == key["expires_at"]
    assert api.put(one, json={"expires_at": None}).json() | {"expires_at": None} == api.get(one).json()
    assert at(module_database, end).refusal(key["api_key"]) is MISSING


def test_a_key_may_belong_to_a_member_and_its_successor_too(
    api: TestClient, path: str, organization: dict[str, str], module_database: TestDatabase
) -> None:
    member, stranger = uuid4(), uuid4()
    with module_database.superuser() as db:
        for user in (member, stranger):
            db.run("INSERT INTO user_identities (id, issuer, subject) VALUES (:id, 'i', :s)", id=user, s=str(user))
        db.run(
            "INSERT INTO org_members (org_id, user_id, role) VALUES (:o, :u, 'member')", o=UUID(organization["id"]), u=member
        )
    assert api.post(path, json={"name": "x", "owner_user_id": str(stranger)}).status_code == 422
    key = api.post(path, json={"name": "x", "owner_user_id": str(member)}).json()
    one = f"{path}/{key['id']}"
    assert api.put(one, json={"owner_user_id": str(stranger)}).status_code == 422
    assert api.put(one, json={"name": "y"}).json()["owner_user_id"] == str(member)
    new = api.post(f"{one}/rotate", json={}).json()
    assert new["owner_user_id"] == str(member)
    assert api.put(f"{path}/{new['id']}", json={"owner_user_id": None}).json()["owner_user_id"] is None


@pytest.mark.parametrize(
    "body",
    [{}, {"name": ""}, {"name": "x", "expires_at": "2020-01-01T00:00:00Z"}, {"name": "x", "expires_at": "2999-01-01T00:00:00"},
     {"name": "x", "workspace_id": str(uuid4())}, {"name": "x", "api_key": "np_mine"}, {"name": "x", "is_default": True},
     {"name": "x", "digest": "00"}],
)  # fmt: skip
def test_what_makes_no_key_is_refused(api: TestClient, path: str, body: dict[str, Any]) -> None:
    answer = api.post(path, json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")
    assert len(api.get(path).json()["items"]) == 1


def test_a_key_may_use_the_models_that_it_is_allowed_and_so_may_its_successor(
    api: TestClient, path: str, admission: Admission
) -> None:
    key = api.post(path, json={"name": "x", "allowed_models": ["gpt-5*", "o3"]}).json()
    one, refused = f"{path}/{key['id']}", RefusalReason.MODEL_NOT_ALLOWED
    provider_key = {"provider": "openai", "label": "x", "api_key": "sk-live-12345678"}
    assert api.post(path.replace("api-keys", "provider-keys"), json=provider_key).status_code == 201
    assert key["allowed_models"] == ["gpt-5*", "o3"]
    assert [admission.refusal(key["api_key"], model=model) for model in ("gpt-5-mini", "gpt-4o")] == [None, refused]
    policies = path.replace("api-keys", "policies")
    (policy,) = api.get(policies).json()["items"]
    api.put(f"{policies}/{policy['id']}", json={"allow_models": ["gpt-5*"], "block_models": ["gpt-5-pro"]})
    assert api.put(one, json={"name": "y"}).json()["allowed_models"] == ["gpt-5*"]
    assert api.put(one, json={"allowed_models": ["*"]}).json()["allowed_models"] == ["*"]
    assert [admission.refusal(key["api_key"], model=model) for model in ("gpt-4o", "gpt-5-pro")] == [None, refused]
    new = api.post(f"{one}/rotate", json={"overlap_seconds": 60}).json()
    assert (new["allowed_models"], api.get(one).json()["allowed_models"]) == (["*"], ["*"])
    assert admission.refusal(new["api_key"], model="gpt-5-pro") is refused
    assert api.put(f"{path}/{new['id']}", json={"allowed_models": []}).json()["allowed_models"] == []


def test_a_revoked_key_is_refused_by_the_very_next_call_and_stays_in_the_list(
    api: TestClient, path: str, made: dict[str, Any], admission: Admission
) -> None:
    one = f"{path}/{made['id']}"
    assert api.delete(one).status_code == 204
    assert admission.refusal(made["api_key"]) is INVALID
    revoked = api.get(one).json()
    assert revoked["status"] == "revoked"
    assert api.delete(one).status_code == 204
    assert api.get(one).json() == revoked
    assert api.put(one, json={"name": "again"}).status_code == 409
    assert api.post(f"{one}/rotate", json={}).status_code == 409


def test_a_rotated_key_is_refused_at_once_and_its_successor_takes_its_place(
    api: TestClient, path: str, made: dict[str, Any], admission: Admission
) -> None:
    limits = path.replace("api-keys", "limits")
    limit = {"scope": "key", "scope_id": made["id"], "kind": "requests_per_minute", "amount": 5}
    assert api.post(limits, json=limit).status_code == 201
    new = api.post(f"{path}/{made['id']}/rotate", json={}).json()
    assert (new["name"], new["replaces"], new["workspace_id"]) == ("checkout", made["id"], made["workspace_id"])
    assert admission.refusal(made["api_key"]) is INVALID
    assert admission.refusal(new["api_key"]) is MISSING
    assert [item["scope_id"] for item in api.get(limits).json()["items"]] == [new["id"]]


def test_with_an_overlap_both_keys_are_good_and_limited_until_it_ends(
    api: TestClient, path: str, made: dict[str, Any], module_database: TestDatabase
) -> None:
    limits = path.replace("api-keys", "limits")
    limit = {"scope": "key", "scope_id": made["id"], "kind": "requests_per_minute", "amount": 5}
    assert api.post(limits, json=limit).status_code == 201
    new = api.post(f"{path}/{made['id']}/rotate", json={"overlap_seconds": 3600}).json()
    old = api.get(f"{path}/{made['id']}").json()
    end = datetime.fromisoformat(old["expires_at"])
    for key, before, after in ((made, MISSING, INVALID), (new, MISSING, MISSING)):
        assert at(module_database, end - timedelta(seconds=1)).refusal(key["api_key"]) is before
        assert at(module_database, end).refusal(key["api_key"]) is after
    assert new["expires_at"] is None
    assert {item["scope_id"] for item in api.get(limits).json()["items"]} == {made["id"], new["id"]}


def test_an_overlap_lengthens_no_keys_life(api: TestClient, path: str) -> None:
    end = datetime.now(UTC) + timedelta(minutes=1)
    key = api.post(path, json={"name": "short", "expires_at": end.isoformat()}).json()
    api.post(f"{path}/{key['id']}/rotate", json={"overlap_seconds": 3600})
    assert api.get(f"{path}/{key['id']}").json()["expires_at"] == key["expires_at"]


def test_the_default_key_can_be_rotated_here_and_at_its_old_place(
    api: TestClient, path: str, organization: dict[str, str], admission: Admission
) -> None:
    (default,) = api.get(path).json()["items"]
    here = api.post(f"{path}/{default['id']}/rotate", json={"overlap_seconds": 60}).json()
    assert here["is_default"] is True
    assert api.get(f"{path}/{default['id']}").json()["is_default"] is False
    there = api.post(f"/admin/orgs/{organization['id']}/rotate-key").json()["api_key"]
    assert admission.refusal(here["api_key"]) is INVALID
    assert admission.refusal(there) is MISSING
    assert [item["is_default"] for item in api.get(path).json()["items"]] == [True, True, False]


def test_of_two_rotations_at_once_one_is_a_conflict(api: TestClient, path: str, made: dict[str, Any]) -> None:
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda _: api.post(f"{path}/{made['id']}/rotate", json={}).status_code, range(2)))
    assert sorted(answers) == [201, 409]


def test_another_organizations_key_does_not_exist(api: TestClient, made: dict[str, Any]) -> None:
    other = api.post("/admin/orgs", json={"name": "Other"}).json()
    one = f"/admin/orgs/{other['id']}/api-keys/{made['id']}"
    answers = [api.get(one), api.put(one, json={"name": "x"}), api.delete(one), api.post(f"{one}/rotate", json={})]
    missing = api.get(f"/admin/orgs/{other['id']}/api-keys/{uuid4()}").json()
    for answer in answers:
        assert answer.status_code == 404
        assert answer.json() | {"request_id": ""} == missing | {"request_id": ""}


def test_a_key_shows_when_it_was_last_used(
    api: TestClient, path: str, made: dict[str, Any], module_database: TestDatabase
) -> None:
    writer, now = module_database.as_role("navplane_writer"), datetime.now(UTC)
    with writer.transaction() as db:
        ensure_partitions(db, now=now, months_ahead=1)
    used = [now - timedelta(seconds=seconds) for seconds in (90, 0, 30, 300)]
    for moment in used:
        record_what_can_be(writer, [usage_event(key_id=UUID(made["id"]), now=moment)])
    shown = datetime.fromisoformat(api.get(f"{path}/{made['id']}").json()["last_used_at"])
    assert abs(shown - now) < timedelta(seconds=1)


def test_every_change_is_audited_by_its_own_name_and_without_the_key(
    api: TestClient, path: str, made: dict[str, Any], module_database: TestDatabase
) -> None:
    new = api.post(f"{path}/{made['id']}/rotate", json={"overlap_seconds": 60}).json()
    api.put(f"{path}/{new['id']}", json={"name": "renamed"})
    api.delete(f"{path}/{new['id']}")
    with module_database.superuser() as db:
        events = db.run(
            "SELECT action, before::text, after::text FROM audit_events WHERE resource IN (:a, :b) ORDER BY occurred_at",
            a=f"api_key/{made['id']}",
            b=f"api_key/{new['id']}",
        )
    assert [event[0] for event in events] == ["api_key:create", "api_key:rotate", "api_key:update", "api_key:revoke"]
    for secret in (made["api_key"], new["api_key"]):
        assert secret not in str(events)
        assert digest(secret).hex() not in str(events)
