"""A queue as an event source: gathers a batch, invokes the function, deletes what it took, and leaves the rest to return.

https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
"""

import asyncio
import contextlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from navplane_local.invocation import FunctionError, Invocation, TooManyRequests
from navplane_local.resolver import REGION
from navplane_local.stack import SqsSource

POLL_SECONDS = 0.2
RECEIVE_LIMIT = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """`attributes` are SQS's own, such as ApproximateReceiveCount; `message_attributes` the sender's."""

    message_id: str
    receipt_handle: str
    body: str
    md5: str
    attributes: Mapping[str, str]
    message_attributes: Mapping[str, Any]


class MessageQueue(Protocol):
    """What a source needs of a queue. Calls may block: they run in threads. OSError where the queue can't be reached."""

    @property
    def arn(self) -> str: ...

    def receive(self, limit: int) -> Sequence[Message]:
        """Up to `limit` (at most 10) visible messages, at once; they are invisible from now on."""
        ...

    def delete(self, messages: Sequence[Message]) -> None: ...

    def release(self, messages: Sequence[Message], *, after_seconds: int) -> None:
        """Make them visible again."""
        ...


class SqsPoller:
    """Feeds one function from one queue. On AWS what a function leaves comes back with the visibility timeout; with
    `return_seconds` it comes back sooner."""

    def __init__(
        self,
        source: SqsSource,
        queue: MessageQueue,
        invoke: Callable[[bytes], Invocation],
        *,
        return_seconds: int | None = None,
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        self._source, self._queue, self._invoke = source, queue, invoke
        self._return_seconds, self._poll_seconds = return_seconds, poll_seconds
        self._batches: set[asyncio.Task[None]] = set()
        # Received and not deleted; what a function left is in here until it comes back or the source stops.
        self._held: dict[str, Message] = {}
        self._draining = self._stopping = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._poll())

    async def drain(self, *, seconds: float) -> None:
        """Go on until the queue is empty or `seconds` have passed."""
        self._draining = True
        if self._task is not None:
            await asyncio.wait((self._task,), timeout=seconds)

    async def stop(self) -> None:
        """Wait for the batches under way, then give back what is held, so that nothing waits for its visibility timeout.
        Never cancels a receive: what it brought would be held by nobody."""
        self._stopping = True
        if self._task is not None:
            await asyncio.wait((self._task, *self._batches))
        await self._release(list(self._held.values()), after_seconds=0)

    async def _poll(self) -> None:
        """When draining it ends once the queue gives nothing and no batch is under way."""
        while not self._stopping:
            batch = await self._gather() if len(self._batches) < self._source.concurrency else []
            if batch:
                self._spawn(batch)
            elif self._batches:
                await asyncio.wait(self._batches, timeout=self._poll_seconds, return_when=asyncio.FIRST_COMPLETED)
            elif self._draining:
                return
            else:
                await asyncio.sleep(self._poll_seconds)

    async def _gather(self) -> list[Message]:
        batch = await self._receive(self._source.batch_size)
        until = time.monotonic() + self._source.window_seconds
        while batch and len(batch) < self._source.batch_size:
            more = await self._receive(self._source.batch_size - len(batch))
            batch += more
            if not more and (self._draining or time.monotonic() >= until):
                break
            if not more:
                await asyncio.sleep(min(self._poll_seconds, self._source.window_seconds))
        return batch

    async def _receive(self, limit: int) -> list[Message]:
        try:
            received = await asyncio.to_thread(self._queue.receive, min(limit, RECEIVE_LIMIT))
        except OSError:
            return []
        self._held |= {message.message_id: message for message in received}
        return list(received)

    def _spawn(self, batch: list[Message]) -> None:
        task = asyncio.create_task(self._process(batch))
        self._batches.add(task)
        task.add_done_callback(self._batches.discard)

    async def _process(self, batch: list[Message]) -> None:
        failed = await self._failures(batch)
        await self._delete([message for message in batch if message.message_id not in failed])
        if self._return_seconds is not None:
            left = [message for message in batch if message.message_id in failed]
            await self._release(left, after_seconds=self._return_seconds)

    async def _failures(self, batch: list[Message]) -> set[str]:
        """The ids of the messages that the function did not take: all of them where it failed, or answered nonsense."""
        everything = {message.message_id for message in batch}
        event = json.dumps({"Records": [record(message, self._queue.arn) for message in batch]}).encode()
        try:
            answer = await self._invoke(event).payload()
        except (FunctionError, TooManyRequests):
            return everything
        return reported_failures(answer, everything) if self._source.reports_item_failures else set()

    async def _delete(self, messages: list[Message]) -> None:
        # A queue that is away loses nothing: what could not be deleted comes back, and consumers are idempotent.
        with contextlib.suppress(OSError):
            if messages:
                await asyncio.to_thread(self._queue.delete, messages)
        for message in messages:
            self._held.pop(message.message_id, None)

    async def _release(self, messages: list[Message], *, after_seconds: int) -> None:
        with contextlib.suppress(OSError):
            if messages:
                await asyncio.to_thread(self._queue.release, messages, after_seconds=after_seconds)


def record(message: Message, arn: str) -> dict[str, Any]:
    return {
        "messageId": message.message_id,
        "receiptHandle": message.receipt_handle,
        "body": message.body,
        "attributes": dict(message.attributes),
        "messageAttributes": dict(message.message_attributes),
        "md5OfBody": message.md5,
        "eventSource": "aws:sqs",
        "eventSourceARN": arn,
        "awsRegion": REGION,
    }


def reported_failures(answer: bytes, everything: set[str]) -> set[str]:
    """An empty answer is success; an unknown or empty identifier, or anything that isn't such a report, fails the batch."""
    try:
        report = json.loads(answer or b"null") or {}
        failed = {item["itemIdentifier"] for item in report.get("batchItemFailures") or ()}
    except (ValueError, KeyError, TypeError, AttributeError):
        return everything
    return everything if failed - everything else failed
