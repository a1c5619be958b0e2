"""Sums and entries are held against the rows, and old months go: never blocking a writer, and never with the truth unknown."""

import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from navplane.gate.gate import Caller
from navplane.gate.gate_postgres import PostgresGate
from navplane.ingest.consume import Consumer
from navplane.ingest.recording import record_what_can_be
from navplane.ingest.upkeep import check_a_day, drop_old_months, month_before
from navplane.model.usage import Outcome, Usage, UsageQuality
from navplane.queue.message import Message
from navplane.store import rollup_checks
from navplane.store.database import Connection, Database
from navplane.store.request_logs import NO_PARTITION

from tests.support.log_lines import captured_log
from tests.support.postgres import TestDatabase
from tests.support.queue_memory import MemoryQueue
from tests.support.tenants import seed_caller
from tests.support.usage_events import usage_event

NOW = datetime.now(UTC)
TODAY = NOW.replace(hour=0, minute=0, second=0, microsecond=0)
KEPT = 3
# The oldest month, which is to go, and the one behind it, which stays.
OLD = month_before(NOW, KEPT + 1)
STAYS = month_before(NOW, KEPT)


@pytest.fixture
def superuser(databases: TestDatabase) -> Iterator[Connection]:
    with databases.superuser() as connection:
        connection.run("SELECT public.ensure_request_log_partitions(:old, :months)", old=OLD, months=KEPT + 2)
        yield connection


@pytest.fixture
def writer(databases: TestDatabase, superuser: Connection) -> Database:
    return databases.as_role("navplane_writer")


@pytest.fixture
def caller(superuser: Connection) -> Caller:
    return seed_caller(superuser)


def record(writer: Database, caller: Caller, *moments: datetime) -> list[Any]:
    events = [usage_event(now=moment, key_id=caller.key_id, usage=Usage(input_tokens=1000)) for moment in moments]
    record_what_can_be(writer, events)
    return events


def check_all(writer: Database, month: datetime) -> None:
    day = month
    while day.month == month.month:
        with writer.transaction() as db:
            rollup_checks.check(db, day=day, now=NOW)
        day += timedelta(days=1)


def partitions(superuser: Connection) -> set[str]:
    return {row[0] for row in superuser.run("SELECT relname FROM pg_class WHERE relname ~ '^request_logs_[0-9]{4}_[0-9]{2}$'")}


def name_of(month: datetime) -> str:
    return f"request_logs_{month:%Y_%m}"


# -- retention -----------------------------------------------------------------------------------------------------------


def test_the_oldest_month_goes_and_what_it_cost_stays(superuser: Connection, writer: Database, caller: Caller) -> None:
    record(writer, caller, OLD + timedelta(days=3), STAYS + timedelta(days=3), NOW)
    sums = "SELECT sum(requests), sum(cost_usd) FROM usage_daily"
    before = superuser.run(sums), superuser.run("SELECT count(*), sum(amount_usd) FROM ledger_entries")
    check_all(writer, OLD)
    assert drop_old_months(writer, now=NOW, keep_months=KEPT) == 1
    assert name_of(OLD) not in partitions(superuser)
    assert name_of(STAYS) in partitions(superuser)
    assert superuser.run("SELECT count(*) FROM request_logs") == [[2]]
    assert (superuser.run(sums), superuser.run("SELECT count(*), sum(amount_usd) FROM ledger_entries")) == before
    assert drop_old_months(writer, now=NOW, keep_months=KEPT) == 0


def test_a_replay_into_a_dropped_month_is_refused_with_its_reason_and_charges_nobody(
    superuser: Connection, writer: Database, caller: Caller
) -> None:
    [event] = record(writer, caller, OLD + timedelta(days=3))
    check_all(writer, OLD)
    drop_old_months(writer, now=NOW, keep_months=KEPT)
    before = superuser.run("SELECT count(*), sum(amount_usd) FROM ledger_entries")
    queue = MemoryQueue()
    consumer = Consumer(database=writer, gate=PostgresGate(writer), dead_letters=queue, now=lambda: NOW)
    sound = usage_event(now=NOW, key_id=caller.key_id, usage=Usage())
    messages = [Message(id=str(n), body=each.to_json()) for n, each in enumerate((event, sound))]
    assert consumer.consume(messages) == frozenset()
    assert [(letter.message.id, letter.reason) for letter in queue.buried()] == [("0", NO_PARTITION)]
    assert superuser.run("SELECT count(*), sum(amount_usd) FROM ledger_entries") == before
    assert superuser.run("SELECT request_id FROM request_logs") == [[sound.request_id]]


@pytest.mark.parametrize("wrong", ["unchecked", "differing"])
def test_no_month_goes_whose_sums_are_not_known_to_be_right(
    wrong: str, superuser: Connection, writer: Database, caller: Caller
) -> None:
    record(writer, caller, OLD + timedelta(days=3))
    if wrong == "differing":
        superuser.run("UPDATE usage_daily SET cost_usd = cost_usd + 0.000000001")
        check_all(writer, OLD)
    with captured_log() as log:
        assert drop_old_months(writer, now=NOW, keep_months=KEPT) == 0
    assert "retention.waits" in log.getvalue()
    assert name_of(OLD) in partitions(superuser)


def test_nothing_goes_where_everything_is_kept(superuser: Connection, writer: Database) -> None:
    check_all(writer, OLD)
    assert drop_old_months(writer, now=NOW, keep_months=0) == 0
    assert name_of(OLD) in partitions(superuser)


def test_a_month_waits_for_a_writer_and_no_writer_waits_for_it(
    databases: TestDatabase, superuser: Connection, writer: Database, caller: Caller
) -> None:
    """One transaction stays open and holds the table; meanwhile others write, each within the second that its statement has."""
    check_all(writer, OLD)
    other = databases.as_role("navplane_writer", size=1, timeout_seconds=1)
    busy = databases.as_role("navplane_writer", size=1)
    with busy.transaction() as held:
        held.run("SELECT count(*) FROM request_logs WHERE request_id = :id", id=usage_event().request_id)
        stop = threading.Event()
        retiring = threading.Thread(target=_retire_until, args=(writer, stop))
        retiring.start()
        try:
            written = [record(other, caller, NOW) for _ in range(20)]
        finally:
            stop.set()
            retiring.join()
        assert name_of(OLD) in partitions(superuser)
    assert len(written) == 20
    assert superuser.run("SELECT count(*) FROM request_logs") == [[20]]
    assert drop_old_months(writer, now=NOW, keep_months=KEPT) == 1


def _retire_until(writer: Database, stop: threading.Event) -> None:
    while not stop.is_set():
        drop_old_months(writer, now=NOW, keep_months=KEPT)


def test_months_go_while_writers_write(
    databases: TestDatabase, superuser: Connection, writer: Database, caller: Caller
) -> None:
    check_all(writer, OLD)
    pool = databases.as_role("navplane_writer", size=2, timeout_seconds=2)
    written: list[int] = []
    done = threading.Event()

    def write() -> None:
        while not done.is_set():
            written.append(len(record(pool, caller, NOW, TODAY, STAYS)))

    writers = [threading.Thread(target=write) for _ in range(2)]
    for thread in writers:
        thread.start()
    try:
        dropped = 0
        for _ in range(50):
            dropped += drop_old_months(writer, now=NOW, keep_months=KEPT)
            if dropped:
                break
    finally:
        done.set()
        for thread in writers:
            thread.join()
    assert dropped == 1
    assert superuser.run("SELECT count(*) FROM request_logs") == [[sum(written)]]
    assert name_of(OLD) not in partitions(superuser)


def test_the_writer_can_not_drop_what_is_young(writer: Database, superuser: Connection) -> None:
    for name in ("retire_request_log_partition", "drop_retired_request_logs"):
        with pytest.raises(Exception, match="22023"), writer.transaction() as db:
            db.run(f"SELECT public.{name}(now())")
    assert name_of(STAYS) in partitions(superuser)


@pytest.mark.parametrize(
    ("now", "months", "expected"),
    [
        (datetime(2026, 3, 31, 23, 59, tzinfo=UTC), 2, date(2026, 1, 1)),
        (datetime(2026, 3, 1, tzinfo=UTC), 3, date(2025, 12, 1)),
        (datetime(2026, 12, 1, tzinfo=UTC), 13, date(2025, 11, 1)),
    ],
)
def test_months_are_counted_by_the_calendar(now: datetime, months: int, expected: date) -> None:
    assert month_before(now, months).date() == expected


# -- sums and entries against the rows -----------------------------------------------------------------------------------


def test_what_agrees_is_checked_day_by_day_and_then_left_alone(writer: Database, superuser: Connection, caller: Caller) -> None:
    record(writer, caller, NOW, TODAY - timedelta(days=1))
    days = (TODAY - OLD).days + 1
    for _ in range(days):
        assert check_a_day(writer, now=NOW) == 0
    assert superuser.run("SELECT count(*), sum(differing) FROM rollup_checks") == [[days, 0]]
    with writer.transaction() as db:
        assert rollup_checks.due(db, now=NOW) is None
        assert rollup_checks.due(db, now=NOW + timedelta(minutes=11)) in (TODAY, TODAY - timedelta(days=1))


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE usage_daily SET cost_usd = cost_usd + 0.000000001",
        "UPDATE usage_hourly SET requests = requests + 1",
        "DELETE FROM usage_hourly",
        "DELETE FROM ledger_entries",
        "UPDATE ledger_entries SET amount_usd = amount_usd + 0.000000001",
        "DELETE FROM request_logs",
    ],
)
def test_what_differs_is_found_and_told_until_it_is_mended(
    damage: str, writer: Database, superuser: Connection, caller: Caller
) -> None:
    record(writer, caller, NOW)
    superuser.run(damage)
    with captured_log() as log:
        found = [check_a_day(writer, now=NOW) for _ in range(2)]
    assert max(found) > 0
    assert '"rollups.drift"' in log.getvalue()
    assert TODAY.date().isoformat() in log.getvalue()
    later = NOW + timedelta(minutes=11)
    assert max(check_a_day(writer, now=later) for _ in range(2)) > 0


def test_a_late_event_after_the_reaper_is_no_drift(writer: Database, superuser: Connection, caller: Caller) -> None:
    lost = usage_event(now=NOW, key_id=caller.key_id, usage=Usage(), usage_quality=UsageQuality.LOST, outcome=Outcome.LOST)
    exact = usage_event(request_id=lost.request_id, key_id=caller.key_id, usage=Usage(input_tokens=1000))
    record_what_can_be(writer, [lost])
    record_what_can_be(writer, [exact])
    assert max(check_a_day(writer, now=NOW) for _ in range(2)) == 0
    assert superuser.run("SELECT requests, unpriced_requests, cost_usd FROM usage_daily WHERE requests > 0") == [
        [1, 0, Decimal("0.00125")]
    ]
