"""The writer and the maintenance as threads of one process."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

import pytest
from navplane.errors import DependencyUnavailable
from navplane.gate.gate import Caller
from navplane.gate.gate_postgres import PostgresGate
from navplane.ingest.consume import Consumer
from navplane.ingest.jobs import Jobs
from navplane.ingest.reap import Reaper
from navplane.model.ids import new_request_id
from navplane.queue.message import Message
from navplane.queue.postgres import PostgresMessages, PostgresRequestLog
from navplane.store.database import Connection
from navplane.store.request_rows import RequestRow

from tests.support.postgres import TestDatabase
from tests.support.tenants import seed_reservations
from tests.support.usage_events import usage_event

Rows = Callable[[], list[RequestRow]]
SECONDS = 30.0


class Watched(PostgresMessages):
    """The queue table; `failures` is how often it is away first."""

    def __init__(self, database: TestDatabase, stop: threading.Event, *, failures: int = 0) -> None:
        super().__init__(database.as_role("navplane_writer"), stop=stop)
        self._failures = failures

    def take(self, limit: int, *, wait_seconds: float) -> Sequence[Message]:
        if self._failures:
            self._failures -= 1
            raise DependencyUnavailable("The queue is away.")
        return super().take(limit, wait_seconds=wait_seconds)


@pytest.fixture
def log(module_database: TestDatabase) -> PostgresRequestLog:
    return PostgresRequestLog(module_database.as_role("navplane_gate"))


@pytest.fixture
def make(module_database: TestDatabase) -> Iterator[Callable[[Watched, threading.Event], Jobs]]:
    made: list[Jobs] = []

    def jobs(source: Watched, stop: threading.Event) -> Jobs:
        writer = module_database.as_role("navplane_writer")
        gate = PostgresGate(writer)
        consumer = Consumer(database=writer, gate=gate, dead_letters=source, now=lambda: datetime.now(UTC))
        reaper = Reaper(gate=gate, database=writer, queue_age=source)
        made.append(Jobs(source=source, consumer=consumer, reaper=reaper, database=writer, stop=stop))
        return made[-1]

    yield jobs
    for each in made:
        each.finish()


Make = Callable[[Watched, threading.Event], Jobs]


def test_what_is_published_is_recorded_though_the_queue_was_away_at_first(
    make: Make, module_database: TestDatabase, log: PostgresRequestLog, rows: Rows, caller: Caller
) -> None:
    stop = threading.Event()
    source = Watched(module_database, stop, failures=1)
    make(source, stop).start()
    log.publish(usage_event(key_id=caller.key_id))
    wait_for(rows, 1)
    # The schedule may have recorded that one at its start; it doesn't come again this soon.
    log.publish(usage_event(key_id=caller.key_id))
    wait_for(rows, 2)


def wait_for(rows: Rows, count: int) -> None:
    given_up = time.monotonic() + SECONDS
    while len(rows()) < count:
        assert time.monotonic() < given_up
        time.sleep(0.02)


def test_finishing_records_what_is_still_queued(
    make: Make, module_database: TestDatabase, log: PostgresRequestLog, rows: Rows, caller: Caller
) -> None:
    stop = threading.Event()
    jobs = make(Watched(module_database, stop), stop)
    for _ in range(3):
        log.publish(usage_event(key_id=caller.key_id))
    jobs.finish()
    assert len(rows()) == 3


def test_the_schedule_runs_at_the_start(
    make: Make, module_database: TestDatabase, rows: Rows, superuser: Connection, caller: Caller
) -> None:
    seed_reservations(superuser, caller, [new_request_id(datetime.now(UTC) - timedelta(hours=2))], state="reserved")
    stop = threading.Event()
    jobs = make(Watched(module_database, stop), stop)
    closed = threading.Event()

    def watch() -> None:
        while not rows() and not stop.is_set():
            stop.wait(0.02)
        closed.set()

    watcher = threading.Thread(target=watch)
    watcher.start()
    jobs.start()
    assert closed.wait(SECONDS)
    jobs.finish()
    watcher.join(SECONDS)
    assert [row.usage_quality.value for row in rows()] == ["lost"]
