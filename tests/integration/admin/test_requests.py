"""The request log as a person reads it, under the role that only reads."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from fastapi.testclient import TestClient
from navplane.admin import requests
from navplane.admin.access import Access
from navplane.admin.app import create
from navplane.admin.plane import Plane
from navplane.crypto.token import TokenVerifier
from navplane.model.ids import new_request_id
from navplane.model.usage import Outcome, Usage, UsageQuality
from navplane.model.usage_event import UsageEvent
from navplane.store.database import Connection
from navplane.store.request_logs import record
from navplane_local.issuer import Issuer

from tests.support.postgres import TestDatabase
from tests.support.usage_events import usage_event


@pytest.fixture
def reading(module_database: TestDatabase, plane: Plane, issuer: Issuer) -> TestClient:
    """admin_analytics, as it is wired: navplane_reader and nothing else."""
    reader = module_database.as_role("navplane_reader")
    verifier, subjects = TokenVerifier(issuer.url, "navplane"), frozenset({"local|admin"})
    access = Access(verifier, database=reader, admin_subjects=subjects, records_users=False)
    app = create(
        title="analytics",
        routers=(requests.router,),
        plane=Plane(database=reader, access=access, region=plane.region, key_prefixes=plane.key_prefixes),
    )
    return TestClient(app, headers={"authorization": f"Bearer {issuer.mint('local|admin')}"})


@pytest.fixture
def superuser(module_database: TestDatabase) -> Iterator[Connection]:
    with module_database.superuser() as connection:
        yield connection


def recorded(database: TestDatabase, org_id: str, *events: UsageEvent) -> None:
    """As the writer does, on behalf of the organization's default key."""
    with database.superuser() as db:
        (key_id,) = db.run("SELECT id FROM api_keys WHERE org_id = :id", id=UUID(org_id))[0]
    with database.as_role("navplane_writer").transaction() as db:
        of_key = [UsageEvent.from_json(event.to_json().replace('"key_id":null', f'"key_id":"{key_id}"')) for event in events]
        assert not record(db, of_key).ownerless


def test_a_row_says_all_there_is_to_know(
    reading: TestClient, organization: dict[str, str], module_database: TestDatabase, superuser: Connection
) -> None:
    usage = Usage(input_tokens=11, output_tokens=7, cached_input_tokens=3, cache_write_5m_tokens=2, reasoning_tokens=5)
    event = usage_event(
        usage=usage, stream=True, response_model="gpt-5-2026", provider_request_id="req_1", finish_reason="stop",
        first_byte_ms=120, client="openai-python/3", demo=True,
    )  # fmt: skip
    recorded(module_database, organization["id"], event)
    superuser.run(
        "UPDATE request_logs SET cost_usd = 0.000123, price_quality = 'priced' WHERE request_id = :id", id=event.request_id
    )
    (row,) = reading.get(f"/admin/orgs/{organization['id']}/requests").json()["items"]
    expected = {
        "request_id": str(event.request_id), "provider": "openai", "model": "gpt-5", "response_model": "gpt-5-2026",
        "endpoint": "chat.completions", "stream": True, "demo": True, "region": "us", "status": 200, "outcome": "ok",
        "error_code": None, "usage_quality": "exact", "price_quality": "priced", "input_tokens": 11, "output_tokens": 7,
        "total_tokens": 18, "cached_input_tokens": 3, "cache_write_5m_tokens": 2, "cache_write_1h_tokens": 0,
        "reasoning_tokens": 5, "raw_usage": {"prompt_tokens": 11, "completion_tokens": 7}, "provider_request_id": "req_1",
        "finish_reason": "stop", "first_byte_ms": 120, "duration_ms": 420, "client": "openai-python/3", "attempts": 1,
    }  # fmt: skip
    assert {name: row[name] for name in expected} == expected
    assert Decimal(row["cost_usd"]) == Decimal("0.000123")
    assert isinstance(row["cost_usd"], str)
    assert datetime.fromisoformat(row["created_at"]).tzinfo is not None
    assert "org_id" not in row


def test_an_unpriced_row_has_no_cost_rather_than_a_cost_of_nothing(
    reading: TestClient, organization: dict[str, str], module_database: TestDatabase
) -> None:
    refused = usage_event(
        outcome=Outcome.REFUSED, status=403, error_code="model_not_allowed", provider=None, model=None, usage=Usage(),
        usage_quality=UsageQuality.EXACT, raw_usage=None,
    )  # fmt: skip
    recorded(module_database, organization["id"], refused)
    (row,) = reading.get(f"/admin/orgs/{organization['id']}/requests").json()["items"]
    assert (row["cost_usd"], row["price_quality"], row["outcome"]) == (None, "unpriced", "refused")
    assert (row["error_code"], row["status"]) == ("model_not_allowed", 403)


def test_pages_are_newest_first_and_follow_each_other(
    reading: TestClient, organization: dict[str, str], module_database: TestDatabase
) -> None:
    now = datetime.now(UTC)
    ids = [new_request_id(now - timedelta(seconds=n)) for n in range(5)]
    recorded(module_database, organization["id"], *(usage_event(request_id=request_id) for request_id in reversed(ids)))
    path, seen, cursor = f"/admin/orgs/{organization['id']}/requests", [], None
    for size in (2, 2, 1):
        page = reading.get(path, params={"limit": 2, **({"cursor": cursor} if cursor else {})}).json()
        assert len(page["items"]) == size
        seen += [row["request_id"] for row in page["items"]]
        cursor = page["next_cursor"]
    assert seen == [str(request_id) for request_id in ids]
    assert cursor is None


def test_another_organizations_rows_are_not_among_them(
    api: TestClient, reading: TestClient, organization: dict[str, str], module_database: TestDatabase
) -> None:
    other = api.post("/admin/orgs", json={"name": "Other"}).json()
    event = usage_event()
    recorded(module_database, other["id"], event)
    assert len(reading.get(f"/admin/orgs/{other['id']}/requests").json()["items"]) == 1
    page = reading.get(f"/admin/orgs/{organization['id']}/requests", params={"cursor": "ffffffff-ffff-7fff-bfff-ffffffffffff"})
    assert page.json()["items"] == []


def test_usage_outlives_its_organization(
    api: TestClient, reading: TestClient, organization: dict[str, str], module_database: TestDatabase
) -> None:
    recorded(module_database, organization["id"], usage_event())
    assert api.delete(f"/admin/orgs/{organization['id']}").status_code == 204
    answer = reading.get(f"/admin/orgs/{organization['id']}/requests")
    assert (answer.status_code, len(answer.json()["items"])) == (200, 1)


@pytest.mark.parametrize("query", ["limit=0", "limit=201", "cursor=x", "cursor="])
def test_limits_and_cursors_that_no_list_gave_are_refused(
    reading: TestClient, organization: dict[str, str], query: str
) -> None:
    assert reading.get(f"/admin/orgs/{organization['id']}/requests?{query}").status_code == 422
