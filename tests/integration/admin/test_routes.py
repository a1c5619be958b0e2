"""Routes, as they are set and shown, and as the gate follows them."""

from typing import Any
from uuid import UUID, uuid4

import pytest
from fastapi.testclient import TestClient
from navplane.gate.gate import RefusalReason

from tests.integration.admin.support import Admission
from tests.support.postgres import TestDatabase

FAST: dict[str, Any] = {"name": "fast", "match": "fast", "targets": [{"provider": "openai", "model": "gpt-5"}]}


@pytest.fixture
def base(api: TestClient, organization: dict[str, str]) -> str:
    base = f"/admin/orgs/{organization['id']}"
    key = {"provider": "openai", "label": "x", "api_key": "sk-live-12345678"}
    assert api.post(f"{base}/provider-keys", json=key).status_code == 201
    return base


@pytest.fixture
def path(base: str) -> str:
    return f"{base}/routes"


def test_route_is_followed_once_it_is_set_and_until_it_is_removed(
    api: TestClient, path: str, organization: dict[str, str], admission: Admission
) -> None:
    made = api.post(path, json=FAST)
    assert made.status_code == 201
    key, one = organization["api_key"], f"{path}/{made.json()['id']}"
    assert admission.ways(key, "fast") == ("fast", [("openai", "gpt-5", 0)])
    changed = {**FAST, "name": "quick", "targets": [{"provider": "openai", "model": "gpt-5-mini"}]}
    assert api.put(one, json=changed).json()["name"] == "quick"
    assert admission.ways(key, "fast") == ("quick", [("openai", "gpt-5-mini", 0)])
    assert api.delete(one).status_code == 204
    assert admission.refusal(key, model="fast", provider=None) is RefusalReason.MODEL_NOT_FOUND
    assert api.get(one).status_code == 404


def test_route_shows_all_that_was_said_and_what_was_left_out(api: TestClient, path: str) -> None:
    said = {
        "name": "chain",
        "match": "gpt-*",
        "targets": [
            {"provider": "openai", "model": None, "step": 0, "weight": 3},
            {"provider": "azure", "model": "prod-gpt", "step": 0, "weight": 1},
            {"provider": "openrouter", "model": "openai/gpt-5", "step": 1, "weight": 1},
        ],
        "conditions": [{"attribute": "tag.env", "any_of": ["prod", "prod-*"]}],
        "position": 5,
        "fallback_when_billed": True,
    }
    shown = api.post(path, json=said).json()
    assert said.items() <= shown.items()
    assert (shown["dialect"], shown["workspace_id"], shown["workflow_version"]) == ("openai", None, None)
    assert api.get(f"{path}/{shown['id']}").json() == shown
    plain = api.post(path, json={**FAST, "targets": [{"provider": "anthropic"}]}).json()
    assert plain["targets"] == [{"provider": "anthropic", "model": None, "step": 0, "weight": 1}]
    assert (plain["dialect"], plain["conditions"], plain["position"]) == ("anthropic", [], 1000)
    page = api.get(path, params={"limit": 1}).json()
    rest = api.get(path, params={"cursor": page["next_cursor"]}).json()
    assert [*page["items"], *rest["items"]] == [plain, shown]


TARGET = FAST["targets"][0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"targets": []}, "targets"),
        ({"targets": [{"provider": "nobody"}]}, "no provider nobody"),
        ({"targets": [TARGET, {"provider": "anthropic", "step": 1}]}, "one dialect"),
        ({"targets": [TARGET, {**TARGET, "step": 2}]}, "0, 1, 2"),
        ({"targets": [TARGET, TARGET]}, "twice"),
        ({"targets": [{**TARGET, "weight": 0}]}, "weight"),
        ({"targets": [{**TARGET, "step": 5}]}, "step"),
        ({"targets": [{**TARGET, "model": ""}]}, "model"),
        ({"targets": [{**TARGET, "key": "sk-1"}]}, "key"),
        ({"match": ""}, "match"),
        ({"match": "a\nb"}, "match"),
        ({"name": "two words"}, "name"),
        ({"name": "schön"}, "name"),
        ({"conditions": [{"attribute": "header.authorization", "any_of": ["*"]}]}, "attribute"),
        ({"conditions": [{"attribute": "tag.Env", "any_of": ["*"]}]}, "attribute"),
        ({"conditions": [{"attribute": "tag.env", "any_of": []}]}, "any_of"),
        ({"workspace_id": str(uuid4())}, "workspace_id"),
        ({"position": -1}, "position"),
        ({"unknown": 1}, "unknown"),
    ],
)
def test_routes_that_could_never_work_are_refused_and_change_nothing(
    api: TestClient, path: str, change: dict[str, Any], words: str
) -> None:
    answer = api.post(path, json={**FAST, **change})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")
    assert words in answer.text
    assert api.get(path).json()["items"] == []


def test_route_that_hides_another_is_refused_when_it_is_made_and_when_it_is_changed(api: TestClient, path: str) -> None:
    api.post(path, json={**FAST, "name": "wide", "match": "gpt-*", "position": 1})
    hidden = api.post(path, json={**FAST, "name": "narrow", "match": "gpt-5", "position": 2})
    assert (hidden.status_code, "'wide'" in hidden.json()["detail"]) == (422, True)
    narrow = api.post(path, json={**FAST, "name": "narrow", "match": "gpt-5", "position": 0})
    assert narrow.status_code == 201
    moved = api.put(f"{path}/{narrow.json()['id']}", json={**FAST, "name": "narrow", "match": "gpt-5", "position": 3})
    assert moved.status_code == 422
    assert api.get(f"{path}/{narrow.json()['id']}").json()["position"] == 0


def test_one_name_is_one_route_and_a_workspace_has_names_of_its_own(
    api: TestClient, path: str, organization: dict[str, str], admission: Admission, module_database: TestDatabase
) -> None:
    assert api.post(path, json=FAST).status_code == 201
    again = api.post(path, json={**FAST, "match": "other"})
    assert (again.status_code, again.json()["code"]) == (409, "conflict")
    other = api.post(path, json={**FAST, "name": "other", "match": "other"}).json()
    assert api.put(f"{path}/{other['id']}", json={**FAST, "match": "other"}).status_code == 409
    with module_database.superuser() as db:
        workspace = str(db.run("SELECT id FROM workspaces WHERE org_id = :id", id=UUID(organization["id"]))[0][0])
    own = {**FAST, "workspace_id": workspace, "targets": [{"provider": "openai", "model": "own"}]}
    assert api.post(path, json=own).status_code == 201
    assert admission.ways(organization["api_key"], "fast") == ("fast", [("openai", "own", 0)])


def test_what_a_workflow_made_is_not_changed_by_hand(api: TestClient, path: str, module_database: TestDatabase) -> None:
    one = f"{path}/{api.post(path, json=FAST).json()['id']}"
    with module_database.superuser() as db:
        db.run("UPDATE routes SET workflow_version_id = :version WHERE id = :id", version=uuid4(), id=one.rpartition("/")[2])
    assert api.put(one, json={**FAST, "match": "x"}).status_code == 409
    assert api.delete(one).status_code == 409
    assert api.get(one).json()["match"] == "fast"


def test_another_organizations_routes_are_out_of_reach(api: TestClient, path: str) -> None:
    other = api.post("/admin/orgs", json={"name": "Other"}).json()
    theirs = api.post(f"/admin/orgs/{other['id']}/routes", json=FAST).json()["id"]
    for method, body in (("GET", None), ("PUT", FAST), ("DELETE", None)):
        assert api.request(method, f"{path}/{theirs}", json=body).status_code == 404


def test_every_change_is_audited_and_told(
    api: TestClient, path: str, organization: dict[str, str], module_database: TestDatabase
) -> None:
    one = f"{path}/{api.post(path, json=FAST).json()['id']}"
    api.put(one, json={**FAST, "match": "quick"})
    api.delete(one)
    with module_database.superuser() as db:
        rows = db.run(
            "SELECT action, before->>'match', after->>'match' FROM audit_events"
            " WHERE org_id = :id AND resource LIKE 'route/%' ORDER BY occurred_at, id",
            id=UUID(organization["id"]),
        )
        told = db.run("SELECT count(*) FROM outbox WHERE org_id = :id", id=UUID(organization["id"]))
    assert rows == [["route:create", None, "fast"], ["route:update", "fast", "quick"], ["route:delete", "quick", None]]
    assert told[0][0] >= 4
