"""Exactly once from HTTP: proxies killed in mid-stream, and a queue that fails before and after it has accepted.

Each run prints one JSON line. HTTP_REQUESTS and HTTP_KILLS make it longer.
"""

import json
import os
import random
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from navplane.crypto.api_key import digest, new_api_key
from navplane.gate.gate_postgres import PostgresGate
from navplane.ingest.consume import Consumer
from navplane.ingest.reap import Reaper
from navplane.model.usage_event import UsageEvent
from navplane.queue import fallback
from navplane.store import rollups
from navplane.store.database import Database

from tests.faults.http_world import Clients, FailingQueue, Provider, serving, sqs_of, wait
from tests.support.gate_seed_postgres import PostgresSeed
from tests.support.gateway import sealed_key
from tests.support.moto_server import aws_environment
from tests.support.postgres import TestDatabase
from tests.support.queue_memory import MemoryQueue

REQUESTS = int(os.environ.get("HTTP_REQUESTS", "400"))
KILLS = int(os.environ.get("HTTP_KILLS", "2"))
PROXIES = 2
CLIENTS = 8
BATCH = 100
NOW = datetime.now(UTC)
EPOCH = datetime(2020, 1, 1, tzinfo=UTC)


@dataclass(slots=True, kw_only=True)
class Proxies:
    """Processes that share one listening socket; one that is killed is replaced. `killed` are those, by name."""

    listener: socket.socket
    settings: dict[str, str]
    environment: dict[str, str]
    logs: Path
    killed: set[str] = field(default_factory=set)
    _running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    _made: int = 0

    def start(self) -> None:
        self._made += 1
        name, descriptor = f"p{self._made}", self.listener.fileno()
        argument = json.dumps({**self.settings, "proxy": name, "socket": str(descriptor)})
        with (self.logs / f"{name}.log").open("wb") as log:
            self._running[name] = subprocess.Popen(
                [sys.executable, "-m", "tests.faults.http_proxies", argument],
                stdout=log, pass_fds=(descriptor,), env={**os.environ, **self.environment},
            )  # fmt: skip

    def kill(self, dice: random.Random) -> None:
        name = dice.choice(sorted(self._running))
        process = self._running.pop(name)
        process.kill()
        process.wait(10)
        self.killed.add(name)
        self.start()

    def end(self) -> None:
        """In order: each finishes what it has begun."""
        for process in self._running.values():
            process.terminate()
        for process in self._running.values():
            process.wait(60)

    def discard(self) -> None:
        for process in self._running.values():
            process.kill()
            process.wait(10)

    def logged(self) -> dict[UUID, UsageEvent]:
        """What was written to the logs because no queue took it; a line that a kill has cut was never written."""
        found: dict[UUID, UsageEvent] = {}
        for path in self.logs.glob("*.log"):
            whole = [line for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]
            found.update({event.request_id: event for event in fallback.read(whole)})
        return found


@dataclass(slots=True, kw_only=True)
class Run:
    kind: str
    seed: int
    database: TestDatabase
    queue: FailingQueue
    proxies: Proxies
    clients: Clients
    kills: int = 0

    def play(self) -> None:
        """Kills fall at random points of the progress, which is counted in requests and not in time."""
        dice = random.Random(self.seed)
        threads = self.clients.run(CLIENTS)
        for point in sorted(dice.randrange(REQUESTS // 10, REQUESTS * 8 // 10) for _ in range(KILLS)):
            wait(lambda point=point: self.clients.started >= point, "the clients do not get on")  # type: ignore[misc]
            self.proxies.kill(dice)
            self.kills += 1
        for thread in threads:
            thread.join()
        self.proxies.end()

    def settle(self) -> None:
        """What schedules and operators do: record what was queued, close what was left open, and replay what was logged, which
        comes late and replaces the estimate of its request."""
        writer = self.database.as_role("navplane_writer")
        gate, messages = PostgresGate(writer), self.queue.messages
        consumer = Consumer(database=writer, gate=gate, dead_letters=messages, now=lambda: datetime.now(UTC))
        drain(consumer, messages)
        later = datetime.now(UTC) + timedelta(hours=3)
        Reaper(gate=gate, database=writer, queue_age=messages).reap(later)
        for event in self.proxies.logged().values():
            messages.publish(event)
        drain(consumer, messages)

    def verdict(self) -> dict[str, Any]:
        with self.database.superuser() as db:
            admitted = {row[0] for row in db.run("SELECT request_id FROM reservations WHERE org_id IS NOT NULL")}
            rows = {row[0]: tuple(row[1:]) for row in db.run(ROWS)}
            [[entries_off]] = db.run(ENTRIES_OFF)
            [[still_open]] = db.run("SELECT count(*) FROM reservations WHERE state <> 'final'")
            # Closed by the reaper first, then known after all: the entry of the estimate, if there was one, is made good.
            late = list(self.proxies.logged())
            [[replaced]] = db.run(REPLACED, late=late)
            drift = rollups.drift(db, since=EPOCH)
            [[summed]] = db.run("SELECT coalesce(sum(requests), 0) FROM usage_daily")
        whole, published = self.clients.whole, self.queue.accepted.keys() | self.proxies.logged().keys()
        kept = {id_: each for id_, each in whole.items() if id_ in published}
        return {
            "harness": "http_exactly_once",
            "proxy": self.kind,
            "seed": self.seed,
            "requests": self.clients.requests,
            "kills": self.kills,
            "sqs_failed_before": self.queue.before,
            "sqs_failed_after": self.queue.after,
            "logged": len(self.proxies.logged()),
            "admitted": len(admitted),
            "rows": len(rows),
            "whole": len(whole),
            "replaced": replaced,
            "lost_rows": sum(row[0] == "lost" for row in rows.values()),
            "missing": len(admitted - rows.keys()),
            "extra": len(rows.keys() - admitted),
            "open": still_open,
            # Whoever got a whole answer of a proxy that was not killed has its exact row.
            "forgotten": sum(id_ not in published for id_, each in whole.items() if each.proxy not in self.proxies.killed),
            "wrong": sum(rows.get(id_) != ("exact", each.prompt_tokens) for id_, each in kept.items()),
            "lost_off": abs(sum(row[0] == "lost" for row in rows.values()) - len(admitted - published)),
            "entries_off": entries_off,
            "sums_off": drift + abs(int(summed) - len(rows)),
            "poison": len(self.queue.messages.buried()),
        }


ROWS = "SELECT request_id, usage_quality, input_tokens FROM request_logs"
REPLACED = (
    "SELECT count(*) FROM request_logs WHERE request_id = ANY (:late::uuid[]) AND revision = 2 AND usage_quality = 'exact'"
)
ENTRIES_OFF = """
SELECT count(*) FROM request_logs AS log
  FULL JOIN (SELECT request_id, sum(amount_usd) AS amount FROM ledger_entries GROUP BY 1) AS entered USING (request_id)
 WHERE coalesce(log.cost_usd, 0) <> coalesce(entered.amount, 0)
"""
FAULTLESS = dict.fromkeys(
    ("missing", "extra", "open", "forgotten", "wrong", "lost_off", "entries_off", "sums_off", "poison"), 0
)


def drain(consumer: Consumer, queue: MemoryQueue) -> None:
    while messages := queue.take(BATCH, wait_seconds=0):
        returned = consumer.consume(messages)
        queue.acknowledge([message for message in messages if message.id not in returned])


def tenant(admin: Database) -> str:
    """An organization with a key of its own, which is returned."""
    seed, key = PostgresSeed(admin), new_api_key("np_")
    org_id = seed.organization()
    seed.key(org_id, digest=digest(key))
    seed.provider_key(sealed_key(org_id, "openai"))
    return key


@contextmanager
def prepared(kind: str, seed: int, database: TestDatabase, logs: Path) -> Iterator[Run]:
    key = tenant(database.as_role("navplane_admin"))
    queue = FailingQueue(MemoryQueue(seed=seed))
    gate = database.settings("navplane_gate")
    with serving(Provider) as upstream, serving(sqs_of(queue)) as sqs, socket.create_server(("127.0.0.1", 0)) as listener:
        settings = {
            "kind": kind, "host": gate["DATABASE_HOST"], "name": database.name, "password": gate["DATABASE_PASSWORD"],
            "upstream": upstream, "queue": f"{sqs}/1/usage",
        }  # fmt: skip
        environment = dict(aws_environment(sqs))
        proxies = Proxies(listener=listener, settings=settings, environment=environment, logs=logs)
        clients = Clients(port=listener.getsockname()[1], key=key, requests=REQUESTS)
        for _ in range(PROXIES):
            proxies.start()
        try:
            yield Run(kind=kind, seed=seed, database=database, queue=queue, proxies=proxies, clients=clients)
        finally:
            proxies.discard()


def played(kind: str, seed: int, database: TestDatabase, logs: Path) -> dict[str, Any]:
    with prepared(kind, seed, database, logs) as run:
        run.play()
        run.settle()
        verdict = run.verdict()
    print(json.dumps(verdict))
    return verdict


def test_every_admitted_request_is_one_row_and_every_published_event_counts(databases: TestDatabase, tmp_path: Path) -> None:
    verdict = played("sound", 20261121, databases, tmp_path)
    assert FAULTLESS.items() <= verdict.items()
    assert verdict["kills"] == KILLS
    assert min(verdict[name] for name in ("sqs_failed_before", "sqs_failed_after", "logged", "replaced", "lost_rows")) > 0


def test_the_harness_catches_a_proxy_that_forgets_what_the_queue_does_not_take(databases: TestDatabase, tmp_path: Path) -> None:
    verdict = played("forgetful", 7, databases, tmp_path)
    assert verdict["forgotten"] > 0
