"""The log plane in one process, for `navplane serve`: the writer polls its queue, the maintenance and what else runs every
minute keep their schedule."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from navplane.ingest.collect_usage import Asking
from navplane.ingest.consume import Consumer
from navplane.ingest.maintain import maintain
from navplane.ingest.platform_alerts import DeadLetterCount, no_queue
from navplane.ingest.reap import Reaper
from navplane.queue.message import MessageSource
from navplane.store.database import Database
from navplane.telemetry import logger

BATCH = 500
POLL_SECONDS = 5.0
SCHEDULE_SECONDS = 60.0
# After a failure: the messages come back by themselves, and a dependency that is down is not asked without pause.
PAUSE_SECONDS = 1.0
DRAIN_SECONDS = 5.0


@dataclass(slots=True, kw_only=True)
class Jobs:
    """`stop` must be the event that also cuts the source's waits short. Two replicas may run the same jobs at once."""

    source: MessageSource
    consumer: Consumer
    reaper: Reaper
    database: Database
    stop: threading.Event
    keep_months: int = 0
    asking: Asking | None = None
    dead_letters: DeadLetterCount = no_queue
    every_minute: Mapping[str, Callable[[datetime], object]] = field(default_factory=dict)
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self) -> None:
        scheduled = {name: self._at_the_time(job) for name, job in self.every_minute.items()}
        steps = {"maintenance": self._maintain, **scheduled}
        for name, step, pause in (("writer", self._write, 0.0), *((n, s, SCHEDULE_SECONDS) for n, s in steps.items())):
            thread = threading.Thread(target=self._repeat, args=(step, pause), name=name, daemon=True)
            thread.start()
            self._threads.append(thread)

    def finish(self) -> None:
        """Stop both and record what is still queued, for a few seconds at most: the queue keeps the rest."""
        self.stop.set()
        for thread in self._threads:
            thread.join(timeout=DRAIN_SECONDS)
        give_up_at = time.monotonic() + DRAIN_SECONDS
        try:
            while self._write_batch(wait_seconds=0) and time.monotonic() < give_up_at:
                pass
        # A process that is leaving has nobody to tell; nothing is lost.
        except Exception:
            logger.exception("jobs.drain_failed")

    def _repeat(self, step: Callable[[], None], pause: float) -> None:
        while not self.stop.is_set():
            try:
                step()
            # A job outlives whatever goes wrong once: every dependency comes back, and so do its messages.
            except Exception:
                logger.exception("jobs.failed", extra={"job": threading.current_thread().name})
                self.stop.wait(PAUSE_SECONDS)
            self.stop.wait(pause)

    def _write(self) -> None:
        self._write_batch(wait_seconds=POLL_SECONDS)

    def _write_batch(self, *, wait_seconds: float) -> int:
        messages = self.source.take(BATCH, wait_seconds=wait_seconds)
        if messages:
            returned = self.consumer.consume(messages)
            self.source.acknowledge([message for message in messages if message.id not in returned])
        return len(messages)

    def _at_the_time(self, job: Callable[[datetime], object]) -> Callable[[], None]:
        def step() -> None:
            job(datetime.now(UTC))

        return step

    def _maintain(self) -> None:
        now = datetime.now(UTC)
        maintain(
            self.database,
            self.reaper,
            now=now,
            keep_months=self.keep_months,
            dead_letters=self.dead_letters,
            asking=self.asking,
        )
