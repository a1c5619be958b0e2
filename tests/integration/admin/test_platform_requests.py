"""Requests, budgets and exports of all organizations, as a platform admin reads them: what SQL says of all rows."""

import csv
import io
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from fastapi.testclient import TestClient
from navplane.admin import budgets, platform_requests, platform_usage
from navplane.admin.access import Access
from navplane.admin.app import create
from navplane.admin.plane import Plane
from navplane.crypto.token import TokenVerifier
from navplane.ingest.recording import record_what_can_be
from navplane_local.issuer import Issuer

from tests.support.postgres import TestDatabase
from tests.support.usage_events import usage_event

TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
SPAN = {"start": (TODAY - timedelta(days=3)).isoformat(), "end": TODAY.isoformat()}
DAYS = {name: moment[:10] for name, moment in SPAN.items()}


@pytest.fixture
def reading(module_database: TestDatabase, plane: Plane, issuer: Issuer) -> TestClient:
    reader = module_database.as_role("navplane_reader")
    verifier, subjects = TokenVerifier(issuer.url, "navplane"), frozenset({"local|admin"})
    access = Access(verifier, database=reader, admin_subjects=subjects, records_users=False)
    routers = (platform_usage.router, platform_requests.router, budgets.router)
    app = create(title="analytics", routers=routers, plane=replace(plane, database=reader, access=access))
    return TestClient(app, headers={"authorization": f"Bearer {issuer.mint('local|admin')}"})


@pytest.fixture
def used(api: TestClient, module_database: TestDatabase) -> list[UUID]:
    """Two organizations, each with calls on three days."""
    ids = [UUID(api.post("/admin/orgs", json={"name": name}).json()["id"]) for name in ("One", "Two")]
    for count, org_id in zip((17, 23), ids, strict=True):
        with module_database.superuser() as db:
            [[key_id]] = db.run("SELECT id FROM api_keys WHERE org_id = :id", id=org_id)
        moments = (TODAY - timedelta(days=3) + n * timedelta(hours=3, seconds=7) for n in range(count))
        events = [usage_event(now=now, key_id=key_id, model=f"gpt-5{'-mini' * (n % 2)}") for n, now in enumerate(moments)]
        record_what_can_be(module_database.as_role("navplane_writer"), events)
    return ids


def asked(reading: TestClient, what: str, **query: Any) -> Any:
    answer = reading.get(f"/admin/usage/{what}", params=query)
    assert answer.status_code == 200, answer.text
    return answer


def test_every_organizations_requests_are_listed_page_by_page_newest_first(
    reading: TestClient, used: list[UUID], module_database: TestDatabase
) -> None:
    found: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        page = asked(reading, "requests", **SPAN, model="gpt-5", limit=7, **cursor).json()
        found += page["items"]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    with module_database.superuser() as db:
        rows = db.run(
            "SELECT request_id::text, org_id::text, cost_usd FROM request_logs WHERE model = 'gpt-5' ORDER BY request_id DESC"
        )
    assert [[row["request_id"], row["org_id"], Decimal(row["cost_usd"])] for row in found] == rows
    assert {row["org_id"] for row in found} >= {str(org_id) for org_id in used}


def test_exports_of_all_organizations_add_up_to_the_summary(reading: TestClient, used: list[UUID]) -> None:
    totals = asked(reading, "summary", **SPAN).json()["totals"]
    files: list[tuple[str, dict[str, Any], str, str]] = [
        ("requests", SPAN, "cost_usd", "org_id"),
        ("usage", {**SPAN, "by": ["org_id", "model"]}, "cost_usd", "org_id"),
        ("focus", DAYS, "BilledCost", "BillingAccountId"),
    ]
    for what, query, cost, whose in files:
        rows = list(csv.DictReader(io.StringIO(asked(reading, f"exports/{what}", **query).text, newline="")))
        assert sum(Decimal(row[cost]) for row in rows) == Decimal(totals["cost_usd"]) > 0
        assert {row[whose] for row in rows} >= {str(org_id) for org_id in used}
    assert {row["BillingAccountName"] for row in rows} >= {"One", "Two"}


def test_a_budget_of_each_organization_is_that_of_its_own_page(api: TestClient, reading: TestClient, used: list[UUID]) -> None:
    for org_id in used:
        for kind in ("tokens_per_month", "tokens_per_day"):
            body = {"scope": "organization", "kind": kind, "amount": 900}
            assert api.post(f"/admin/orgs/{org_id}/limits", json=body).status_code == 201
    first = asked(reading, "budgets", limit=3).json()
    second = asked(reading, "budgets", limit=200, cursor=first["next_cursor"]).json()
    listed = [*first["items"], *second["items"]]
    for org_id in used:
        own = reading.get(f"/admin/orgs/{org_id}/budgets").json()["items"]
        of_all = [one for one in listed if one["org_id"] == str(org_id)]
        assert len(own) == 2
        # A forecast is of the moment it is asked for.
        moment = {"org_id": str(org_id), "forecast": None}
        assert [{**one, **moment} for one in of_all] == [{**one, **moment} for one in own]


EVERYTHING = (
    "requests",
    "budgets",
    "exports/requests",
    "exports/usage?by=model",
    "exports/focus?start=2026-01-01&end=2026-01-02",
)


@pytest.mark.parametrize("what", EVERYTHING)
def test_nobody_else_sees_all_organizations(reading: TestClient, issuer: Issuer, what: str) -> None:
    somebody = {"authorization": f"Bearer {issuer.mint('somebody')}"}
    assert reading.get(f"/admin/usage/{what}", headers=somebody).status_code == 403
    assert reading.get(f"/admin/usage/{what}").status_code == 200
