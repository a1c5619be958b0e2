"""Alert rules as they are set, and notifications as they are read."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from fastapi.testclient import TestClient
from navplane.model.alert import AlertKind, Crossing
from navplane.store import alerts

from tests.support.postgres import TestDatabase


@pytest.fixture
def base(organization: dict[str, str]) -> str:
    return f"/admin/orgs/{organization['id']}"


def tell(database: TestDatabase, base: str, *thresholds: int) -> None:
    crossings = [
        Crossing(
            org_id=UUID(base.split("/")[3]), kind=AlertKind.BUDGET, subject="limit/x", window_name="m:2026-11",
            threshold=threshold, title=f"{threshold}%", facts={"spent": "1"},
        )
        for threshold in thresholds
    ]  # fmt: skip
    writer = database.as_role("navplane_writer", size=1)
    for place, crossing in enumerate(crossings):
        with writer.transaction() as db:
            assert alerts.tell(db, [crossing], now=datetime.now(UTC) + timedelta(seconds=place)) == 1


def test_a_rule_is_set_read_changed_and_taken_away(api: TestClient, base: str) -> None:
    assert api.get(f"{base}/alerts").json() == {"items": []}
    made = api.post(f"{base}/alerts", json={"kind": "budget", "thresholds": [90, 25]})
    assert made.status_code == 201, made.text
    expected = {"kind": "budget", "enabled": True, "thresholds": [25, 90], "sensitivity": 6.0, "floor_usd": "1"}
    assert expected.items() <= made.json().items()
    one = f"{base}/alerts/{made.json()['id']}"
    assert api.get(one).json() == made.json()
    assert api.post(f"{base}/alerts", json={"kind": "budget"}).status_code == 409
    tag = api.get(one).headers["etag"]
    changed = api.put(one, json={"enabled": False}, headers={"if-match": tag})
    assert (changed.json()["enabled"], changed.json()["thresholds"]) == (False, [50, 80, 100])
    assert api.put(one, json={}, headers={"if-match": tag}).status_code == 412
    assert api.delete(one).status_code == 204
    assert api.get(one).status_code == 404


@pytest.mark.parametrize(
    "body",
    [
        {"kind": "budget", "thresholds": []},
        {"kind": "budget", "thresholds": [0]},
        {"kind": "budget", "thresholds": [50, 50]},
        {"kind": "weather"},
        {"kind": "spike", "sensitivity": 0},
        {"kind": "spike", "floor_usd": "-1"},
        {"kind": "spike", "floor_usd": 1},
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(api: TestClient, base: str, body: dict[str, object]) -> None:
    assert api.post(f"{base}/alerts", json=body).status_code == 422


def test_notifications_are_paged_newest_first_and_marked_once(
    api: TestClient, base: str, module_database: TestDatabase
) -> None:
    tell(module_database, base, 50, 80, 100)
    page = api.get(f"{base}/notifications", params={"limit": 2}).json()
    rest = api.get(f"{base}/notifications", params={"cursor": page["next_cursor"]}).json()
    assert [item["threshold"] for item in page["items"] + rest["items"]] == [100, 80, 50]
    first = page["items"][0]
    assert (first["facts"], first["read_at"]) == ({"spent": "1"}, None)
    read = api.post(f"{base}/notifications/{first['id']}/read")
    assert read.json()["read_by"] == "local|admin"
    assert api.post(f"{base}/notifications/{first['id']}/read").json() == read.json()
    unread = api.get(f"{base}/notifications", params={"unread": True}).json()["items"]
    assert [item["threshold"] for item in unread] == [80, 50]


def test_nobody_sees_or_marks_another_organizations_notifications(
    api: TestClient, base: str, module_database: TestDatabase
) -> None:
    tell(module_database, base, 50)
    (item,) = api.get(f"{base}/notifications").json()["items"]
    other = api.post("/admin/orgs", json={"name": "Other"}).json()["id"]
    assert api.get(f"/admin/orgs/{other}/notifications").json()["items"] == []
    assert api.post(f"/admin/orgs/{other}/notifications/{item['id']}/read").status_code == 404
    assert api.post(f"{base}/notifications/{uuid4()}/read").status_code == 404
