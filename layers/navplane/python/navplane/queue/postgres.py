"""Usage events through a table of our own Postgres: the durable queue of `navplane serve` where there is no SQS.

It keeps SQS's semantics, so one consumer serves both: what is taken is hidden for a while and comes back unless acknowledged.
"""

import threading
import time
import weakref
from collections import deque
from collections.abc import Sequence
from contextlib import AbstractContextManager, suppress
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from navplane.model.ids import new_id
from navplane.model.kept_content import KeptContent
from navplane.model.usage_event import UsageEvent
from navplane.queue import fallback
from navplane.queue.message import DeadLetter, Message
from navplane.queue.redrive import BuriedLetter

VISIBILITY_SECONDS = 60
# Of a few kilobytes each; the oldest go first, and have their line in the log.
MAX_UNSENT = 10_000
_POLL_SECONDS = 0.25
_INSERT = "INSERT INTO public.usage_queue (id, body) VALUES (:id, :body)"
# One transaction for both: a commit less for each request.
_INSERT_AND_SETTLE = f"""
WITH put_in AS ({_INSERT}) SELECT public.gate_settle(:request_id, :tokens, :nano_usd, :now)
"""


class Statement(Protocol):
    def run(self, **params: Any) -> Any: ...


class Connection(Protocol):
    def run(self, sql: str, **params: Any) -> Any: ...

    def prepare(self, sql: str) -> Statement: ...


class Connections(Protocol):
    """The part of store.database.Database that a queue needs."""

    def connection(self) -> AbstractContextManager[Connection]: ...


class PostgresRequestLog:
    """A RequestLog; its connections are those of navplane_gate, which may INSERT here and nothing else. Where the gate is this
    database, too, it can also settle."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        # On the way of every request: a prepared statement costs one round trip in place of three, and no parsing of SQL.
        self._statements: weakref.WeakKeyDictionary[Connection, dict[str, Statement]] = weakref.WeakKeyDictionary()
        self._unsent: deque[UsageEvent] = deque(maxlen=MAX_UNSENT)

    def publish(self, event: UsageEvent) -> None:
        """What can't be sent is written to the log, and sent again when the database is back: twice does no harm."""
        if fallback.write_unless_sent(self.send, event):
            self._send_again()
        else:
            self._unsent.append(event)

    def _send_again(self) -> None:
        with suppress(IndexError):
            while True:
                event = self._unsent.popleft()
                try:
                    self.send(event)
                except Exception:
                    # Its line is in the log, and the next publish tries once more.
                    self._unsent.append(event)
                    return

    def publish_content(self, content: KeptContent) -> None:
        fallback.send_content(self._put, content)

    def send(self, event: UsageEvent) -> None:
        """Raise DependencyUnavailable if the event is not known to be in the queue."""
        self._put(event.to_json())

    def _put(self, body: str) -> None:
        self._run(_INSERT, body=body)

    def settle_and_send(self, event: UsageEvent, *, tokens: int, nano_usd: int | None, now: datetime) -> None:
        """Settle the event's reservation and put it into the queue, both or neither. Raise DependencyUnavailable if that is not
        known to be done."""
        settling = {"request_id": event.request_id, "tokens": tokens, "nano_usd": nano_usd, "now": now}
        self._run(_INSERT_AND_SETTLE, body=event.to_json(), **settling)
        self._send_again()

    def _run(self, sql: str, **arguments: Any) -> None:
        with self._connections.connection() as db:
            statements = self._statements.setdefault(db, {})
            statement = statements.get(sql) or statements.setdefault(sql, db.prepare(sql))
            statement.run(id=new_id(), **arguments)

    def ready(self) -> None:
        with self._connections.connection() as db:
            db.run("SELECT 1")
        self._send_again()


class PostgresMessages:
    """MessageSource, DeadLetters, Shelf and QueueAge on the connections of navplane_writer. `stop` cuts a wait short."""

    def __init__(self, connections: Connections, *, stop: threading.Event | None = None) -> None:
        self._connections = connections
        self._stop = stop or threading.Event()

    def take(self, limit: int, *, wait_seconds: float) -> Sequence[Message]:
        give_up_at = time.monotonic() + wait_seconds
        while True:
            taken = self._take(limit)
            if taken or time.monotonic() >= give_up_at or self._stop.wait(_POLL_SECONDS):
                return taken

    def _take(self, limit: int) -> list[Message]:
        with self._connections.connection() as db:
            rows = db.run(
                """
                WITH next AS MATERIALIZED (
                    SELECT id FROM public.usage_queue
                     WHERE visible_at <= now() AND dead_reason IS NULL
                     ORDER BY visible_at LIMIT :limit FOR UPDATE SKIP LOCKED
                )
                UPDATE public.usage_queue AS q
                   SET visible_at = now() + make_interval(secs => :hidden), deliveries = deliveries + 1
                  FROM next WHERE q.id = next.id
             RETURNING q.id, q.body
                """,
                hidden=VISIBILITY_SECONDS,
                limit=limit,
            )
        return [Message(id=str(row[0]), body=row[1]) for row in rows]

    def acknowledge(self, messages: Sequence[Message]) -> None:
        """A buried message stays: acknowledging it must not lose it."""
        ids = [UUID(message.id) for message in messages]
        with self._connections.connection() as db:
            db.run("DELETE FROM public.usage_queue WHERE id = ANY(:ids::uuid[]) AND dead_reason IS NULL", ids=ids)

    def bury(self, letters: Sequence[DeadLetter]) -> None:
        with self._connections.connection() as db:
            for letter in letters:
                db.run(
                    "UPDATE public.usage_queue SET dead_reason = :reason WHERE id = :id",
                    reason=letter.reason,
                    id=UUID(letter.message.id),
                )

    def letters(self, limit: int) -> Sequence[BuriedLetter]:
        with self._connections.connection() as db:
            rows = db.run(
                "SELECT id, body, dead_reason, enqueued_at FROM public.usage_queue WHERE dead_reason IS NOT NULL"
                " ORDER BY enqueued_at, id LIMIT :limit",
                limit=limit,
            )
        return [BuriedLetter(id=str(row[0]), body=row[1], reason=row[2], buried_at=row[3]) for row in rows]

    def put_back(self, letters: Sequence[BuriedLetter]) -> None:
        """They were never away."""

    def redrive(self, letters: Sequence[BuriedLetter]) -> int:
        with self._connections.connection() as db:
            rows = db.run(
                "UPDATE public.usage_queue SET dead_reason = NULL, visible_at = now()"
                " WHERE id = ANY(:ids::uuid[]) AND dead_reason IS NOT NULL RETURNING id",
                ids=[UUID(letter.id) for letter in letters],
            )
        return len(rows)

    def dead_letters(self) -> int:
        """How many are buried."""
        with self._connections.connection() as db:
            return int(db.run("SELECT count(*) FROM public.usage_queue WHERE dead_reason IS NOT NULL")[0][0])

    def oldest_event_age_seconds(self) -> float | None:
        with self._connections.connection() as db:
            rows = db.run(
                "SELECT extract(epoch FROM now() - min(enqueued_at))::float8 FROM public.usage_queue WHERE dead_reason IS NULL"
            )
        return max(0.0, rows[0][0] or 0.0)
