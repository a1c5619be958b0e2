"""Exactly once: consumers killed with SIGKILL, Postgres stopped at once in the middle, duplicates, reorder and poison.

Each run prints one JSON line. LEDGER_REQUESTS, LEDGER_KILLS and LEDGER_RESTARTS make it longer.
"""

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from navplane.gate.gate import Caller
from navplane.ingest.price import price
from navplane.model.usage_event import UsageEvent
from navplane.store import rollups
from navplane.store.database import Connection
from navplane_local.postgres import EmbeddedPostgres

from tests.faults.ledger_plan import Plan, make_plan
from tests.support.postgres import TestCluster, TestDatabase
from tests.support.queue_memory import MemoryQueue, serving
from tests.support.tenants import seed_caller, seed_reservations

REQUESTS = int(os.environ.get("LEDGER_REQUESTS", "1500"))
KILLS = int(os.environ.get("LEDGER_KILLS", "6"))
RESTARTS = int(os.environ.get("LEDGER_RESTARTS", "1"))
CONSUMERS = 2
PATIENCE_SECONDS = max(120.0, REQUESTS / 50)


@pytest.fixture(scope="module")
def cluster() -> Iterator[TestCluster]:
    """A durable one of our own: a committed row must survive that Postgres is stopped at once."""
    with tempfile.TemporaryDirectory(prefix="navplane-faults-") as directory:
        os.chmod(directory, 0o711)
        server = EmbeddedPostgres(Path(directory) / "postgres")
        try:
            server.start()
            yield TestCluster(server)
        finally:
            server.wipe()


@dataclass(slots=True)
class Consumers:
    """Processes that consume; one that is killed is replaced."""

    command: list[str]
    kills: int = 0
    _running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self) -> None:
        self._running = [self._one() for _ in range(CONSUMERS)]

    def kill(self, dice: random.Random) -> None:
        n = dice.randrange(len(self._running))
        self._end(self._running[n])
        self._running[n] = self._one()
        self.kills += 1

    def check(self) -> None:
        assert all(process.poll() is None for process in self._running), "a consumer ended by itself"

    def end(self) -> None:
        for process in self._running:
            self._end(process)

    def _one(self) -> subprocess.Popen[bytes]:
        """Its log lines go nowhere; what it says on standard error is a fault."""
        return subprocess.Popen(self.command, stdout=subprocess.DEVNULL)

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        process.send_signal(signal.SIGKILL)
        process.wait(10)


@dataclass(slots=True, kw_only=True)
class Run:
    """One run of the harness: what was planned, where it went and what was done to it."""

    kind: str
    seed: int
    plan: Plan
    database: TestDatabase
    cluster: TestCluster
    queue: MemoryQueue
    consumers: Consumers
    restarts: int = 0

    def play(self) -> None:
        """Faults fall at random points of the progress, which is counted in deliveries and not in time."""
        dice = random.Random(self.seed)
        faults = ["kill"] * KILLS + ["restart"] * RESTARTS
        dice.shuffle(faults)
        points = sorted(dice.randrange(50, len(self.plan.bodies) - 100) for _ in faults)
        for fault, point in zip(faults, points, strict=True):
            self._wait(lambda point=point: self.queue.deliveries() >= point)  # type: ignore[misc]
            self._restart_postgres() if fault == "restart" else self.consumers.kill(dice)
            self.queue.release_all()
        self._wait(self._drained)

    def _drained(self) -> bool:
        """What a killed consumer had taken must not wait for its visibility to pass."""
        self.queue.release_all()
        return self.queue.waiting() == 0

    def _wait(self, done: Callable[[], bool]) -> None:
        give_up_at = time.monotonic() + PATIENCE_SECONDS
        while not done():
            self.consumers.check()
            assert time.monotonic() < give_up_at, f"{self.queue.waiting()} messages are still queued"
            time.sleep(0.01)

    def _restart_postgres(self) -> None:
        """Like a power cut: nothing is told to anybody, and the next start recovers from the log."""
        server = self.cluster.server
        postmaster = int((server.place.data / "postmaster.pid").read_text().splitlines()[0])
        os.kill(postmaster, signal.SIGQUIT)
        server.stop()
        server.start()
        self.restarts += 1

    def verdict(self) -> dict[str, Any]:
        with self.database.superuser() as db:
            rows = {row[0]: tuple(row[1:]) for row in db.run(ROWS)}
            charged = {row[0]: (row[1], row[2]) for row in db.run(CHARGED)}
            entered = dict(db.run("SELECT request_id, sum(amount_usd) FROM ledger_entries GROUP BY request_id"))
            drift = rollups.drift(db, since=EPOCH)
            summed = db.run("SELECT coalesce(sum(requests), 0), coalesce(sum(cost_usd), 0) FROM usage_daily")[0]
        expected = {
            request_id: (event.usage_quality.value, event.usage.input_tokens, event.usage.output_tokens)
            for request_id, event in self.plan.expected.items()
        }
        owed = {request_id: _owed(event) for request_id, event in self.plan.expected.items()}
        return {
            "harness": "ledger_exactly_once",
            "consumer": self.kind,
            "seed": self.seed,
            "sent": len(self.plan.bodies),
            "deliveries": self.queue.deliveries(),
            "kills": self.consumers.kills,
            "restarts": self.restarts,
            "rows": len(rows),
            "lost": len(expected.keys() - rows.keys()),
            "extra": len(rows.keys() - expected.keys()),
            "wrong": sum(rows[request_id] != fact for request_id, fact in expected.items() if request_id in rows),
            "tokens_off": sum(row[1] + row[2] for row in rows.values()) - sum(fact[1] + fact[2] for fact in expected.values()),
            "uncharged": sum(
                charged.get(request_id) != (fact[1] + fact[2], int(owed[request_id] * 10**9))
                for request_id, fact in expected.items()
            ),
            "entries_off": sum(entered.get(request_id, 0) != cost for request_id, cost in owed.items()),
            "nano_usd_off": int((sum(entered.values()) - sum(owed.values())) * 10**9),
            "sums_off": drift + (summed != [len(expected), sum(owed.values())]),
            "poison_off": len({letter.message.body for letter in self.queue.buried()} ^ set(self.plan.poison)),
        }


ROWS = "SELECT request_id, usage_quality, input_tokens, output_tokens FROM request_logs"
CHARGED = "SELECT request_id, tokens, nano_usd FROM reservations WHERE state = 'final'"
FAULTLESS = {
    "lost": 0, "extra": 0, "wrong": 0, "tokens_off": 0, "uncharged": 0, "entries_off": 0, "nano_usd_off": 0, "sums_off": 0,
    "poison_off": 0,
}  # fmt: skip
EPOCH = datetime(2020, 1, 1, tzinfo=UTC)


def _owed(event: UsageEvent) -> Decimal:
    return price(event).cost_usd or Decimal(0)


@contextmanager
def prepared(kind: str, seed: int, cluster: TestCluster, socket: Path) -> Iterator[Run]:
    database, queue = cluster.copy(), MemoryQueue(seed=seed)
    with database.superuser() as superuser:
        plan = make_plan(seed, requests=REQUESTS, callers=[seed_caller(superuser) for _ in range(3)])
        seed_some_reservations(superuser, plan)
    settings = database.settings("navplane_writer")
    where = {"host": settings["DATABASE_HOST"], "name": database.name, "password": settings["DATABASE_PASSWORD"]}
    argument = json.dumps({"kind": kind, "socket": str(socket), **where})
    consumers = Consumers([sys.executable, "-m", "tests.faults.ledger_consumers", argument])
    for body in plan.bodies:
        queue.send(body)
    with serving(queue, socket):
        consumers.start()
        try:
            yield Run(kind=kind, seed=seed, plan=plan, database=database, cluster=cluster, queue=queue, consumers=consumers)
        finally:
            consumers.end()
            database.drop()


def seed_some_reservations(superuser: Connection, plan: Plan) -> None:
    """Half of the requests were admitted; the others are known by their keys only."""
    for org_id, workspace_id, key_id in superuser.run("SELECT org_id, workspace_id, id FROM api_keys"):
        admitted = [id_ for id_, event in plan.expected.items() if event.key_id == key_id and id_.int % 2]
        seed_reservations(superuser, Caller(org_id=org_id, workspace_id=workspace_id, key_id=key_id), admitted, tokens=1)


def played(kind: str, seed: int, cluster: TestCluster, socket: Path) -> dict[str, Any]:
    with prepared(kind, seed, cluster, socket) as run:
        run.play()
        run.consumers.end()
        verdict = run.verdict()
    print(json.dumps(verdict))
    return verdict


@pytest.mark.parametrize("seed", [20261121])
def test_every_event_counts_exactly_once(seed: int, cluster: TestCluster, tmp_path: Path) -> None:
    verdict = played("sound", seed, cluster, tmp_path / "queue.sock")
    assert (verdict["kills"], verdict["restarts"]) == (KILLS, RESTARTS)
    assert {name: verdict[name] for name in FAULTLESS} == FAULTLESS


@pytest.mark.parametrize(("mutant", "caught_by"), [("naive_insert", "wrong"), ("ack_before_commit", "lost")])
def test_the_harness_catches_the_mutant(mutant: str, caught_by: str, cluster: TestCluster, tmp_path: Path) -> None:
    verdict = played(mutant, 7, cluster, tmp_path / "queue.sock")
    assert verdict[caught_by] > 0
