"""Limits, as they are set and shown, and as the gate obeys them."""

from uuid import UUID, uuid4

import pytest
from fastapi.testclient import TestClient
from navplane.gate.gate import RefusalReason

from tests.integration.admin.support import Admission
from tests.support.postgres import TestDatabase

RATE: dict[str, object] = {"scope": "organization", "kind": "requests_per_minute", "amount": 2}


@pytest.fixture
def path(api: TestClient, organization: dict[str, str]) -> str:
    base = f"/admin/orgs/{organization['id']}"
    key = {"provider": "openai", "label": "x", "api_key": "sk-live-12345678"}
    assert api.post(f"{base}/provider-keys", json=key).status_code == 201
    return f"{base}/limits"


def key_of(database: TestDatabase, organization: dict[str, str]) -> str:
    with database.superuser() as db:
        rows = db.run("SELECT id FROM api_keys WHERE org_id = :id AND revoked_at IS NULL", id=UUID(organization["id"]))
    return str(rows[0][0])


def test_a_limit_is_in_force_once_it_is_set_and_until_it_is_taken_away(
    api: TestClient, path: str, organization: dict[str, str], admission: Admission
) -> None:
    made = api.post(path, json=RATE)
    assert made.status_code == 201
    key = organization["api_key"]
    assert [admission.refusal(key) for _ in range(3)] == [None, None, RefusalReason.RATE_LIMITED]
    one = f"{path}/{made.json()['id']}"
    assert api.put(one, json={"amount": 3}).json()["amount"] == 3
    assert [admission.refusal(key) for _ in range(2)] == [None, RefusalReason.RATE_LIMITED]
    assert api.delete(one).status_code == 204
    assert admission.refusal(key) is None
    assert api.get(one).status_code == 404


def test_a_limit_shows_whose_it_is_how_much_is_used_and_when_it_begins_anew(
    api: TestClient, path: str, organization: dict[str, str]
) -> None:
    money: dict[str, object] = {"scope": "organization", "kind": "usd_per_month", "amount_usd": "25.50", "allow_unpriced": True}
    shown = api.post(path, json=money).json()
    expected = {
        "scope": "organization", "scope_id": organization["id"], "kind": "usd_per_month", "amount": None,
        "amount_usd": "25.5", "mode": "strict", "allow_unpriced": True, "used": None, "used_usd": "0",
    }  # fmt: skip
    assert expected.items() <= shown.items()
    assert shown["resets_at"].endswith("-01T00:00:00Z")
    assert api.get(f"{path}/{shown['id']}").json() == shown
    streams = api.post(path, json={**RATE, "kind": "concurrent_streams", "mode": "normal"}).json()
    assert (streams["resets_at"], streams["used"], streams["mode"]) == (None, 0, "normal")
    page = api.get(path, params={"limit": 1}).json()
    assert [item["id"] for item in page["items"]] == [streams["id"]]
    rest = api.get(path, params={"cursor": page["next_cursor"]}).json()
    assert ([item["id"] for item in rest["items"]], rest["next_cursor"]) == ([shown["id"]], None)


def test_a_keys_limits_go_to_its_successor(
    api: TestClient, path: str, organization: dict[str, str], admission: Admission, module_database: TestDatabase
) -> None:
    key_id = key_of(module_database, organization)
    made = api.post(path, json={**RATE, "scope": "key", "scope_id": key_id, "amount": 0})
    assert made.status_code == 201
    new = api.post(f"/admin/orgs/{organization['id']}/rotate-key").json()["api_key"]
    assert admission.refusal(new) is RefusalReason.RATE_LIMITED
    assert api.get(path).json()["items"][0]["scope_id"] == key_of(module_database, organization) != key_id


def test_one_scope_has_one_limit_of_a_kind(api: TestClient, path: str) -> None:
    api.post(path, json=RATE)
    answer = api.post(path, json={**RATE, "amount": 5})
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    assert [item["amount"] for item in api.get(path).json()["items"]] == [2]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {**RATE, "amount": -1},
        {**RATE, "amount": 1.5},
        {**RATE, "amount": "5"},
        {**RATE, "amount": 10**12 + 1},
        {**RATE, "amount": None},
        {**RATE, "amount_usd": "5"},
        {**RATE, "kind": "requests_per_year"},
        {**RATE, "kind": "usd_per_day"},
        {"scope": "organization", "kind": "usd_per_day", "amount_usd": "-5"},
        {"scope": "organization", "kind": "usd_per_day", "amount_usd": "1e3"},
        {"scope": "organization", "kind": "usd_per_day", "amount_usd": 5},
        {"scope": "organization", "kind": "usd_per_day", "amount_usd": "0.0000000001"},
        {**RATE, "scope": "platform"},
        {**RATE, "scope": "key"},
        {**RATE, "scope": "workspace", "scope_id": str(uuid4())},
        {**RATE, "scope_id": str(uuid4())},
        {**RATE, "scope_id": "x"},
        {**RATE, "mode": "lenient"},
        {**RATE, "unknown": 1},
    ],
)
def test_limits_that_make_no_sense_are_refused_and_change_nothing(api: TestClient, path: str, body: object) -> None:
    answer = api.post(path, json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")
    assert api.get(path).json()["items"] == []


def test_another_organizations_limits_and_keys_are_out_of_reach(
    api: TestClient, path: str, module_database: TestDatabase
) -> None:
    other = api.post("/admin/orgs", json={"name": "Other"}).json()
    theirs = api.post(f"/admin/orgs/{other['id']}/limits", json=RATE).json()["id"]
    for method, body in (("GET", None), ("PUT", {"amount": 1}), ("DELETE", None)):
        assert api.request(method, f"{path}/{theirs}", json=body).status_code == 404
    with_their_key = {**RATE, "scope": "key", "scope_id": key_of(module_database, other)}
    assert api.post(path, json=with_their_key).status_code == 422


def test_every_change_is_audited_and_told(
    api: TestClient, path: str, organization: dict[str, str], module_database: TestDatabase
) -> None:
    one = f"{path}/{api.post(path, json=RATE).json()['id']}"
    api.put(one, json={"amount": 7})
    api.delete(one)
    with module_database.superuser() as db:
        rows = db.run(
            "SELECT action, before->>'amount', after->>'amount' FROM audit_events"
            " WHERE org_id = :id AND resource LIKE 'limit/%' ORDER BY occurred_at, id",
            id=UUID(organization["id"]),
        )
        told = db.run("SELECT count(*) FROM outbox WHERE org_id = :id", id=UUID(organization["id"]))
    assert rows == [["limit:create", None, "2"], ["limit:update", "2", "7"], ["limit:delete", "7", None]]
    assert told[0][0] >= 4
