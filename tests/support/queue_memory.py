"""A queue in memory with SQS's semantics: hidden while taken, back when not acknowledged in time, in any order.

`serving` lets other processes use it over a unix socket, so that a consumer can be killed and the queue goes on.
"""

import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.managers import BaseManager
from pathlib import Path

from navplane.model.kept_content import KeptContent
from navplane.model.usage_event import UsageEvent
from navplane.queue.message import DeadLetter, Message


@dataclass(slots=True)
class _Held:
    body: str
    sent_at: float
    visible_at: float
    receipt: str = ""
    deliveries: int = 0


@dataclass(slots=True)
class _State:
    messages: dict[str, _Held] = field(default_factory=dict)
    buried: list[DeadLetter] = field(default_factory=list)
    sent: int = 0
    deliveries: int = 0


class MemoryQueue:
    """A RequestLog, a MessageSource, DeadLetters and a QueueAge. `seed` decides the order of what is taken; after
    `max_receives` deliveries a message goes to the dead letters, as SQS does by itself."""

    def __init__(
        self,
        *,
        visibility_seconds: float = 30.0,
        max_receives: int = 1000,
        seed: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._visibility_seconds = visibility_seconds
        self._max_receives = max_receives
        self._random = random.Random(seed)
        self._clock = clock
        self._lock = threading.Lock()
        self._state = _State()

    # -- what goes in ----------------------------------------------------------------------------------------------------

    def publish(self, event: UsageEvent) -> None:
        self.send(event.to_json())

    def publish_content(self, content: KeptContent) -> None:
        self.send(content.to_json())

    def send(self, body: str) -> str:
        with self._lock:
            self._state.sent += 1
            message_id, now = f"m-{self._state.sent}", self._clock()
            self._state.messages[message_id] = _Held(body, sent_at=now, visible_at=now)
            return message_id

    def ready(self) -> None:
        """Memory is always there."""

    # -- what comes out --------------------------------------------------------------------------------------------------

    def take(self, limit: int, *, wait_seconds: float) -> Sequence[Message]:
        """Never waits: who polls decides how often."""
        with self._lock:
            now = self._clock()
            visible = [name for name, held in self._state.messages.items() if held.visible_at <= now]
            chosen = self._random.sample(visible, min(limit, len(visible)))
            return [message for name in chosen if (message := self._deliver(name, now)) is not None]

    def _deliver(self, name: str, now: float) -> Message | None:
        held = self._state.messages[name]
        held.deliveries += 1
        self._state.deliveries += 1
        held.visible_at = now + self._visibility_seconds
        held.receipt = f"{name}/{held.deliveries}"
        message = Message(id=name, body=held.body, receipt=held.receipt)
        if held.deliveries <= self._max_receives:
            return message
        self._state.buried.append(DeadLetter(message=message, reason="received too often"))
        del self._state.messages[name]
        return None

    def acknowledge(self, messages: Sequence[Message]) -> None:
        with self._lock:
            for message in messages:
                self._state.messages.pop(message.id, None)

    def bury(self, letters: Sequence[DeadLetter]) -> None:
        with self._lock:
            self._state.buried.extend(letters)

    def release_all(self) -> None:
        """Everything taken and not acknowledged is visible now, as if its time had passed."""
        with self._lock:
            for held in self._state.messages.values():
                held.visible_at = self._clock()

    # -- looking in ------------------------------------------------------------------------------------------------------

    def oldest_event_age_seconds(self) -> float | None:
        with self._lock:
            oldest = min((held.sent_at for held in self._state.messages.values()), default=None)
            return 0.0 if oldest is None else self._clock() - oldest

    def waiting(self) -> int:
        with self._lock:
            return len(self._state.messages)

    def buried(self) -> list[DeadLetter]:
        with self._lock:
            return list(self._state.buried)

    def deliveries(self) -> int:
        with self._lock:
            return self._state.deliveries


class _Manager(BaseManager):
    pass


@contextmanager
def serving(queue: MemoryQueue, socket: Path) -> Iterator[None]:
    """Let other processes reach `queue` through `socket` (see `connected`)."""
    _Manager.register("queue", callable=lambda: queue)
    server = _Manager(address=str(socket), authkey=b"tests").get_server()
    thread = threading.Thread(target=_serve, args=(server,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.stop_event.set()  # type: ignore[attr-defined]
        thread.join()


def _serve(server: object) -> None:
    # The server of multiprocessing ends its process when it is told to stop.
    try:
        server.serve_forever()  # type: ignore[attr-defined]
    except SystemExit:
        return


def connected(socket: Path) -> MemoryQueue:
    """A proxy of the queue behind `socket`."""
    _Manager.register("queue")
    manager = _Manager(address=str(socket), authkey=b"tests")
    manager.connect()
    return manager.queue()  # type: ignore[attr-defined, no-any-return]
