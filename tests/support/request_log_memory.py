"""A request log in memory: keeps what was published, in order."""

import threading

from navplane.errors import DependencyUnavailable
from navplane.model.usage_event import UsageEvent


class MemoryRequestLog:
    """`events` grows by one with every publish, from any thread; `wait_for` blocks until there are so many."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._events: list[UsageEvent] = []
        self.available = True

    @property
    def events(self) -> list[UsageEvent]:
        with self._changed:
            return list(self._events)

    def publish(self, event: UsageEvent) -> None:
        with self._changed:
            self._events.append(event)
            self._changed.notify_all()

    def ready(self) -> None:
        if not self.available:
            raise DependencyUnavailable("The queue is away.")

    def wait_for(self, count: int, *, seconds: float = 10.0) -> list[UsageEvent]:
        """The first `count` events, once they are there; AssertionError when they don't come."""
        with self._changed:
            arrived = self._changed.wait_for(lambda: len(self._events) >= count, timeout=seconds)
            assert arrived, f"{len(self._events)} of {count} usage events were published"
            return list(self._events[:count])
