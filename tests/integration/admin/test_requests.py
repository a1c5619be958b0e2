"""The request log as a person reads it, under the role that only reads."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from fastapi.testclient import TestClient
from navplane import wiring
from navplane.admin import request_detail, requests
from navplane.admin.access import Access
from navplane.admin.app import create
from navplane.admin.plane import Plane
from navplane.crypto.token import TokenVerifier
from navplane.ingest.recording import record_what_can_be
from navplane.model.ids import new_request_id
from navplane.model.usage import Endpoint, Outcome, Usage, UsageQuality
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
        routers=(requests.router, request_detail.router),
        plane=replace(plane, database=reader, access=access, list_lines=wiring.list_lines),
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


# -- only some of them -------------------------------------------------------------------------------------------------------

NOW = datetime.now(UTC)
KINDS: list[dict[str, Any]] = [
    {"model": "gpt-5-mini"},
    {"provider": "anthropic", "model": "claude-sonnet-4-5", "endpoint": Endpoint.MESSAGES},
    {"outcome": Outcome.FAILED, "status": 502, "error_code": "upstream_error", "usage": Usage()},
    {"usage_quality": UsageQuality.ESTIMATED, "stream": True},
    {"demo": True},
    {"model": "nobody-knows-it"},
]
FILTERS: dict[str, list[Any]] = {
    "model": ["gpt-5-mini", "gpt-5"], "provider": ["anthropic"], "endpoint": ["messages"], "outcome": ["failed", "ok"],
    "status": [502], "error_code": ["upstream_error"], "usage_quality": ["estimated"], "price_quality": ["unpriced"],
    "stream": [True, False], "demo": [True, False],
}  # fmt: skip


def listed(reading: TestClient, organization: dict[str, str], **query: Any) -> list[dict[str, Any]]:
    """All pages, five rows each."""
    rows: list[dict[str, Any]] = []
    cursor = None
    while True:
        given = {**query, "limit": 5} | ({"cursor": cursor} if cursor else {})
        answer = reading.get(f"/admin/orgs/{organization['id']}/requests", params=given)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        rows, cursor = rows + page["items"], page["next_cursor"]
        if cursor is None:
            return rows


def test_what_is_asked_for_is_listed_and_nothing_else(
    reading: TestClient, organization: dict[str, str], module_database: TestDatabase, superuser: Connection
) -> None:
    events = [usage_event(now=NOW - timedelta(minutes=n), **kind) for n, kind in enumerate(KINDS * 3)]
    recorded(module_database, organization["id"], *events)
    superuser.run("UPDATE request_logs SET route = 'cheap' WHERE request_id = :id", id=events[0].request_id)
    rows = listed(reading, organization)
    assert len(rows) == len(events)
    for name, values in FILTERS.items():
        for value in values:
            chosen = listed(reading, organization, **{name: value})
            assert chosen == [row for row in rows if row[name] == value]
            assert chosen
    both = listed(reading, organization, provider="openai", usage_quality="estimated", key_id=rows[0]["key_id"])
    assert both == [row for row in rows if row["usage_quality"] == "estimated"]
    start, end = events[9].started_at, events[4].started_at
    within = listed(reading, organization, start=start.isoformat(), end=end.isoformat())
    assert [row["request_id"] for row in within] == [str(event.request_id) for event in events[5:10]]
    routed = listed(reading, organization, route="cheap")
    assert [row["request_id"] for row in routed] == [str(events[0].request_id)]
    for name in ("key_id", "user_id", "workspace_id"):
        assert listed(reading, organization, **{name: str(new_request_id(NOW))}) == []


@pytest.mark.parametrize(
    "query", [{"outcome": "great"}, {"status": 1000}, {"key_id": "x"}, {"start": "2026-01-01T00:00:00"}, {"stream": "perhaps"}]
)
def test_a_filter_that_makes_no_sense_is_refused(
    reading: TestClient, organization: dict[str, str], query: dict[str, Any]
) -> None:
    assert reading.get(f"/admin/orgs/{organization['id']}/requests", params=query).status_code == 422


# -- one of them, and its price ----------------------------------------------------------------------------------------------


def detail(reading: TestClient, organization: dict[str, str], event: UsageEvent) -> dict[str, Any]:
    answer = reading.get(f"/admin/orgs/{organization['id']}/requests/{event.request_id}")
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def weighed(module_database: TestDatabase, organization: dict[str, str], *events: UsageEvent) -> None:
    """As the writer does, priced."""
    with module_database.superuser() as db:
        (key_id,) = db.run("SELECT id FROM api_keys WHERE org_id = :id", id=UUID(organization["id"]))[0]
    record_what_can_be(module_database.as_role("navplane_writer"), [replace(event, key_id=key_id) for event in events])


EVERYTHING = Usage(
    input_tokens=100_000, cached_input_tokens=10_000, cache_write_5m_tokens=20_000, cache_write_1h_tokens=30_000,
    output_tokens=5000, reasoning_tokens=800, web_searches=3,
)  # fmt: skip


@pytest.mark.parametrize(
    ("vendor", "model"), [("anthropic", "claude-sonnet-4-5"), ("openai", "gpt-5"), ("google", "gemini-2.5-pro")]
)
def test_the_lines_of_a_list_price_add_up_to_what_is_charged(
    reading: TestClient, organization: dict[str, str], module_database: TestDatabase, vendor: str, model: str
) -> None:
    usage = EVERYTHING if vendor == "anthropic" else Usage(input_tokens=300_000, cached_input_tokens=7, output_tokens=900)
    event = usage_event(provider=vendor, model=model, usage=usage)
    weighed(module_database, organization, event)
    body = detail(reading, organization, event)
    lines = body["price"]["lines"]
    assert sum((Decimal(line["amount_usd"]) for line in lines), Decimal(0)) == Decimal(body["cost_usd"]) > 0
    assert all(line["quantity"] * Decimal(line["rate_usd"]) == Decimal(line["amount_usd"]) for line in lines)
    assert sum(line["quantity"] for line in lines if line["what"].endswith("tokens")) == usage.total_tokens
    assert body["price"]["explanation"] is None
    assert [charge["kind"] for charge in body["price"]["charges"]] == ["charge"]


def test_the_lines_of_an_agreed_price_and_an_adjustment_add_up_to_what_is_charged(
    reading: TestClient, organization: dict[str, str], module_database: TestDatabase, superuser: Connection
) -> None:
    guess: dict[str, Any] = {"usage_quality": UsageQuality.ESTIMATED, "usage": Usage(input_tokens=5)}
    estimate = usage_event(provider="anthropic", model="agreed", **guess)
    rates = {"input_usd": "0.000002", "output_usd": "0.000003", "cache_write_5m_usd": "0.000004", "request_usd": "0.01"}
    superuser.run(
        f"INSERT INTO price_overrides (org_id, id, provider, model, effective_from, {', '.join(rates)})"
        f" VALUES (:org, :id, 'anthropic', 'agreed', :since, {', '.join(rates.values())})",
        org=UUID(organization["id"]),
        id=new_request_id(NOW),
        since=NOW - timedelta(days=1),
    )
    exact = replace(estimate, usage_quality=UsageQuality.EXACT, usage=EVERYTHING)
    weighed(module_database, organization, estimate)
    weighed(module_database, organization, exact)
    body = detail(reading, organization, exact)
    lines = {line["what"]: Decimal(line["rate_usd"]) for line in body["price"]["lines"]}
    assert lines["cache_write_1h_tokens"] == lines["cache_write_5m_tokens"] == Decimal("0.000004")
    assert lines["cached_input_tokens"] == lines["input_tokens"] == Decimal("0.000002")
    amounts = [Decimal(line["amount_usd"]) for line in body["price"]["lines"]]
    charged = [Decimal(charge["amount_usd"]) for charge in body["price"]["charges"]]
    assert sum(amounts) == sum(charged) == Decimal(body["cost_usd"])
    assert [charge["kind"] for charge in body["price"]["charges"]] == ["charge", "adjustment"]


@pytest.mark.parametrize(
    ("differing", "said"),
    [
        ({"model": "nobody-knows-it"}, request_detail.UNPRICED),
        ({"provider_cost_usd": Decimal("0.5")}, request_detail.BY_THE_PROVIDER),
        ({"outcome": Outcome.REFUSED, "status": 403, "usage": Usage()}, request_detail.NOTHING),
    ],
)
def test_a_price_without_lines_says_why(
    reading: TestClient, organization: dict[str, str], module_database: TestDatabase, differing: dict[str, Any], said: str
) -> None:
    event = usage_event(**differing)
    weighed(module_database, organization, event)
    price = detail(reading, organization, event)["price"]
    assert (price["lines"], price["explanation"]) == ([], said)


@pytest.mark.parametrize("change", ["price_version = 'genai-prices 0.0.1'", "cost_usd = cost_usd + 0.000000001"])
def test_a_price_that_cant_be_explained_any_more_is_not_explained_wrongly(
    reading: TestClient, organization: dict[str, str], module_database: TestDatabase, superuser: Connection, change: str
) -> None:
    event = usage_event()
    weighed(module_database, organization, event)
    superuser.run(f"UPDATE request_logs SET {change} WHERE request_id = :id", id=event.request_id)
    price = detail(reading, organization, event)["price"]
    assert (price["lines"], price["explanation"]) == ([], request_detail.OTHER_LIST)


def test_a_request_of_another_organization_is_not_there(
    reading: TestClient, api: TestClient, organization: dict[str, str], module_database: TestDatabase
) -> None:
    event = usage_event()
    weighed(module_database, organization, event)
    other = api.post("/admin/orgs", json={"name": "Other"}).json()
    for org_id, request_id in ((other["id"], event.request_id), (organization["id"], new_request_id(NOW))):
        assert reading.get(f"/admin/orgs/{org_id}/requests/{request_id}").status_code == 404
