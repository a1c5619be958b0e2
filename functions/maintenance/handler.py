"""maintenance: on a schedule, partitions ahead, what batches used, the reaper, what is old goes, and files that were asked for
are made. Postgres as navplane_writer; provider_probe asks providers for it."""

from datetime import UTC, datetime
from typing import Any

from navplane import wiring
from navplane.admin.export_work import ExportWork
from navplane.config import MaintenanceSettings
from navplane.gate.gate_postgres import PostgresGate
from navplane.ingest.collect_usage import Asking
from navplane.ingest.maintain import maintain
from navplane.ingest.reap import Reaper
from navplane.queue.dead_letter_count import SqsDeadLetterCount
from navplane.queue.function_call import FunctionProbe
from navplane.queue.sqs import SqsQueueAge

settings = MaintenanceSettings.from_env()
# Holding a day's sums against its rows is one statement.
database = wiring.database(settings.database, size=1, timeout_seconds=20)
dead_letters = SqsDeadLetterCount(dead_letter_queue_url=settings.dead_letter_queue_url)
reaper = Reaper(gate=PostgresGate(database), database=database, queue_age=SqsQueueAge(queue_url=settings.queue_url))
asking = Asking(probe=FunctionProbe(settings.probe_function), region=settings.region)


def handler(_event: dict[str, Any], _context: Any) -> dict[str, int]:
    """Answers what was done, as counts."""
    now = datetime.now(UTC)
    months = settings.request_log_months
    counts = maintain(database, reaper, now=now, keep_months=months, dead_letters=dead_letters, asking=asking)
    return counts | {"export_steps": ExportWork(database=database).run(now)}
