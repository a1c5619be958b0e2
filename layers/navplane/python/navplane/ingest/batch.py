"""From an SQS event to a Consumer and back to `batchItemFailures`, with Powertools' batch processor."""

from collections.abc import Callable, Sequence
from typing import Any

from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord

from navplane.queue.message import Message
from navplane.telemetry import logger


class ComesBack(Exception):
    """This message is to be delivered again; the others of its batch are done."""


class WholeBatchProcessor(BatchProcessor):
    """Powertools calls its handler once a record; one set-based statement wants all of them. So here the handler gets the
    whole batch as Messages and answers which must come back, and this class books that, record by record, as Powertools
    does. If every record fails, Powertools raises BatchProcessingError: the batch comes back and Lambda counts an error."""

    handler: Callable[[Sequence[Message]], frozenset[str]]
    records: list[dict[str, Any]]

    def __init__(self) -> None:
        super().__init__(event_type=EventType.SQS)

    def process(self) -> list[tuple[Any, ...]]:
        try:
            returned = self.handler([Message(id=record["messageId"], body=record["body"]) for record in self.records])
        # A failure of whatever kind must give the whole batch back: it is the queue that remembers.
        except Exception as exc:
            logger.exception("usage.batch_failed")
            return [self._failed(record, exc) for record in self.records]
        return [
            self._failed(record, ComesBack()) if record["messageId"] in returned else self._succeeded(record)
            for record in self.records
        ]

    def _failed(self, record: dict[str, Any], why: Exception) -> tuple[Any, ...]:
        return self.failure_handler(SQSRecord(record), (type(why), why, why.__traceback__))

    def _succeeded(self, record: dict[str, Any]) -> tuple[Any, ...]:
        return self.success_handler(SQSRecord(record), None)
