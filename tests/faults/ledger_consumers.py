"""The consumer that the harness kills, and the mutants that it must catch. Run as a process of its own: one JSON argument."""

import json
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from navplane.errors import DependencyUnavailable
from navplane.gate.gate_postgres import PostgresGate
from navplane.ingest.consume import Consumer
from navplane.model.usage_event import MalformedEvent, UsageEvent
from navplane.queue.message import Message
from navplane.store.database import Database, connector

from tests.support.queue_memory import MemoryQueue, connected

BATCH = 25


class NaiveInsert:
    """A mutant: the first event of a request stands, whatever comes later."""

    def __init__(self, database: Database, queue: MemoryQueue) -> None:
        self._database = database
        self._sound = Consumer(database=database, gate=PostgresGate(database), dead_letters=queue, now=now)

    def consume(self, messages: Sequence[Message]) -> frozenset[str]:
        return self._sound.consume([message for message in messages if not self._known(message)])

    def _known(self, message: Message) -> bool:
        try:
            request_id = UsageEvent.from_json(message.body).request_id
        except MalformedEvent:
            return False
        with self._database.connection() as db:
            return bool(db.run("SELECT FROM public.request_logs WHERE request_id = :id", id=request_id))


def now() -> datetime:
    return datetime.now(UTC)


def run(kind: str, queue: MemoryQueue, database: Database) -> None:
    """Consume until killed. Everything that fails comes back, as it does on Lambda."""
    sound = Consumer(database=database, gate=PostgresGate(database), dead_letters=queue, now=now)
    consumer = NaiveInsert(database, queue) if kind == "naive_insert" else sound
    while True:
        messages = queue.take(BATCH, wait_seconds=0)
        if not messages:
            time.sleep(0.005)
            continue
        if kind == "ack_before_commit":
            queue.acknowledge(messages)
        try:
            returned = consumer.consume(messages)
        except DependencyUnavailable:
            continue
        queue.acknowledge([message for message in messages if message.id not in returned])


def main(settings: dict[str, str]) -> None:
    connect = connector(
        host=settings["host"],
        port=5432,
        name=settings["name"],
        user="navplane_writer",
        password=lambda: settings["password"],
        tls=False,
        tls_ca_file=None,
    )
    run(settings["kind"], connected(Path(settings["socket"])), Database(connect, size=1))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
