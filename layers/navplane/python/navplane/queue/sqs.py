"""Usage events through Amazon SQS (standard queue): publish, take, bury, and the age of what is on its way."""

import random
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

from navplane.errors import DependencyUnavailable
from navplane.model.kept_content import KeptContent
from navplane.model.usage_event import UsageEvent
from navplane.queue import fallback
from navplane.queue.message import DeadLetter, Message

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

TRIES = 3
# No try begins later than this, and none takes longer than connecting and reading: publish ends within about five seconds.
PUBLISH_SECONDS = 3.0
# A receive waits on the server for up to 20 s, so its connection must be more patient than a send's.
LONG_POLL_SECONDS = 20
_BATCH = 10  # SQS's own limit for one receive or delete
_making_clients = threading.Lock()


@cache
def _session() -> Any:
    import boto3

    return boto3.session.Session()


def client(service: str, *, read_timeout: float) -> Any:
    """A client that tries once: whoever calls it decides about retries. Clients are thread-safe, making them is not."""
    from botocore.config import Config

    config = Config(connect_timeout=1, read_timeout=read_timeout, retries={"total_max_attempts": 1})
    with _making_clients:
        return _session().client(service, config=config)


@contextmanager
def translated(doing: str) -> Iterator[None]:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (BotoCoreError, ClientError) as exc:
        raise DependencyUnavailable(f"The queue of usage events could not {doing}.") from exc


class SqsRequestLog:
    """A RequestLog. The client is made at the first use: importing boto3 must not delay a cold start."""

    def __init__(self, *, queue_url: str) -> None:
        self._queue_url = queue_url
        self._made: SQSClient | None = None

    def _sqs(self) -> "SQSClient":
        if self._made is None:
            self._made = client("sqs", read_timeout=1)
        return self._made

    def publish(self, event: UsageEvent) -> None:
        fallback.write_unless_sent(self.send, event)

    def publish_content(self, content: KeptContent) -> None:
        fallback.send_content(self._put, content)

    def send(self, event: UsageEvent) -> None:
        """Raise DependencyUnavailable if the event is not known to be in the queue. One that was accepted though its answer
        got lost is sent twice, which is harmless: the writer is idempotent."""
        self._put(event.to_json())

    def _put(self, body: str) -> None:
        from botocore.exceptions import BotoCoreError, ClientError

        give_up_at = time.monotonic() + PUBLISH_SECONDS
        for attempt in range(1, TRIES + 1):
            try:
                self._sqs().send_message(QueueUrl=self._queue_url, MessageBody=body)
                return
            except (BotoCoreError, ClientError) as exc:
                pause = random.uniform(0, 0.1 * 2**attempt)  # noqa: S311 - jitter
                if attempt == TRIES or time.monotonic() + pause >= give_up_at:
                    raise DependencyUnavailable("The queue of usage events could not take one.") from exc
                time.sleep(pause)

    def ready(self) -> None:
        with translated("be reached"):
            self._sqs().get_queue_attributes(QueueUrl=self._queue_url, AttributeNames=["QueueArn"])


class SqsMessages:
    """A MessageSource, for a process that polls by itself (`navplane serve`); on Lambda the platform polls."""

    def __init__(self, *, queue_url: str) -> None:
        self._queue_url = queue_url
        self._sqs: SQSClient = client("sqs", read_timeout=LONG_POLL_SECONDS + 5)

    def take(self, limit: int, *, wait_seconds: float) -> Sequence[Message]:
        """Waits for the first messages only; SQS gives at most ten at a time, so more are asked for while they come."""
        taken = self._receive(min(limit, _BATCH), wait_seconds)
        more = taken
        while len(more) == _BATCH and len(taken) < limit:
            more = self._receive(min(limit - len(taken), _BATCH), 0)
            taken = [*taken, *more]
        return taken

    def _receive(self, limit: int, wait_seconds: float) -> list[Message]:
        with translated("be read"):
            answer = self._sqs.receive_message(
                QueueUrl=self._queue_url,
                MaxNumberOfMessages=limit,
                WaitTimeSeconds=min(int(wait_seconds), LONG_POLL_SECONDS),
            )
        return [
            Message(id=found["MessageId"], body=found["Body"], receipt=found["ReceiptHandle"])
            for found in answer.get("Messages", [])
        ]

    def acknowledge(self, messages: Sequence[Message]) -> None:
        for start in range(0, len(messages), _BATCH):
            chunk = messages[start : start + _BATCH]
            with translated("be told what was done"):
                # An entry that fails comes back once more, which is harmless.
                self._sqs.delete_message_batch(
                    QueueUrl=self._queue_url,
                    Entries=[{"Id": str(n), "ReceiptHandle": message.receipt} for n, message in enumerate(chunk)],
                )


class SqsDeadLetters:
    """DeadLetters in the queue's own dead-letter queue, the reason in an attribute."""

    def __init__(self, *, queue_url: str) -> None:
        self._queue_url = queue_url

    def bury(self, letters: Sequence[DeadLetter]) -> None:
        if not letters:
            return
        sqs: SQSClient = client("sqs", read_timeout=2)
        for letter in letters:
            with translated("take a dead letter"):
                sqs.send_message(
                    QueueUrl=self._queue_url,
                    MessageBody=letter.message.body,
                    MessageAttributes={
                        "reason": {"DataType": "String", "StringValue": letter.reason},
                        "source_message_id": {"DataType": "String", "StringValue": letter.message.id},
                    },
                )


class SqsQueueAge:
    """A QueueAge: exact when the queue is empty, else what CloudWatch last measured, which is minutes old at worst."""

    def __init__(self, *, queue_url: str) -> None:
        self._queue_url = queue_url

    def oldest_event_age_seconds(self) -> float | None:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            return 0.0 if self._empty() else self._measured()
        # Not knowing is an answer: the reaper then waits.
        except (BotoCoreError, ClientError):
            return None

    def _empty(self) -> bool:
        sqs: SQSClient = client("sqs", read_timeout=2)
        found = sqs.get_queue_attributes(
            QueueUrl=self._queue_url,
            AttributeNames=[
                "ApproximateNumberOfMessages",
                "ApproximateNumberOfMessagesNotVisible",
                "ApproximateNumberOfMessagesDelayed",
            ],
        )["Attributes"]
        return all(int(count) == 0 for count in found.values())

    def _measured(self) -> float | None:
        now = datetime.now(UTC)
        answer = client("cloudwatch", read_timeout=2).get_metric_statistics(
            Namespace="AWS/SQS",
            MetricName="ApproximateAgeOfOldestMessage",
            Dimensions=[{"Name": "QueueName", "Value": self._queue_url.rsplit("/", 1)[-1]}],
            StartTime=now - timedelta(minutes=15),
            EndTime=now,
            Period=60,
            Statistics=["Maximum"],
        )
        if not (points := answer["Datapoints"]):
            return None
        newest = max(points, key=lambda point: point["Timestamp"])
        # The datapoint is behind: whatever was the oldest then has aged since.
        return float(newest["Maximum"] + (now - newest["Timestamp"]).total_seconds())
