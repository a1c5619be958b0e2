"""maintenance: on a schedule, partitions ahead, the reaper, and what is old goes. Postgres as navplane_writer."""

from datetime import UTC, datetime
from typing import Any

from navplane import wiring
from navplane.config import WriterSettings
from navplane.gate.gate_postgres import PostgresGate
from navplane.ingest.maintain import maintain
from navplane.ingest.reap import Reaper
from navplane.queue.sqs import SqsQueueAge

settings = WriterSettings.from_env()
database = wiring.database(settings.database, size=1)
reaper = Reaper(gate=PostgresGate(database), database=database, queue_age=SqsQueueAge(queue_url=settings.queue_url))


def handler(_event: dict[str, Any], _context: Any) -> dict[str, int]:
    """Answers how many reservations were closed, partitions made and reservations deleted."""
    return maintain(database, reaper, now=datetime.now(UTC))
