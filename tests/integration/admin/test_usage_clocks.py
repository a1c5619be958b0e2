"""Usage over time where clocks are moved: every call is in one point, the one that a calendar on the wall would say."""

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from fastapi.testclient import TestClient
from navplane.admin import usage
from navplane.admin.access import Access
from navplane.admin.app import create
from navplane.admin.plane import Plane
from navplane.crypto.token import TokenVerifier
from navplane.ingest.recording import record_what_can_be
from navplane_local.issuer import Issuer

from tests.support.postgres import TestDatabase
from tests.support.tenants import seed_caller
from tests.support.usage_events import usage_event

# Lord Howe moves its clocks by half an hour, Kathmandu is 5:45 ahead, in Dublin winter is what is saved, Santiago and Cairo
# have days without a midnight, and Havana has one with two.
CHANGES = {
    "Europe/Berlin": ["2026-03-29T01:00Z", "2026-10-25T01:00Z"],
    "Europe/Dublin": ["2026-03-29T01:00Z", "2026-10-25T01:00Z"],
    "America/New_York": ["2026-03-08T07:00Z", "2026-11-01T06:00Z"],
    "America/Santiago": ["2026-04-05T03:00Z", "2026-09-06T04:00Z"],
    "America/Havana": ["2026-03-08T05:00Z", "2026-11-01T05:00Z"],
    "Africa/Cairo": ["2026-04-23T22:00Z", "2026-10-29T21:00Z"],
    "Australia/Lord_Howe": ["2026-04-04T15:00Z", "2026-10-03T15:30Z"],
    "Australia/Adelaide": ["2026-04-04T16:30Z", "2026-10-03T16:30Z"],
    "Asia/Kathmandu": ["2026-03-29T01:00Z"],
    "Asia/Kolkata": ["2026-03-29T01:00Z"],
}
MOMENTS = sorted({datetime.fromisoformat(moment) for moments in CHANGES.values() for moment in moments})
STEP = timedelta(minutes=7, seconds=13)


@pytest.fixture
def reading(module_database: TestDatabase, plane: Plane, issuer: Issuer) -> TestClient:
    reader = module_database.as_role("navplane_reader")
    verifier, subjects = TokenVerifier(issuer.url, "navplane"), frozenset({"local|admin"})
    access = Access(verifier, database=reader, admin_subjects=subjects, records_users=False)
    plane = Plane(database=reader, access=access, region=plane.region, key_prefixes=plane.key_prefixes)
    app = create(title="analytics", routers=(usage.router,), plane=plane)
    return TestClient(app, headers={"authorization": f"Bearer {issuer.mint('local|admin')}"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    org_id: UUID
    moments: list[datetime]


@pytest.fixture(scope="module")
def used(module_database: TestDatabase) -> Used:
    """Calls around every change, from a day before to a day after."""
    with module_database.superuser() as db:
        db.run("SELECT public.ensure_request_log_partitions(:first, 12)", first=MOMENTS[0])
        caller = seed_caller(db)
    moments = sorted({change + n * STEP for change in MOMENTS for n in range(-260, 261, 5)})
    events = [usage_event(now=moment, key_id=caller.key_id) for moment in moments]
    record_what_can_be(module_database.as_role("navplane_writer"), events)
    return Used(org_id=caller.org_id, moments=moments)


def points(reading: TestClient, org_id: UUID, start: datetime, end: datetime, **query: Any) -> Counter[datetime]:
    span = {"start": start.isoformat(), "end": end.isoformat()}
    answer = reading.get(f"/admin/orgs/{org_id}/usage/timeseries", params={**span, **query})
    assert answer.status_code == 200, answer.text
    starts = [datetime.fromisoformat(point["start"]) for point in answer.json()["points"]]
    assert starts == sorted(set(starts))
    counted = {begin: point["totals"]["requests"] for begin, point in zip(starts, answer.json()["points"], strict=True)}
    return Counter({begin: count for begin, count in counted.items() if count})


def on_the_wall(moment: datetime, interval: str, zone: str) -> datetime:
    """The beginning of the moment's interval by the clock and the calendar of the zone."""
    local = moment.astimezone(ZoneInfo(zone))
    if interval == "hour":
        begin = moment - timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)
        while begin.astimezone(ZoneInfo(zone)).utcoffset() != local.utcoffset():
            begin += timedelta(minutes=15)
        return begin
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    return (midnight if interval == "day" else midnight.replace(day=1)).astimezone(UTC)


def spans(change: datetime) -> list[tuple[datetime, datetime]]:
    """Around it, ending soon after it, and with the change in the last of whole days."""
    midnight = change.replace(hour=0, minute=0)
    return [
        (change - timedelta(days=3), change + timedelta(days=3)),
        (change - timedelta(days=3, hours=14), change + timedelta(hours=10)),
        (midnight - timedelta(days=3, minutes=-30), midnight + timedelta(days=1, minutes=20)),
    ]


@pytest.mark.parametrize("zone", CHANGES)
@pytest.mark.parametrize("interval", ["hour", "day", "month"])
def test_every_call_is_in_the_point_that_the_calendar_says(reading: TestClient, used: Used, interval: str, zone: str) -> None:
    changes = (datetime.fromisoformat(moment) for moment in CHANGES[zone])
    for start, end in (span for change in changes for span in spans(change)):
        within = [moment for moment in used.moments if start <= moment < end]
        found = points(reading, used.org_id, start, end, interval=interval, timezone=zone)
        assert found.total() == len(within) > 0
        assert found == Counter(on_the_wall(moment, interval, zone) for moment in within)
