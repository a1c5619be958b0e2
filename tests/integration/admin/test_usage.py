"""Usage as a person reads it: totals, breakdowns and time series, all of the same rows, under the role that only reads."""

import csv
import io
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from fastapi.testclient import TestClient
from navplane.admin import platform_usage, usage
from navplane.admin.access import Access
from navplane.admin.app import create
from navplane.admin.plane import Plane
from navplane.crypto.token import TokenVerifier
from navplane.gate.gate import Caller
from navplane.ingest.recording import record_what_can_be
from navplane.model.ids import new_id, new_request_id
from navplane.model.usage import Outcome, Usage, UsageQuality
from navplane.model.usage_event import UsageEvent
from navplane_local.issuer import Issuer

from tests.support.postgres import TestDatabase
from tests.support.tenants import seed_reservations
from tests.support.usage_events import usage_event

TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
SPAN = {"start": (TODAY - timedelta(days=3)).isoformat(), "end": TODAY.isoformat()}


@pytest.fixture
def reading(module_database: TestDatabase, plane: Plane, issuer: Issuer) -> TestClient:
    """admin_analytics, as it is wired: navplane_reader and nothing else."""
    reader = module_database.as_role("navplane_reader")
    verifier, subjects = TokenVerifier(issuer.url, "navplane"), frozenset({"local|admin"})
    access = Access(verifier, database=reader, admin_subjects=subjects, records_users=False)
    app = create(
        title="analytics",
        routers=(usage.router, platform_usage.router),
        plane=Plane(database=reader, access=access, region=plane.region, key_prefixes=plane.key_prefixes),
    )
    return TestClient(app, headers={"authorization": f"Bearer {issuer.mint('local|admin')}"})


@pytest.fixture
def used(module_database: TestDatabase, organization: dict[str, str]) -> list[UsageEvent]:
    """Three days of calls, every 90 minutes and 7 seconds: two providers, three models, one that has no price, demo ones."""
    with module_database.superuser() as db:
        (key_id,) = db.run("SELECT id FROM api_keys WHERE org_id = :id", id=UUID(organization["id"]))[0]
    kinds: list[dict[str, Any]] = [
        {"model": "gpt-5"}, {"model": "gpt-5-mini"}, {"provider": "anthropic", "model": "claude-sonnet-4-5"},
        {"model": "nobody-knows-it"}, {"outcome": Outcome.FAILED, "status": 500, "usage": Usage()}, {"demo": True},
        {"usage_quality": UsageQuality.ESTIMATED, "usage": Usage(input_tokens=5000)},
    ]  # fmt: skip
    step = timedelta(minutes=90, seconds=7)
    events = [usage_event(now=TODAY - timedelta(days=3) + n * step, key_id=key_id, **kinds[n % len(kinds)]) for n in range(47)]
    record_what_can_be(module_database.as_role("navplane_writer"), events)
    return events


def asked(reading: TestClient, organization: dict[str, str], what: str, **query: Any) -> dict[str, Any]:
    answer = reading.get(f"/admin/orgs/{organization['id']}/usage/{what}", params={**SPAN, **query})
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def added(groups: list[dict[str, Any]]) -> dict[str, Decimal]:
    total: Counter[str] = Counter()
    for group in groups:
        total.update({name: Decimal(value) for name, value in group["totals"].items()})
    return {name: Decimal(value) for name, value in total.items()}


def as_numbers(totals: dict[str, Any]) -> dict[str, Decimal]:
    return {name: Decimal(value) for name, value in totals.items()}


def test_the_summary_is_that_of_the_rows(
    reading: TestClient, organization: dict[str, str], used: list[UsageEvent], module_database: TestDatabase
) -> None:
    totals = asked(reading, organization, "summary")["totals"]
    real = [event for event in used if not event.demo]
    assert totals["requests"] == len(real)
    assert totals["input_tokens"] == sum(event.usage.input_tokens for event in real)
    assert totals["unpriced_requests"] == sum(event.model == "nobody-knows-it" for event in real)
    assert totals["failed_requests"] == sum(event.outcome is Outcome.FAILED for event in real)
    assert totals["inexact_requests"] == sum(event.usage_quality is UsageQuality.ESTIMATED for event in real)
    with module_database.superuser() as db:
        ledger = db.run("SELECT sum(amount_usd) FROM ledger_entries WHERE org_id = :id", id=UUID(organization["id"]))
    assert Decimal(totals["cost_usd"]) == ledger[0][0] > 0
    assert isinstance(totals["cost_usd"], str)


def test_demo_calls_are_shown_by_themselves(reading: TestClient, organization: dict[str, str], used: list[UsageEvent]) -> None:
    totals = asked(reading, organization, "summary", demo=True)["totals"]
    assert totals["requests"] == sum(event.demo for event in used)
    assert Decimal(totals["cost_usd"]) == 0


@pytest.mark.parametrize("by", [["model"], ["provider", "model"], ["key_id"], ["workspace_id", "endpoint"]])
@pytest.mark.parametrize("limit", [1, 500])
def test_a_breakdown_adds_up_to_the_summary(
    reading: TestClient, organization: dict[str, str], used: list[UsageEvent], by: list[str], limit: int
) -> None:
    body = asked(reading, organization, "breakdown", by=by, limit=limit)
    totals = as_numbers(asked(reading, organization, "summary")["totals"])
    assert added([*body["groups"], {"totals": body["other"]}]) == as_numbers(body["totals"]) == totals
    assert len(body["groups"]) <= limit
    costs = [Decimal(group["totals"]["cost_usd"]) for group in body["groups"]]
    assert costs == sorted(costs, reverse=True)
    assert all(group[name] is not None for group in body["groups"] for name in by)


# Kathmandu is 5:45 ahead, so its days begin within an hour of UTC; Lord Howe moves its clocks by half an hour.
@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe"])
@pytest.mark.parametrize("interval", ["hour", "day", "month"])
def test_a_time_series_has_every_point_and_each_call_in_its_own(
    reading: TestClient, organization: dict[str, str], used: list[UsageEvent], zone: str, interval: str
) -> None:
    points = asked(reading, organization, "timeseries", interval=interval, timezone=zone)["points"]
    assert added(points) == as_numbers(asked(reading, organization, "summary")["totals"])
    starts = [datetime.fromisoformat(point["start"]) for point in points]
    assert starts == sorted(set(starts))
    expected = Counter(local(event.started_at, zone, interval) for event in used if not event.demo)
    found = {start.astimezone(UTC): point["totals"]["requests"] for start, point in zip(starts, points, strict=True)}
    assert {start: count for start, count in found.items() if count} == expected
    if interval == "hour" and zone == "UTC":
        assert len(points) == 72


def local(moment: datetime, zone: str, interval: str) -> datetime:
    """The beginning of the hour, day or month of a wall clock."""
    wall = moment.astimezone(ZoneInfo(zone)).replace(minute=0, second=0, microsecond=0)
    if interval != "hour":
        wall = wall.replace(hour=0)
    return (wall.replace(day=1) if interval == "month" else wall).astimezone(UTC)


def test_a_span_that_begins_within_an_hour_is_counted_to_the_call(
    reading: TestClient, organization: dict[str, str], used: list[UsageEvent]
) -> None:
    start, end = used[3].started_at, used[20].started_at
    totals = asked(reading, organization, "summary", start=start.isoformat(), end=end.isoformat())["totals"]
    assert totals["requests"] == sum(not event.demo for event in used[3:20])


def test_what_is_answered_is_safe_to_put_into_a_table(
    reading: TestClient, organization: dict[str, str], used: list[UsageEvent]
) -> None:
    """Money survives a reader that knows no decimals only as text."""
    groups = asked(reading, organization, "breakdown", by=["model"])["groups"]
    out = io.StringIO()
    csv.writer(out).writerows([group["model"], group["totals"]["cost_usd"]] for group in groups)
    read = [Decimal(row[1]) for row in csv.reader(io.StringIO(out.getvalue()))]
    assert sum(read) == Decimal(asked(reading, organization, "summary")["totals"]["cost_usd"])


@pytest.mark.parametrize(
    ("what", "query"),
    [
        ("summary", {"start": "2026-01-02T00:00:00"}),
        ("summary", {"start": "2026-01-02T00:00:00Z", "end": "2026-01-01T00:00:00Z"}),
        ("summary", {"start": "2020-01-02T00:00:00Z"}),
        ("breakdown", {}),
        ("breakdown", {"by": "org_id"}),
        ("breakdown", {"by": ["model", "model"]}),
        ("breakdown", {"by": ["model", "provider", "endpoint"]}),
        ("breakdown", {"by": "model", "limit": 501}),
        ("timeseries", {"timezone": "Mars/Olympus"}),
        ("timeseries", {"timezone": "'; DROP TABLE x"}),
        ("timeseries", {"interval": "hour", "start": "2026-01-02T00:00:00Z", "end": "2026-03-02T00:00:00Z"}),
        ("timeseries", {"interval": "minute"}),
        ("summary", {"key_id": "not-an-id"}),
        ("top", {}),
        ("top", {"by": "org_id"}),
        ("top", {"by": "model", "measure": "beauty"}),
        ("top", {"by": "model", "limit": 0}),
    ],
)
def test_what_makes_no_sense_is_refused(
    reading: TestClient, organization: dict[str, str], what: str, query: dict[str, Any]
) -> None:
    assert reading.get(f"/admin/orgs/{organization['id']}/usage/{what}", params=query).status_code == 422


def test_by_default_it_is_the_last_30_days(reading: TestClient, organization: dict[str, str]) -> None:
    body = reading.get(f"/admin/orgs/{organization['id']}/usage/summary").json()
    assert datetime.fromisoformat(body["end"]) - datetime.fromisoformat(body["start"]) == timedelta(days=30)
    assert body["totals"]["requests"] == 0


@pytest.mark.parametrize("what", ["summary", "breakdown?by=model", "timeseries", "top?by=model"])
def test_an_organization_that_never_was_has_no_usage(reading: TestClient, what: str) -> None:
    assert reading.get(f"/admin/orgs/{new_id()}/usage/{what}").status_code == 404


@pytest.mark.parametrize("what", ["summary", "breakdown?by=model", "timeseries", "top?by=model"])
def test_who_has_no_role_there_finds_no_usage(
    reading: TestClient, organization: dict[str, str], issuer: Issuer, what: str
) -> None:
    somebody = {"authorization": f"Bearer {issuer.mint('somebody')}"}
    assert reading.get(f"/admin/orgs/{organization['id']}/usage/{what}", headers=somebody).status_code == 404


# -- spans that cut hours, and only some of the calls ------------------------------------------------------------------------


@pytest.mark.parametrize("cut", range(0, 30, 6))
def test_a_span_that_begins_and_ends_anywhere_is_counted_to_the_call(
    reading: TestClient, organization: dict[str, str], used: list[UsageEvent], cut: int
) -> None:
    start, end = used[cut].started_at, used[46 - cut // 2].started_at
    expected = [event for event in used[cut : 46 - cut // 2] if not event.demo]
    query = {"start": start.isoformat(), "end": end.isoformat()}
    totals = asked(reading, organization, "summary", **query)["totals"]
    assert totals["requests"] == len(expected)
    assert totals["input_tokens"] == sum(event.usage.input_tokens for event in expected)
    points = asked(reading, organization, "timeseries", interval="day", **query)["points"]
    assert added(points) == as_numbers(totals)


@pytest.fixture
def owner(module_database: TestDatabase, organization: dict[str, str]) -> UUID:
    """Whose the organization's key is."""
    user_id = new_id()
    with module_database.superuser() as db:
        db.run(
            "INSERT INTO user_identities (id, issuer, subject, email) VALUES (:id, 'i', :s, 'ada@example.com')",
            id=user_id,
            s=str(user_id),
        )
        db.run("UPDATE api_keys SET owner_user_id = :user WHERE org_id = :org", user=user_id, org=UUID(organization["id"]))
    return user_id


@pytest.mark.parametrize("start", [SPAN["start"], (TODAY - timedelta(days=3, minutes=7)).isoformat()])
@pytest.mark.parametrize("only", ["model", "provider", "endpoint", "workspace_id", "key_id", "user_id"])
def test_only_some_of_the_calls_are_counted_if_only_some_are_asked_for(
    reading: TestClient, organization: dict[str, str], owner: UUID, used: list[UsageEvent], only: str, start: str
) -> None:
    groups = asked(reading, organization, "breakdown", by=only, start=start)["groups"]
    assert groups
    for group in groups:
        narrowed = {only: group[only], "start": start}
        assert asked(reading, organization, "summary", **narrowed)["totals"] == group["totals"]
        points = asked(reading, organization, "timeseries", interval="month", timezone="Europe/Berlin", **narrowed)["points"]
        assert added(points) == as_numbers(group["totals"])
    unknown = {"model": "x", "provider": "x", "endpoint": "x"}.get(only, str(new_id()))
    assert asked(reading, organization, "summary", **{only: unknown, "start": start})["totals"]["requests"] == 0


# -- top, and the period before ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("measure", ["cost_usd", "requests", "failed_requests", "input_tokens", "output_tokens"])
@pytest.mark.parametrize("limit", [2, 100])
def test_the_top_and_the_others_add_up_to_the_totals(
    reading: TestClient, organization: dict[str, str], used: list[UsageEvent], measure: str, limit: int
) -> None:
    body = asked(reading, organization, "top", by="model", measure=measure, limit=limit)
    assert added([*body["items"], body["other"]]) == as_numbers(body["totals"])
    assert as_numbers(body["totals"]) == as_numbers(asked(reading, organization, "summary")["totals"])
    ranked = [Decimal(item["totals"][measure]) for item in body["items"]]
    assert ranked == sorted(ranked, reverse=True)
    assert len(body["items"]) <= limit
    shares = [Decimal(item["share"]) for item in [*body["items"], body["other"]]]
    assert abs(sum(shares, Decimal(-1))) < Decimal("1e-5")
    assert body["other"]["name"] == "Other"


@pytest.mark.parametrize(("by", "name"), [("user_id", "ada@example.com"), ("workspace_id", "default"), ("model", None)])
def test_ids_are_shown_with_what_they_are_called(
    reading: TestClient, organization: dict[str, str], owner: UUID, used: list[UsageEvent], by: str, name: str | None
) -> None:
    items = asked(reading, organization, "top", by=by, limit=1)["items"]
    assert [item["name"] for item in items] == [name]
    if by == "user_id":
        assert [item["value"] for item in items] == [str(owner)]


def test_a_summary_stands_beside_the_same_length_of_time_before(
    reading: TestClient, organization: dict[str, str], used: list[UsageEvent]
) -> None:
    middle = TODAY - timedelta(days=1, minutes=11)
    query = {"start": middle.isoformat(), "end": TODAY.isoformat()}
    body = asked(reading, organization, "summary", **query)
    before = {"start": (middle - (TODAY - middle)).isoformat(), "end": middle.isoformat()}
    assert body["previous"]["totals"] == asked(reading, organization, "summary", **before)["totals"]
    assert datetime.fromisoformat(body["previous"]["start"]) == datetime.fromisoformat(before["start"])
    now, then = body["totals"]["requests"], body["previous"]["totals"]["requests"]
    assert Decimal(body["change"]["requests"]) == (Decimal(now - then) / then).quantize(Decimal("1e-6"))


def test_growth_from_nothing_is_no_number_and_nothing_from_nothing_is_none(
    reading: TestClient, organization: dict[str, str], used: list[UsageEvent]
) -> None:
    grown = asked(reading, organization, "summary")["change"]
    assert (grown["requests"], grown["cost_usd"]) == (None, None)
    empty = {"start": "2026-01-02T00:00:00Z", "end": "2026-01-03T00:00:00Z"}
    still = asked(reading, organization, "summary", **empty)["change"]
    assert Decimal(still["requests"]) == Decimal(still["cost_usd"]) == 0


# -- up to when --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["summary", "breakdown", "top", "timeseries"])
def test_every_answer_says_up_to_when_it_is_complete(
    reading: TestClient, organization: dict[str, str], module_database: TestDatabase, what: str
) -> None:
    query = {"by": "model"} if what in ("breakdown", "top") else {}
    complete = datetime.fromisoformat(asked(reading, organization, what, **query)["complete_to"])
    assert timedelta(seconds=4) < datetime.now(UTC) - complete < timedelta(minutes=1)
    with module_database.superuser() as db:
        row = db.run("SELECT org_id, workspace_id, id FROM api_keys WHERE org_id = :id", id=UUID(organization["id"]))[0]
        caller = Caller(org_id=row[0], workspace_id=row[1], key_id=row[2])
        under_way = TODAY - timedelta(hours=5)
        seed_reservations(db, caller, [new_request_id(under_way)])
    complete = datetime.fromisoformat(asked(reading, organization, what, **query)["complete_to"])
    assert abs(complete - under_way) < timedelta(seconds=6)


# -- all organizations -------------------------------------------------------------------------------------------------------


def of_all(reading: TestClient, what: str, **query: Any) -> dict[str, Any]:
    answer = reading.get(f"/admin/usage/{what}", params={**SPAN, **query})
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def test_a_platform_admin_sees_all_organizations_together_and_each_by_itself(
    reading: TestClient, organization: dict[str, str], used: list[UsageEvent], module_database: TestDatabase
) -> None:
    totals = as_numbers(of_all(reading, "summary")["totals"])
    with module_database.superuser() as db:
        [[requests, cost]] = db.run(
            "SELECT count(*), sum(cost_usd) FROM request_logs WHERE NOT demo AND created_at >= :start AND created_at < :end",
            start=TODAY - timedelta(days=3),
            end=TODAY,
        )
    assert (totals["requests"], totals["cost_usd"]) == (requests, cost)
    by_organization = of_all(reading, "breakdown", by="org_id", limit=500)
    assert added([*by_organization["groups"], {"totals": by_organization["other"]}]) == totals
    mine = [group for group in by_organization["groups"] if group["org_id"] == organization["id"]]
    assert [group["totals"] for group in mine] == [asked(reading, organization, "summary")["totals"]]
    top = of_all(reading, "top", limit=100)
    assert added([*top["items"], top["other"]]) == totals
    assert "Acme" in {item["name"] for item in top["items"]}
    assert added(of_all(reading, "timeseries", interval="day", timezone="Europe/Berlin")["points"]) == totals


@pytest.mark.parametrize("what", ["summary", "breakdown?by=model", "timeseries", "top"])
def test_nobody_else_sees_all_organizations(reading: TestClient, issuer: Issuer, what: str) -> None:
    somebody = {"authorization": f"Bearer {issuer.mint('somebody')}"}
    assert reading.get(f"/admin/usage/{what}", headers=somebody).status_code == 403
