"""Batches, and responses in the background, that nobody has asked for: maintenance has their providers asked what they used.

Safe to run twice at once and to kill anywhere: what is taken in hand comes back, and what is recorded is the event that any
call which shows the object completes, so it changes nothing when it comes again (docs/adr/0019-batches-are-one-request.md).
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from navplane.errors import DependencyUnavailable
from navplane.ingest.consume import Consumer
from navplane.model.probe import Awaited, Collected, CollectState, Probe
from navplane.model.reading import Reading, completed
from navplane.model.tenancy import Region
from navplane.model.usage_event import MalformedEvent, UsageEvent
from navplane.queue.message import Message
from navplane.store import awaited_objects
from navplane.store.awaited_objects import AwaitedObject
from navplane.store.database import Database
from navplane.telemetry import logger

# No question begins later in a run than this, and one takes about ten seconds at the most.
ASK_SECONDS = 5.0
OBJECTS = 20
CLOSED = 10_000
FIRST_PAUSE = timedelta(minutes=5)
LONGEST_PAUSE = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """Who asks, and for which region: two stacks may share a database, and each may ask about its own calls only."""

    probe: Probe
    region: Region


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageCollector:
    database: Database
    consumer: Consumer
    asking: Asking

    def run(self, now: datetime, *, seconds: float = ASK_SECONDS) -> int:
        """How many requests were settled. What could not be asked for in `seconds` comes back in two minutes."""
        give_up_at = time.monotonic() + seconds
        settled = 0
        for awaited in self._take(now):
            if time.monotonic() >= give_up_at:
                break
            try:
                settled += self._settle(awaited, now)
            except DependencyUnavailable as exc:
                # What is down for one is down for all.
                logger.warning("collect.unavailable", extra={"error": type(exc).__name__})
                break
        return settled

    def _take(self, now: datetime) -> Sequence[AwaitedObject]:
        with self.database.transaction() as db:
            awaited_objects.forget_closed(db, now=now, limit=CLOSED)
        with self.database.transaction() as db:
            return awaited_objects.take(db, region=self.asking.region, now=now, limit=OBJECTS)

    def _settle(self, awaited: AwaitedObject, now: datetime) -> bool:
        try:
            event = UsageEvent.from_json(awaited.event)
        except MalformedEvent:
            logger.error("collect.unreadable", extra={"provider": awaited.provider})
            self._put_off(awaited, None)
            return False
        said = self.asking.probe.collect(_question(awaited, event))
        logger.info("collect.asked", extra={"request_id": str(event.request_id), "state": said.state.value})
        if said.reading is not None and self._record(event, said.reading):
            self._put_off(awaited, None)
            return True
        self._put_off(awaited, _next_time(awaited, said, now))
        return False

    def _record(self, event: UsageEvent, reading: Reading) -> bool:
        """As if its message had come through the queue."""
        message = Message(id=f"collected-{event.request_id}", body=completed(event, reading).to_json())
        return not self.consumer.consume([message])

    def _put_off(self, awaited: AwaitedObject, until: datetime | None) -> None:
        with self.database.transaction() as db:
            awaited_objects.put_off(db, awaited, until=until)


def _question(awaited: AwaitedObject, event: UsageEvent) -> Awaited:
    return Awaited(
        org_id=awaited.org_id,
        provider_key_id=awaited.provider_key_id,
        provider=awaited.provider,
        endpoint=event.endpoint,
        object_id=awaited.object_id,
    )


def _next_time(awaited: AwaitedObject, said: Collected, now: datetime) -> datetime | None:
    """None where asking again is of no use: what is too large here is left to the caller, who may read it through the proxy."""
    if said.state is CollectState.TOO_LARGE:
        return None
    pause: timedelta = FIRST_PAUSE * 2 ** min(awaited.asked, 10)
    return now + min(pause, LONGEST_PAUSE)
