"""Exports under the role that only reads: page, API, file and SQL add up to the same, before and after what changes costs."""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pyarrow.parquet as pq
import pytest
from fastapi.testclient import TestClient
from navplane.admin import exports, requests, usage
from navplane.admin.access import Access
from navplane.admin.app import create
from navplane.admin.plane import Plane
from navplane.crypto.token import TokenVerifier
from navplane.ingest.recording import record_what_can_be
from navplane.model.ids import new_id
from navplane.model.usage import Usage, UsageQuality
from navplane.model.usage_event import UsageEvent
from navplane.store import rollups
from navplane_local.issuer import Issuer

from tests.support.postgres import TestDatabase
from tests.support.usage_events import usage_event

TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
START = TODAY - timedelta(days=3)
SPAN = {"start": START.isoformat(), "end": TODAY.isoformat()}
DAYS = {"start": START.date().isoformat(), "end": TODAY.date().isoformat()}
Rows = list[dict[str, Any]]


@pytest.fixture
def reading(module_database: TestDatabase, plane: Plane, issuer: Issuer) -> TestClient:
    reader = module_database.as_role("navplane_reader")
    verifier, subjects = TokenVerifier(issuer.url, "navplane"), frozenset({"local|admin"})
    access = Access(verifier, database=reader, admin_subjects=subjects, records_users=False)
    routers = (exports.router, requests.router, usage.router)
    app = create(title="analytics", routers=routers, plane=replace(plane, database=reader, access=access))
    return TestClient(app, headers={"authorization": f"Bearer {issuer.mint('local|admin')}"})


@pytest.fixture
def used(module_database: TestDatabase, organization: dict[str, str]) -> list[UsageEvent]:
    """Three days of calls with prices, estimates, one without a price, demo ones, and a name that is a formula."""
    with module_database.superuser() as db:
        (key_id,) = db.run("SELECT id FROM api_keys WHERE org_id = :id", id=UUID(organization["id"]))[0]
    kinds: list[dict[str, Any]] = [
        {"model": "gpt-5"}, {"provider": "anthropic", "model": "claude-sonnet-4-5"}, {"model": "=HYPERLINK(1)"},
        {"demo": True}, {"usage_quality": UsageQuality.ESTIMATED, "usage": Usage(input_tokens=5000)},
    ]  # fmt: skip
    step = timedelta(minutes=130, seconds=7)
    events = [usage_event(now=START + n * step, key_id=key_id, **kinds[n % len(kinds)]) for n in range(33)]
    record_what_can_be(module_database.as_role("navplane_writer"), events)
    return events


def exported(reading: TestClient, organization: dict[str, str], what: str, **query: Any) -> Rows:
    """A file's rows as its reader gives them, all parts of it."""
    rows: Rows = []
    cursor: dict[str, str] = {}
    while True:
        answer = reading.get(f"/admin/orgs/{organization['id']}/exports/{what}", params={**query, **cursor})
        assert answer.status_code == 200, answer.text
        assert datetime.fromisoformat(answer.headers["x-navplane-complete-to"]) < datetime.now(UTC)
        rows += read(answer.content, query.get("format", "csv"))
        if "x-navplane-next-cursor" not in answer.headers:
            return rows
        cursor = {"cursor": answer.headers["x-navplane-next-cursor"]}


def read(content: bytes, file_format: str) -> Rows:
    if file_format == "csv":
        return list(csv.DictReader(io.StringIO(content.decode(), newline="")))
    found: Rows = json.loads(content) if file_format == "json" else pq.read_table(io.BytesIO(content)).to_pylist()
    return found


def added(rows: Sequence[dict[str, Any]], column: str) -> Decimal:
    return sum((Decimal(str(row[column])) for row in rows if row[column] not in (None, "")), Decimal(0))


def asked(reading: TestClient, organization: dict[str, str], what: str, **query: Any) -> dict[str, Any]:
    answer = reading.get(f"/admin/orgs/{organization['id']}/{what}", params={**SPAN, "demo": False, **query})
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def agree(reading: TestClient, organization: dict[str, str], module_database: TestDatabase) -> tuple[Decimal, Decimal]:
    """Requests and cost, after all ways to ask for them have said the same."""
    totals = asked(reading, organization, "usage/summary")["totals"]
    requests_and_cost = Decimal(totals["requests"]), Decimal(totals["cost_usd"])
    with module_database.superuser() as db:
        org_id = UUID(organization["id"])
        rows = "SELECT count(*), sum(cost_usd) FROM request_logs WHERE org_id = :id AND NOT demo"
        assert tuple(db.run(rows, id=org_id)[0]) == requests_and_cost
        assert db.run("SELECT sum(amount_usd) FROM ledger_entries WHERE org_id = :id", id=org_id) == [[requests_and_cost[1]]]
    page = asked(reading, organization, "requests", limit=200)["items"]
    assert (Decimal(len(page)), added(page, "cost_usd")) == requests_and_cost
    for file_format in ("csv", "json", "parquet"):
        listed = exported(reading, organization, "requests", **SPAN, demo=False, limit=10, format=file_format)
        assert (Decimal(len(listed)), added(listed, "cost_usd")) == requests_and_cost
        assert [row["request_id"] for row in listed] == [row["request_id"] for row in page]
        for by in (["model"], ["key_id", "endpoint"]):
            grouped = exported(reading, organization, "usage", **SPAN, by=by, format=file_format)
            assert (added(grouped, "requests"), added(grouped, "cost_usd")) == requests_and_cost
            assert added(grouped, "input_tokens") == totals["input_tokens"]
        costs = exported(reading, organization, "focus", **DAYS, format=file_format)
        assert (added(costs, "x_Requests"), added(costs, "BilledCost")) == requests_and_cost
        assert added(costs, "EffectiveCost") == added(costs, "ListCost") == requests_and_cost[1]
    return requests_and_cost


def test_page_api_file_and_sql_add_up_to_the_same_whatever_happens_to_prices_and_sums(
    reading: TestClient, organization: dict[str, str], used: list[UsageEvent], module_database: TestDatabase
) -> None:
    count, cost = agree(reading, organization, module_database)
    assert count == sum(not event.demo for event in used)
    writer = module_database.as_role("navplane_writer")
    with writer.transaction() as db:
        rollups.rebuild(db, since=START)
    assert agree(reading, organization, module_database) == (count, cost)
    exact = [
        replace(event, usage_quality=UsageQuality.EXACT, usage=Usage(input_tokens=6))
        for event in used
        if event.usage_quality is UsageQuality.ESTIMATED
    ]
    record_what_can_be(writer, exact)
    again, cheaper = agree(reading, organization, module_database)
    assert again == count
    assert cheaper < cost


def test_what_others_named_is_no_formula_in_a_spreadsheet_and_itself_elsewhere(
    reading: TestClient, organization: dict[str, str], used: list[UsageEvent]
) -> None:
    formula = "=HYPERLINK(1)"
    for file_format, written in (("csv", "'" + formula), ("json", formula), ("parquet", formula)):
        models = {row["model"] for row in exported(reading, organization, "requests", format=file_format)}
        assert written in models
        grouped = exported(reading, organization, "usage", **SPAN, by="model", format=file_format)
        assert written in {row["model"] for row in grouped}


def test_a_cost_row_is_a_day_of_a_key_with_its_account_and_period(
    reading: TestClient, organization: dict[str, str], used: list[UsageEvent]
) -> None:
    rows = exported(reading, organization, "focus", **DAYS, format="parquet")
    assert {row["BillingAccountId"] for row in rows} == {organization["id"]}
    assert {(row["BillingAccountName"], row["BillingCurrency"], row["ServiceCategory"]) for row in rows} == {
        ("Acme", "USD", "AI and Machine Learning")
    }
    for row in rows:
        assert row["ChargePeriodEnd"] - row["ChargePeriodStart"] == timedelta(days=1)
        assert row["BillingPeriodStart"] <= row["ChargePeriodStart"] < row["BillingPeriodEnd"]
        assert (row["BillingPeriodStart"].day, row["BillingPeriodEnd"].day) == (1, 1)
        assert row["ConsumedQuantity"] == row["x_InputTokens"] + row["x_OutputTokens"]


@pytest.mark.parametrize(
    ("what", "query"),
    [
        ("requests", {"format": "xlsx"}),
        ("requests", {"limit": 5001}),
        ("requests", {"outcome": "great"}),
        ("usage", {}),
        ("usage", {"by": ["model", "model"]}),
        ("usage", {"by": "org_id"}),
        ("focus", {}),
        ("focus", {"start": "2026-01-02", "end": "2026-01-02"}),
        ("focus", {"start": "2020-01-02", "end": "2026-01-02"}),
        ("focus", {"start": "2026-01-02T10:00:00Z", "end": "2026-01-03"}),
    ],
)
def test_an_export_that_makes_no_sense_is_refused(
    reading: TestClient, organization: dict[str, str], what: str, query: dict[str, Any]
) -> None:
    assert reading.get(f"/admin/orgs/{organization['id']}/exports/{what}", params=query).status_code == 422


@pytest.mark.parametrize("what", ["requests", "usage?by=model", f"focus?start={DAYS['start']}&end={DAYS['end']}"])
def test_another_organization_is_not_there_nor_is_one_without_a_role_in_it(
    reading: TestClient, organization: dict[str, str], issuer: Issuer, what: str
) -> None:
    assert reading.get(f"/admin/orgs/{new_id()}/exports/{what}").status_code == 404
    somebody = {"authorization": f"Bearer {issuer.mint('somebody')}"}
    assert reading.get(f"/admin/orgs/{organization['id']}/exports/{what}", headers=somebody).status_code == 404
