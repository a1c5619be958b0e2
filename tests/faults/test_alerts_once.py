"""Each crossing is told exactly once, by two watchers at a time that are killed with SIGKILL anywhere.

Each run prints one JSON line. ALERT_KILLS makes it longer.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime

from navplane.ingest.alerts import watch
from navplane.model.ids import new_id
from navplane.model.limit import LimitKind, window_of
from navplane.store.database import Connection

from tests.support.postgres import TestDatabase

KILLS = int(os.environ.get("ALERT_KILLS", "4"))
LIMITS = 40
WATCHERS = 2
THRESHOLDS = (50, 80, 100)


@dataclass(slots=True)
class Watchers:
    command: list[str]
    _running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self) -> None:
        self._running = [self._one() for _ in range(WATCHERS)]
        for process in self._running:
            self._await(process)

    def kill(self, dice: random.Random) -> None:
        n = dice.randrange(len(self._running))
        self._end(self._running[n])
        self._running[n] = self._one()
        self._await(self._running[n])

    def end(self) -> None:
        for process in self._running:
            self._end(process)

    def _one(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(self.command, stdout=subprocess.PIPE)

    def _await(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        process.send_signal(signal.SIGKILL)
        process.wait(10)
        assert process.stdout is not None
        process.stdout.close()


def seed(superuser: Connection) -> None:
    window = window_of(LimitKind.TOKENS_PER_DAY, datetime.now(UTC))
    for _ in range(LIMITS):
        org_id = new_id()
        superuser.run("INSERT INTO organizations (id, name) VALUES (:id, 'Tests')", id=org_id)
        superuser.run(
            "INSERT INTO limits (org_id, id, scope, scope_id, kind, amount, mode)"
            " VALUES (:org, :id, 'organization', :org, 'tokens_per_day', 100, 'normal')",
            org=org_id, id=new_id(),
        )  # fmt: skip
        superuser.run(
            "INSERT INTO limit_counters (org_id, scope, scope_id, kind, window_name, ends_at, used)"
            " VALUES (:org, 'organization', :org, 'tokens_per_day', :window, :ends_at, 0)",
            org=org_id, window=window.name, ends_at=window.ends_at,
        )  # fmt: skip


def play(databases: TestDatabase, kind: str) -> dict[str, object]:
    """Budgets fill up while the watchers look, are killed and are replaced."""
    settings = databases.settings("navplane_writer")
    said = {
        "kind": kind, "host": settings["DATABASE_HOST"], "port": settings["DATABASE_PORT"], "name": settings["DATABASE_NAME"],
        "password": settings["DATABASE_PASSWORD"],
    }  # fmt: skip
    dice, began = random.Random(7), time.monotonic()
    watchers = Watchers([sys.executable, "-m", "tests.faults.alert_watchers", json.dumps(said)])
    with databases.superuser() as superuser:
        seed(superuser)
        watchers.start()
        try:
            for used in range(0, 125, 5):
                superuser.run("UPDATE limit_counters SET used = :used", used=used)
                time.sleep(0.05)
                for _ in range(KILLS * (used + 5) // 125 - KILLS * used // 125):
                    watchers.kill(dice)
        finally:
            watchers.end()
        # Whoever comes next tells what the dead had not told yet.
        if kind == "watch":
            watch(databases.as_role("navplane_writer", size=1), now=datetime.now(UTC))
        rows = superuser.run(
            "SELECT subject, threshold, count(*) FROM notifications WHERE kind = 'budget' GROUP BY 1, 2 ORDER BY 1, 2"
        )
    wanted = LIMITS * len(THRESHOLDS)
    result = {
        "harness": "alerts once", "kind": kind, "crossings": wanted, "kills": KILLS, "told": len(rows),
        "told_twice": sum(row[2] > 1 for row in rows), "seconds": round(time.monotonic() - began, 1),
    }  # fmt: skip
    print(json.dumps(result))
    return result


def test_every_crossing_is_told_exactly_once(databases: TestDatabase) -> None:
    result = play(databases, "watch")
    assert (result["told"], result["told_twice"]) == (result["crossings"], 0)


def test_who_looks_first_and_tells_then_is_caught(databases: TestDatabase) -> None:
    with databases.superuser() as superuser:
        superuser.run("ALTER TABLE notifications DROP CONSTRAINT notifications_once")
    assert play(databases, "look_then_tell")["told_twice"] != 0
