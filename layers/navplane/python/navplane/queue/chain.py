"""Two places for usage events: where the first fails, the second takes it; what neither takes is one line in the log."""

from collections.abc import Callable
from functools import cached_property
from typing import Protocol

from navplane.model.kept_content import KeptContent
from navplane.model.usage_event import UsageEvent
from navplane.queue import fallback
from navplane.queue.request_log import RequestLog
from navplane.telemetry import logger

# What operators search their logs for: never rename it.
MESSAGE = "ledger.second_place"


class Sender(Protocol):
    def send(self, event: UsageEvent) -> None:
        """Raise if the event is not known to be taken."""
        ...


class First(Sender, RequestLog, Protocol):
    """A RequestLog that says when it fails."""


class ChainedRequestLog:
    """A RequestLog. `second` is made when it is first needed: most processes never need it."""

    def __init__(self, first: First, *, second: Callable[[], Sender]) -> None:
        self._first, self._make_second = first, second

    @cached_property
    def _second(self) -> Sender:
        return self._make_second()

    def publish(self, event: UsageEvent) -> None:
        fallback.write_unless_sent(self.send, event)

    def send(self, event: UsageEvent) -> None:
        """Raise what the second place raised, if neither is known to have taken it. An event that the first took without
        saying so is there twice, which is harmless: the writer is idempotent."""
        try:
            self._first.send(event)
        except Exception as exc:
            self._second.send(event)
            facts = {"request_id": str(event.request_id), "error": type(exc.__cause__ or exc).__name__}
            logger.warning(MESSAGE, extra=facts)

    def publish_content(self, content: KeptContent) -> None:
        self._first.publish_content(content)

    def ready(self) -> None:
        self._first.ready()
