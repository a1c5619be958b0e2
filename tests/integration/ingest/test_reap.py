"""The reaper: exactly one lost row per abandoned request, whoever else is at work, and never ahead of an event."""

import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

import pytest
from navplane.gate.gate import Caller, Charge
from navplane.gate.gate_postgres import PostgresGate
from navplane.ingest.consume import Consumer
from navplane.ingest.maintain import maintain
from navplane.ingest.reap import GRACE, Reaper
from navplane.model.ids import RequestId, new_request_id, time_of
from navplane.model.usage import Outcome, Usage, UsageQuality
from navplane.store.database import Connection, Database
from navplane.store.request_rows import RequestRow

from tests.support.postgres import TestDatabase
from tests.support.queue_memory import MemoryQueue
from tests.support.tenants import reservation_states, seed_caller, seed_reservations
from tests.support.usage_events import usage_event

LEASE = timedelta(minutes=15)
NOW = datetime.now(UTC)
Rows = Callable[[], list[RequestRow]]


@pytest.fixture
def reaper(writer: Database, queue: MemoryQueue) -> Reaper:
    return Reaper(gate=PostgresGate(writer), database=writer, queue_age=queue, batch=7)


def abandoned(
    superuser: Connection, caller: Caller, count: int = 1, *, past: timedelta = timedelta(hours=1)
) -> list[RequestId]:
    """Requests whose proxy died, and whose lease ended `past` ago."""
    ids = [new_request_id(NOW - LEASE - past) for _ in range(count)]
    seed_reservations(superuser, caller, ids, state="reserved", tokens=400, lease=LEASE)
    return ids


def test_an_abandoned_request_ends_as_one_lost_row_that_weighs_what_was_reserved(
    reaper: Reaper, rows: Rows, superuser: Connection, caller: Caller
) -> None:
    [request_id] = abandoned(superuser, caller)
    assert reaper.reap(NOW) == 1
    [row] = rows()
    assert (row.request_id, row.outcome, row.usage_quality) == (request_id, Outcome.LOST, UsageQuality.LOST)
    assert (row.workspace_id, row.key_id, row.model, row.status) == (caller.workspace_id, caller.key_id, "gpt-5", 0)
    assert (row.usage, row.started_at, row.stream) == (Usage(), time_of(request_id), True)
    assert reservation_states(superuser, [request_id]) == {request_id: ("final", 400)}
    assert reaper.reap(NOW) == 0
    assert rows() == [row]


def test_more_than_one_batch_is_closed_in_one_run(reaper: Reaper, rows: Rows, superuser: Connection, caller: Caller) -> None:
    ids = abandoned(superuser, caller, 20)
    assert reaper.reap(NOW) == 20
    assert {row.request_id for row in rows()} == set(ids)


def test_within_lease_and_grace_nothing_is_closed(reaper: Reaper, rows: Rows, superuser: Connection, caller: Caller) -> None:
    abandoned(superuser, caller, past=GRACE - timedelta(seconds=1))
    assert reaper.reap(NOW) == 0
    assert rows() == []
    assert reaper.reap(NOW + timedelta(seconds=2)) == 1


def test_a_request_whose_event_may_still_be_queued_is_left_alone(
    writer: Database, rows: Rows, superuser: Connection, caller: Caller
) -> None:
    clock = [0.0]
    queue = MemoryQueue(clock=lambda: clock[0])
    reaper = Reaper(gate=PostgresGate(writer), database=writer, queue_age=queue)
    abandoned(superuser, caller, past=timedelta(hours=1))
    queue.publish(usage_event())
    clock[0] = 3600.0
    assert reaper.reap(NOW) == 0
    clock[0] = 3600.0 - GRACE.total_seconds() - 1
    assert reaper.reap(NOW) == 1


def test_nothing_is_closed_while_the_queues_age_is_unknown(writer: Database, superuser: Connection, caller: Caller) -> None:
    class AgeUnknown:
        def oldest_event_age_seconds(self) -> float | None:
            return None

    abandoned(superuser, caller)
    reaper = Reaper(gate=PostgresGate(writer), database=writer, queue_age=AgeUnknown())
    assert reaper.reap(NOW) == 0
    # A positive control: with an age it would have been closed.
    assert Reaper(gate=PostgresGate(writer), database=writer, queue_age=MemoryQueue()).reap(NOW) == 1


def test_an_event_that_comes_after_the_reaper_replaces_the_lost_row(
    reaper: Reaper, consumer: Consumer, queue: MemoryQueue, rows: Rows, superuser: Connection, caller: Caller
) -> None:
    [request_id] = abandoned(superuser, caller)
    reaper.reap(NOW)
    queue.publish(usage_event(request_id=request_id, usage=Usage(input_tokens=30, output_tokens=1)))
    consumer.consume(queue.take(10, wait_seconds=0))
    [row] = rows()
    assert (row.outcome, row.usage_quality, row.usage.total_tokens, row.revision) == (Outcome.OK, UsageQuality.EXACT, 31, 2)
    assert reservation_states(superuser, [request_id]) == {request_id: ("final", 31)}


def test_a_proxy_that_itself_says_lost_does_not_change_what_the_reaper_charged(
    reaper: Reaper, consumer: Consumer, queue: MemoryQueue, rows: Rows, superuser: Connection, caller: Caller
) -> None:
    [request_id] = abandoned(superuser, caller)
    reaper.reap(NOW)
    before = rows()
    queue.publish(usage_event(request_id=request_id, usage_quality=UsageQuality.LOST, usage=Usage()))
    consumer.consume(queue.take(10, wait_seconds=0))
    assert rows() == before
    assert reservation_states(superuser, [request_id]) == {request_id: ("final", 400)}


def test_a_row_that_an_event_made_is_not_lost_though_its_reservation_stayed_open(
    reaper: Reaper, consumer: Consumer, queue: MemoryQueue, rows: Rows, superuser: Connection, caller: Caller
) -> None:
    [request_id] = abandoned(superuser, caller)
    queue.publish(usage_event(request_id=request_id, usage=Usage(input_tokens=8)))
    consumer.consume(queue.take(10, wait_seconds=0))
    # As a crash between commit and finalize leaves it.
    superuser.run("UPDATE reservations SET state = 'settled', tokens = 0 WHERE request_id = :id", id=request_id)
    queue.acknowledge(queue.take(10, wait_seconds=0))
    clean = Reaper(gate=reaper.gate, database=reaper.database, queue_age=MemoryQueue())
    assert clean.reap(NOW) == 1
    [row] = rows()
    assert (row.usage_quality, row.revision) == (UsageQuality.EXACT, 1)
    assert reservation_states(superuser, [request_id]) == {request_id: ("final", 8)}


class CrashBeforeFinalize(PostgresGate):
    def finalize(self, charges: Mapping[RequestId, Charge], now: datetime) -> None:
        raise KeyboardInterrupt


def test_a_reaper_that_dies_after_its_commit_is_finished_by_the_next(
    reaper: Reaper, writer: Database, rows: Rows, superuser: Connection, caller: Caller
) -> None:
    [request_id] = abandoned(superuser, caller)
    with pytest.raises(KeyboardInterrupt):
        Reaper(gate=CrashBeforeFinalize(writer), database=writer, queue_age=MemoryQueue()).reap(NOW)
    assert len(rows()) == 1
    assert reservation_states(superuser, [request_id]) == {request_id: ("expired", 400)}
    assert reaper.reap(NOW) == 1
    assert [row.revision for row in rows()] == [1]
    assert reservation_states(superuser, [request_id]) == {request_id: ("final", 400)}


def test_two_reapers_at_once_leave_one_row_each(
    module_database: TestDatabase, rows: Rows, superuser: Connection, caller: Caller
) -> None:
    ids = abandoned(superuser, caller, 60)
    start = threading.Barrier(2)
    failures: list[BaseException] = []

    def reap() -> None:
        try:
            database = module_database.as_role("navplane_writer")
            reaper = Reaper(gate=PostgresGate(database), database=database, queue_age=MemoryQueue(), batch=7)
            start.wait(10)
            reaper.reap(NOW)
        except BaseException as exc:
            failures.append(exc)

    threads = [threading.Thread(target=reap) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    assert sorted(row.request_id for row in rows()) == sorted(ids)
    assert {row.revision for row in rows()} == {1}
    assert set(reservation_states(superuser, ids).values()) == {("final", 400)}


def test_a_request_of_a_month_that_is_gone_is_closed_without_a_row_and_holds_nothing_up(
    reaper: Reaper, rows: Rows, superuser: Connection, caller: Caller
) -> None:
    [dropped] = abandoned(superuser, caller, past=timedelta(days=400))
    [request_id] = abandoned(superuser, caller)
    assert reaper.reap(NOW) == 2
    assert [row.request_id for row in rows()] == [request_id]
    assert set(reservation_states(superuser, [dropped, request_id]).values()) == {("final", 400)}


def test_maintenance_makes_partitions_ahead_and_deletes_only_what_is_final_and_old(databases: TestDatabase) -> None:
    writer = databases.as_role("navplane_writer")
    reaper = Reaper(gate=PostgresGate(writer), database=writer, queue_age=MemoryQueue())
    with databases.superuser() as superuser:
        caller = seed_caller(superuser)
        old, young = (new_request_id(NOW - timedelta(days=days)) for days in (36, 34))
        seed_reservations(superuser, caller, [old, young], state="final")
        open_and_old = abandoned(superuser, caller, past=timedelta(days=36))
        counts = maintain(writer, reaper, now=NOW)
        prices = superuser.run("SELECT count(*) FROM model_prices")[0][0]
        assert counts == {
            "partitions_made": 2,
            "prices_loaded": prices,
            "events_recorded": 0,
            "reservations_closed": 1,
            "reservations_deleted": 2,
            "windows_forgotten": 0,
            "contents_forgotten": 0,
            "sums_differing": 0,
            "alerts_told": 0,
            "months_dropped": 0,
            "answers_forgotten": 0,
            "job_steps": 0,
        }
        assert set(reservation_states(superuser, [old, young, *open_and_old])) == {young}
        assert maintain(writer, reaper, now=NOW) == {
            "partitions_made": 0,
            "prices_loaded": 0,
            "events_recorded": 0,
            "reservations_closed": 0,
            "reservations_deleted": 0,
            "windows_forgotten": 0,
            "contents_forgotten": 0,
            "sums_differing": 0,
            "alerts_told": 0,
            "months_dropped": 0,
            "answers_forgotten": 0,
            "job_steps": 0,
        }
