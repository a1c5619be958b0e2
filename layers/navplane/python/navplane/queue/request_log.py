"""Where usage events go: the Protocol. SQS, Postgres and an in-memory queue with SQS's semantics implement it."""

from typing import Protocol

from navplane.model.kept_content import KeptContent
from navplane.model.usage_event import UsageEvent


class RequestLog(Protocol):
    def publish(self, event: UsageEvent) -> None:
        """Hand over the event durably. Never raises to the caller: what no queue takes is written to the log as one
        `ledger.fallback` line, which `navplane ledger replay` reads."""
        ...

    def publish_content(self, content: KeptContent) -> None:
        """Hand over what was asked and answered, if the queue takes it. Never raises, and never writes any of it to a log."""
        ...

    def ready(self) -> None:
        """Return if events can be taken just now; raise DependencyUnavailable if not."""
        ...


class QueueAge(Protocol):
    def oldest_event_age_seconds(self) -> float | None:
        """Age of the oldest event still on its way; 0 when there is none, None when it can't be told."""
        ...
