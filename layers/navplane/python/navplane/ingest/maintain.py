"""What runs on a schedule. Every step is idempotent, so two runs at once and a run cut short do no harm."""

import time
from datetime import datetime, timedelta

from navplane.gate.gate import Gate
from navplane.ingest import alerts, price_list
from navplane.ingest.collect_usage import Asking, UsageCollector
from navplane.ingest.consume import Consumer
from navplane.ingest.ledger_jobs import LedgerJobs
from navplane.ingest.platform_alerts import DeadLetterCount, no_queue, watch_platform
from navplane.ingest.reap import Reaper
from navplane.ingest.upkeep import check_a_day, drop_old_months
from navplane.queue.postgres import PostgresMessages
from navplane.queue.request_log import QueueAge
from navplane.store import admin_calls, completeness, request_contents
from navplane.store.database import Database
from navplane.store.migrate import ensure_partitions
from navplane.store.reservations import delete_final, forget_windows
from navplane.telemetry import logger

MONTHS_AHEAD = 3
# The queue keeps an event for 14 days, and a dead letter for 14 more: until then an event can still need its reservation.
RESERVATIONS_KEPT = timedelta(days=35)
# Of the minute that a run has: what is left over is for the next one.
JOB_SECONDS = 25.0
# Of the table of usage events, so many batches of so many a run: the rest is for the next one.
BATCH = 500
BATCHES = 20
# A window that ended decides nothing any more; the clocks of proxies may differ by less than this.
WINDOWS_KEPT = timedelta(days=1)


def maintain(
    database: Database,
    reaper: Reaper,
    *,
    now: datetime,
    keep_months: int = 0,
    dead_letters: DeadLetterCount = no_queue,
    asking: Asking | None = None,
) -> dict[str, int]:
    """Partitions first: without one no row can be written at all. Request logs are kept for `keep_months` whole months, 0 for
    good; without `asking` no provider is asked anything. Answers what was done, as counts."""
    with database.transaction() as db:
        partitions = len(ensure_partitions(db, now=now, months_ahead=MONTHS_AHEAD))
    with database.transaction() as db:
        prices = price_list.load(db, now=now)
    recorded = record_waiting(database, reaper.gate, now=now)
    note_queue(database, reaper.queue_age, now=now)
    began = time.monotonic()
    # Ahead of the reaper: what can be told is not lost.
    collected = collect(database, reaper.gate, asking, now=now) if asking is not None else 0
    took = time.monotonic() - began
    closed = reaper.reap(now)
    with database.transaction() as db:
        deleted = delete_final(db, before=now - RESERVATIONS_KEPT)
        windows = forget_windows(db, before=now - WINDOWS_KEPT)
    with database.transaction() as db:
        contents = request_contents.forget(db, now=now)
    differing = check_a_day(database, now=now)
    told = alerts.watch(database, now=now) + watch_platform(database, dead_letters, now=now)
    dropped = drop_old_months(database, now=now, keep_months=keep_months)
    with database.transaction() as db:
        answers = admin_calls.forget(db, before=now - admin_calls.KEPT)
    steps = LedgerJobs(database=database, gate=reaper.gate).run(now=now, seconds=max(1.0, JOB_SECONDS - took))
    counts = {
        "partitions_made": partitions,
        "prices_loaded": prices,
        "events_recorded": recorded,
        "usage_collected": collected,
        "reservations_closed": closed,
        "reservations_deleted": deleted,
        "windows_forgotten": windows,
        "contents_forgotten": contents,
        "sums_differing": differing,
        "alerts_told": told,
        "months_dropped": dropped,
        "answers_forgotten": answers,
        "job_steps": steps,
    }
    logger.info("maintenance", extra=counts)
    return counts


def record_waiting(database: Database, gate: Gate, *, now: datetime) -> int:
    """Record what waits in the table: events that SQS did not take, or all of them where there is no SQS. How many were taken
    in hand; poison stays in the table, with its reason."""
    table = PostgresMessages(database)
    consumer = Consumer(database=database, gate=gate, dead_letters=table, now=lambda: now)
    taken = 0
    for _ in range(BATCHES):
        messages = table.take(BATCH, wait_seconds=0)
        if not messages:
            break
        returned = consumer.consume(messages)
        table.acknowledge([message for message in messages if message.id not in returned])
        taken += len(messages)
    return taken


def collect(database: Database, gate: Gate, asking: Asking, *, now: datetime) -> int:
    """How many batches and responses in the background were settled by what their providers say."""
    consumer = Consumer(database=database, gate=gate, dead_letters=PostgresMessages(database), now=lambda: now)
    return UsageCollector(database=database, consumer=consumer, asking=asking).run(now)


def note_queue(database: Database, queue_age: QueueAge, *, now: datetime) -> None:
    """So that whoever reads usage can be told up to when it is complete: they see no queue."""
    seconds = queue_age.oldest_event_age_seconds()
    with database.transaction() as db:
        completeness.note_queue(db, oldest_event_age=None if seconds is None else timedelta(seconds=seconds), now=now)
