"""Limits of the whole platform: everybody obeys them together, and only platform admins see them."""

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient
from navplane.gate.gate import RefusalReason

from tests.integration.admin.support import Admission
from tests.support.postgres import TestDatabase

PATH = "/admin/limits"
RATE = {"kind": "requests_per_minute", "amount": 2}


@pytest.fixture
def key(api: TestClient, organization: dict[str, str], module_database: TestDatabase) -> Iterator[str]:
    """Of an organization that may call. What is set for everybody goes with the test."""
    body = {"provider": "openai", "label": "x", "api_key": "sk-live-12345678"}
    assert api.post(f"/admin/orgs/{organization['id']}/provider-keys", json=body).status_code == 201
    yield organization["api_key"]
    with module_database.superuser() as db:
        db.run("DELETE FROM platform_limits")
        db.run("DELETE FROM limit_counters WHERE org_id IS NULL")


def test_platforms_limit_is_everybodys_from_the_moment_it_is_set(api: TestClient, key: str, admission: Admission) -> None:
    made = api.post(PATH, json=RATE)
    assert made.status_code == 201
    assert [admission.refusal(key) for _ in range(3)] == [None, None, RefusalReason.RATE_LIMITED]
    one = f"{PATH}/{made.json()['id']}"
    assert api.put(one, json={"amount": 3, "mode": "normal"}).json()["mode"] == "normal"
    assert [admission.refusal(key) for _ in range(2)] == [None, RefusalReason.RATE_LIMITED]
    assert api.delete(one).status_code == 204
    assert admission.refusal(key) is None
    assert (api.put(one, json={"amount": 3}).status_code, api.delete(one).status_code) == (404, 404)


def test_platforms_limits_are_listed_in_the_order_in_which_they_are_checked(api: TestClient, key: str) -> None:
    rate = api.post(PATH, json=RATE).json()
    money = api.post(PATH, json={"kind": "usd_per_day", "amount_usd": "2.5", "allow_unpriced": True}).json()
    assert (money["scope"], money["amount_usd"], money["used_usd"], money["allow_unpriced"]) == ("platform", "2.5", "0", True)
    assert api.get(PATH).json() == {"items": [money, rate]}


def test_one_kind_has_one_limit(api: TestClient, key: str) -> None:
    assert api.post(PATH, json=RATE).status_code == 201
    assert api.post(PATH, json={**RATE, "amount": 9}).status_code == 409
    assert [item["amount"] for item in api.get(PATH).json()["items"]] == [2]


@pytest.mark.parametrize("body", [{}, {"kind": "usd_per_day", "amount": 1}, {**RATE, "amount": -1}, {**RATE, "scope": "key"}])
def test_limits_that_make_no_sense_are_refused(api: TestClient, key: str, body: object) -> None:
    assert api.post(PATH, json=body).status_code == 422
    assert api.get(PATH).json() == {"items": []}


def test_every_change_is_audited_as_nobodys(api: TestClient, key: str, module_database: TestDatabase) -> None:
    one = api.post(PATH, json=RATE).json()["id"]
    api.put(f"{PATH}/{one}", json={"amount": 7})
    api.delete(f"{PATH}/{one}")
    with module_database.superuser() as db:
        rows = db.run(
            "SELECT action, before->>'amount', after->>'amount', org_id FROM audit_events WHERE resource = :resource"
            " ORDER BY occurred_at, id",
            resource=f"platform_limit/{one}",
        )
    assert rows == [
        ["platform_limit:create", None, "2", None],
        ["platform_limit:update", "2", "7", None],
        ["platform_limit:delete", "7", None, None],
    ]
