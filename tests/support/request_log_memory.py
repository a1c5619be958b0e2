"""A request log in memory: keeps what was published, in order."""

import threading
from uuid import UUID

from navplane.errors import DependencyUnavailable
from navplane.model.kept_content import KeptContent
from navplane.model.usage_event import UsageEvent


class MemoryRequestLog:
    """`events` grows by one with every publish, from any thread; `wait_for` blocks until there are so many."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._events: list[UsageEvent] = []
        self.contents: list[KeptContent] = []
        self.available = True

    @property
    def events(self) -> list[UsageEvent]:
        with self._changed:
            return list(self._events)

    def publish(self, event: UsageEvent) -> None:
        with self._changed:
            self._events.append(event)
            self._changed.notify_all()

    def publish_content(self, content: KeptContent) -> None:
        with self._changed:
            self.contents.append(content)
            self._changed.notify_all()

    def ready(self) -> None:
        if not self.available:
            raise DependencyUnavailable("The queue is away.")

    def of(self, org_id: UUID | None) -> list[UsageEvent]:
        return [event for event in self.events if event.org_id == org_id]

    def wait_for(self, count: int, *, org_id: UUID | None = None, seconds: float = 10.0) -> list[UsageEvent]:
        """The first `count` events (of one organization), once they are there; AssertionError when they don't come."""

        def found() -> list[UsageEvent]:
            return [event for event in self._events if org_id is None or event.org_id == org_id]

        with self._changed:
            arrived = self._changed.wait_for(lambda: len(found()) >= count, timeout=seconds)
            assert arrived, f"{len(found())} of {count} usage events were published"
            return found()[:count]

    def wait_for_contents(self, count: int, *, seconds: float = 10.0) -> list[KeptContent]:
        with self._changed:
            arrived = self._changed.wait_for(lambda: len(self.contents) >= count, timeout=seconds)
            assert arrived, f"{len(self.contents)} of {count} contents were published"
            return list(self.contents)
