"""Policies, as they are set and shown, and as the gate obeys them."""

from uuid import UUID, uuid4

import pytest
from fastapi.testclient import TestClient
from navplane.gate.gate import RefusalReason

from tests.integration.admin.support import Admission
from tests.support.postgres import TestDatabase

SAYS_NOTHING: dict[str, object] = {
    "enabled_providers": [], "disabled_providers": [], "allow_models": [], "block_models": [], "allow_files": None,
}  # fmt: skip


@pytest.fixture
def base(api: TestClient, organization: dict[str, str]) -> str:
    base = f"/admin/orgs/{organization['id']}"
    key = {"provider": "openai", "label": "x", "api_key": "sk-live-12345678"}
    assert api.post(f"{base}/provider-keys", json=key).status_code == 201
    return base


@pytest.fixture
def path(base: str) -> str:
    return f"{base}/policies"


def key_of(database: TestDatabase, organization: dict[str, str]) -> str:
    with database.superuser() as db:
        rows = db.run("SELECT id FROM api_keys WHERE org_id = :id AND revoked_at IS NULL", id=UUID(organization["id"]))
    return str(rows[0][0])


def test_policy_is_in_force_once_it_is_set_and_until_it_is_taken_away(
    api: TestClient, path: str, organization: dict[str, str], admission: Admission
) -> None:
    made = api.post(path, json={"scope": "organization", "block_models": ["gpt-*"]})
    assert made.status_code == 201
    expected = {**SAYS_NOTHING, "scope": "organization", "scope_id": organization["id"], "block_models": ["gpt-*"]}
    assert expected.items() <= made.json().items()
    one, key = f"{path}/{made.json()['id']}", organization["api_key"]
    assert api.get(one).json() == made.json()
    assert api.get(path).json() == {"items": [made.json()], "next_cursor": None}
    assert admission.refusal(key) is RefusalReason.MODEL_NOT_ALLOWED
    changed = api.put(one, json={"allow_models": ["gpt-5"], "allow_files": True}).json()
    assert (changed["block_models"], changed["allow_models"], changed["allow_files"]) == ([], ["gpt-5"], True)
    assert (admission.refusal(key), admission.refusal(key, model="o3")) == (None, RefusalReason.MODEL_NOT_ALLOWED)
    assert api.delete(one).status_code == 204
    assert admission.refusal(key, model="o3") is None
    assert api.get(one).status_code == 404


def test_keys_policy_beats_its_organizations(
    api: TestClient, path: str, organization: dict[str, str], admission: Admission, module_database: TestDatabase
) -> None:
    api.post(path, json={"scope": "organization", "disabled_providers": ["openai"]})
    assert admission.refusal(organization["api_key"]) is RefusalReason.MODEL_NOT_ALLOWED
    key_id = key_of(module_database, organization)
    made = api.post(path, json={"scope": "key", "scope_id": key_id, "enabled_providers": ["openai"]})
    assert made.status_code == 201
    assert admission.refusal(organization["api_key"]) is None


def test_keys_policy_goes_to_its_successor(
    api: TestClient, base: str, path: str, organization: dict[str, str], admission: Admission, module_database: TestDatabase
) -> None:
    key_id = key_of(module_database, organization)
    api.post(path, json={"scope": "key", "scope_id": key_id, "block_models": ["*"]})
    second = api.post(f"{base}/api-keys/{key_id}/rotate", json={"overlap_seconds": 3600}).json()["api_key"]
    assert admission.refusal(second) is RefusalReason.MODEL_NOT_ALLOWED
    third = api.post(f"{base}/rotate-key").json()["api_key"]
    assert admission.refusal(third) is RefusalReason.MODEL_NOT_ALLOWED


def test_provider_settings_are_the_organizations_policy(api: TestClient, base: str, path: str) -> None:
    settings = {"providers": {"groq": {"enabled": False}}, "block_models": ["o3"]}
    assert api.put(f"{base}/provider-settings", json=settings).status_code == 200
    (kept,) = api.get(path).json()["items"]
    assert (kept["scope"], kept["disabled_providers"], kept["block_models"]) == ("organization", ["groq"], ["o3"])
    changed = {"enabled_providers": ["openai"], "allow_files": True}
    assert api.put(f"{path}/{kept['id']}", json=changed).status_code == 200
    shown = api.get(f"{base}/provider-settings").json()
    assert [name for name, state in shown["providers"].items() if state["enabled"]] == ["openai"]
    assert shown["block_models"] == []
    switched = api.put(f"{base}/provider-settings", json={"providers": {"groq": {"enabled": True}}}).json()
    assert [name for name, state in switched["providers"].items() if state["enabled"]] == ["groq", "openai"]
    assert api.get(f"{path}/{kept['id']}").json()["allow_files"] is True


def test_settings_that_the_release_before_still_writes_count(
    base: str, organization: dict[str, str], admission: Admission, module_database: TestDatabase
) -> None:
    with module_database.as_role("navplane_admin").transaction(org_id=UUID(organization["id"])) as db:
        db.run("INSERT INTO org_provider_settings (org_id, block_models) VALUES (:id, '{gpt-5}')", id=organization["id"])
    assert admission.refusal(organization["api_key"]) is RefusalReason.MODEL_NOT_ALLOWED


def test_one_scope_has_one_policy(api: TestClient, path: str) -> None:
    first = api.post(path, json={"scope": "organization"})
    answer = api.post(path, json={"scope": "organization", "block_models": ["*"]})
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    assert first.json()["id"] in answer.json()["detail"]
    assert api.get(path).json()["items"] == [first.json()]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"scope": "platform"},
        {"scope": "key"},
        {"scope": "key", "scope_id": str(uuid4())},
        {"scope": "workspace", "scope_id": str(uuid4())},
        {"scope": "organization", "scope_id": str(uuid4())},
        {"scope": "organization", "enabled_providers": ["nobody"]},
        {"scope": "organization", "disabled_providers": "openai"},
        {"scope": "organization", "allow_models": [""]},
        {"scope": "organization", "allow_models": ["a\nb"]},
        {"scope": "organization", "allow_files": "yes"},
        {"scope": "organization", "unknown": 1},
    ],
)
def test_policies_that_make_no_sense_are_refused_and_change_nothing(api: TestClient, path: str, body: object) -> None:
    answer = api.post(path, json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")
    assert api.get(path).json()["items"] == []


def test_another_organizations_policies_are_out_of_reach(api: TestClient, path: str, module_database: TestDatabase) -> None:
    other = api.post("/admin/orgs", json={"name": "Other"}).json()
    theirs = api.post(f"/admin/orgs/{other['id']}/policies", json={"scope": "organization"}).json()["id"]
    for method, body in (("GET", None), ("PUT", {"block_models": []}), ("DELETE", None)):
        assert api.request(method, f"{path}/{theirs}", json=body).status_code == 404
    assert api.post(path, json={"scope": "key", "scope_id": key_of(module_database, other)}).status_code == 422


def test_every_change_is_audited_and_told(
    api: TestClient, path: str, organization: dict[str, str], module_database: TestDatabase
) -> None:
    one = f"{path}/{api.post(path, json={'scope': 'organization', 'block_models': ['a']}).json()['id']}"
    api.put(one, json={"block_models": ["b"]})
    api.delete(one)
    with module_database.superuser() as db:
        rows = db.run(
            "SELECT action, before->>'block_models', after->>'block_models' FROM audit_events"
            " WHERE org_id = :id AND resource LIKE 'policy/%' ORDER BY occurred_at, id",
            id=UUID(organization["id"]),
        )
        told = db.run("SELECT count(*) FROM outbox WHERE org_id = :id", id=UUID(organization["id"]))
    assert rows == [["policy:create", None, '["a"]'], ["policy:update", '["a"]', '["b"]'], ["policy:delete", '["b"]', None]]
    assert told[0][0] >= 4
