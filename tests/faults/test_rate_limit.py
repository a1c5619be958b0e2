"""A rate that many processes share: in each window as many pass as the limit says, whichever process asks and in which order.

Each run prints one JSON line. RATE_WINDOWS, RATE_LIMIT and RATE_PROCESSES make it larger.
"""

import json
import os
import time
from collections import Counter
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from navplane.model.ids import new_id, time_of
from navplane.model.limit import Limit, LimitKind, LimitScope, window_of

from tests.faults.crowd import crowd
from tests.support.gate_seed_postgres import PostgresSeed, Tenant
from tests.support.postgres import TestDatabase

WINDOWS = int(os.environ.get("RATE_WINDOWS", "3"))
LIMIT = int(os.environ.get("RATE_LIMIT", "20"))
PROCESSES = int(os.environ.get("RATE_PROCESSES", "4"))
THREADS = 4
TOLERANCE = 1
START = datetime(2026, 11, 21, 12, 0, 30, tzinfo=UTC)

# Windows that each connection counts by itself, as a limiter in each process's memory would.
COUNT_PER_PROCESS = """
CREATE OR REPLACE FUNCTION public.gate_window(kind text, at_time timestamptz, OUT name text, OUT ends_at timestamptz)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    name := to_char(at_time AT TIME ZONE 'UTC', '"min:"YYYY-MM-DD"T"HH24:MI') || ' of ' || pg_backend_pid();
    ends_at := date_trunc('minute', at_time) + interval '1 minute';
END $$
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """`fewest` and `most`: of what was admitted in one window."""

    harness: str
    gate: str
    processes: int
    windows: int
    limit: int
    asked: int
    admitted: int
    fewest: int
    most: int
    seconds: float


@pytest.fixture
def tenant(databases: TestDatabase) -> Tenant:
    return Tenant(PostgresSeed(databases.as_role("navplane_admin")))


def play(database: TestDatabase, tenant: Tenant, *, name: str) -> Report:
    """Every process alone asks for more than the limit in each window, and none waits for the others between two."""
    kind = LimitKind.REQUESTS_PER_MINUTE
    limit = Limit(id=new_id(), scope=LimitScope.KEY, scope_id=tenant.caller.key_id, kind=kind, amount=LIMIT)
    PostgresSeed(database.as_role("navplane_admin")).set_limit(tenant.org_id, limit)
    moments = [START + timedelta(minutes=minute) for minute in range(WINDOWS)]
    started = time.monotonic()
    said = crowd(database, tenant, moments=moments, shares=[LIMIT + 5] * PROCESSES, threads=THREADS)
    admitted = Counter(window_of(kind, time_of(UUID(id_))).name for each in said for id_ in each["admitted"])
    counts = [admitted[window_of(kind, moment).name] for moment in moments]
    report = Report(
        harness="rate_limit", gate=name, processes=PROCESSES, windows=WINDOWS, limit=LIMIT,
        asked=sum(counts) + sum(each["refused"] for each in said), admitted=sum(counts), fewest=min(counts), most=max(counts),
        seconds=round(time.monotonic() - started, 2),
    )  # fmt: skip
    print(json.dumps(asdict(report)))
    return report


def wrong(report: Report) -> bool:
    everybody = report.asked == PROCESSES * (LIMIT + 5) * WINDOWS
    return not everybody or report.fewest < LIMIT - TOLERANCE or report.most > LIMIT + TOLERANCE


def test_rate_is_held_in_every_window_however_many_processes_share_it(databases: TestDatabase, tenant: Tenant) -> None:
    report = play(databases, tenant, name="sound")
    assert not wrong(report), report


def test_limiter_that_each_process_keeps_for_itself_is_caught(databases: TestDatabase, tenant: Tenant) -> None:
    with databases.superuser() as superuser:
        superuser.execute_simple(COUNT_PER_PROCESS)
    assert wrong(play(databases, tenant, name="counts_per_process"))
