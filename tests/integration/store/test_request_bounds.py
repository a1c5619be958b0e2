"""What is looked for in the request logs is looked for where it can be, and found as if it were looked for everywhere."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from navplane.gate.gate import Caller
from navplane.ingest.recording import record_what_can_be
from navplane.model.usage_event import UsageEvent
from navplane.store import exports
from navplane.store.request_bounds import bounded
from navplane.store.request_filter import Wanted
from navplane.store.request_rows import list_requests

from tests.support.postgres import TestDatabase
from tests.support.tenants import seed_caller
from tests.support.usage_events import usage_event

TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
LONG = "a-model-with-a-name-of-many-letters-" * 9
DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def caller(module_database: TestDatabase) -> Caller:
    """Four days: one model on each, another on the second only, one with a name that sums cut, and a demo one."""
    with module_database.superuser() as db:
        db.run("SELECT public.ensure_request_log_partitions(:first, 2)", first=TODAY - timedelta(days=5))
        caller = seed_caller(db)
    events: list[UsageEvent] = []
    for day in range(4):
        kinds: list[dict[str, Any]] = [{"model": "gpt-5"}, {"model": LONG if day == 2 else "gpt-5", "demo": day == 3}]
        kinds += [{"model": "rare", "provider": "anthropic"}] if day == 1 else []
        for n, kind in enumerate(kinds):
            at = TODAY - (4 - day) * DAY + timedelta(hours=3 * n, seconds=7)
            events.append(usage_event(now=at, key_id=caller.key_id, **kind))
    record_what_can_be(module_database.as_role("navplane_writer"), events)
    return caller


@pytest.mark.parametrize(
    "values",
    [
        {"model": "rare"},
        {"model": LONG},
        {"model": LONG[:250]},
        {"provider": "anthropic", "model": "gpt-5"},
        {"provider": "openai"},
        {"model": "gpt-5", "demo": True},
        {"endpoint": "chat.completions", "status": 200},
    ],
)
@pytest.mark.parametrize(
    ("start", "end"), [(None, None), (-3 * DAY + timedelta(hours=1), None), (None, -2 * DAY - timedelta(hours=20))]
)
def test_what_is_found_is_what_all_rows_say(
    module_database: TestDatabase, caller: Caller, values: dict[str, Any], start: timedelta | None, end: timedelta | None
) -> None:
    since, until = (None if moment is None else TODAY + moment for moment in (start, end))
    wanted = Wanted(start=since, end=until, values=values)
    with module_database.as_role("navplane_reader").transaction(org_id=caller.org_id) as db:
        everything = list_requests(db, org_id=caller.org_id, limit=100)
        found = list_requests(db, org_id=caller.org_id, limit=100, wanted=wanted)
        exported = exports.requests(db, org_id=caller.org_id, wanted=wanted, limit=100, cursor=None)
    expected = [
        row.request_id
        for row in everything
        if all(getattr(row, name) == value for name, value in values.items())
        and (since is None or row.created_at >= since)
        and (until is None or row.created_at < until)
    ]
    assert [row.request_id for row in found] == expected
    assert [row[0] for row in exported] == [str(request_id) for request_id in expected]


def test_a_rare_model_is_looked_for_in_its_days_and_an_unknown_one_nowhere(
    module_database: TestDatabase, caller: Caller
) -> None:
    reader = module_database.as_role("navplane_reader")
    with reader.transaction(org_id=caller.org_id) as db:
        rare = bounded(db, org_id=caller.org_id, wanted=Wanted(values={"model": "rare"}))
        nowhere = bounded(db, org_id=caller.org_id, wanted=Wanted(values={"model": "nobody's"}))
        of_a_key = Wanted(values={"model": "rare", "key_id": caller.key_id})
        assert bounded(db, org_id=caller.org_id, wanted=of_a_key) is of_a_key
    assert rare is not None
    assert (rare.start, rare.end) == (TODAY - 3 * DAY, TODAY - 2 * DAY)
    assert nowhere is None
    with reader.transaction(platform=True) as db:
        assert bounded(db, org_id=None, wanted=Wanted(values={"model": "nobody's"})) is None
        assert list_requests(db, org_id=None, limit=9, wanted=Wanted(values={"model": "rare"}))
