"""request_log_writer: SQS batch → request logs. Postgres as navplane_writer; sends poison to the dead-letter queue itself."""

from datetime import UTC, datetime
from typing import Any

from aws_lambda_powertools.utilities.batch import process_partial_response
from navplane import wiring
from navplane.config import WriterSettings
from navplane.gate.gate_postgres import PostgresGate
from navplane.ingest.batch import WholeBatchProcessor
from navplane.ingest.consume import Consumer
from navplane.queue.sqs import SqsDeadLetters

settings = WriterSettings.from_env()
database = wiring.database(settings.database, size=1)
consumer = Consumer(
    database=database,
    gate=PostgresGate(database),
    dead_letters=SqsDeadLetters(queue_url=settings.dead_letter_queue_url),
    now=lambda: datetime.now(UTC),
)
processor = WholeBatchProcessor()


def handler(event: dict[str, Any], context: Any) -> Any:
    return process_partial_response(event=event, record_handler=consumer.consume, processor=processor, context=context)
