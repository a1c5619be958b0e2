"""Re-pricing under SIGKILL: two runners at once, killed at random points, and every row is weighed again exactly once.

Each run prints one JSON line. REPRICE_ROWS and REPRICE_KILLS make it longer.
"""

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from navplane.gate.gate import Caller
from navplane.ingest.recording import record_what_can_be
from navplane.model.ids import new_id
from navplane.model.ledger_job import LedgerJob, LedgerJobKind
from navplane.model.price import AgreedRates, PriceOverride
from navplane.model.usage import Usage
from navplane.store import ledger_jobs, price_overrides, rollups
from navplane.store.database import Connection

from tests.support.postgres import TestDatabase
from tests.support.tenants import seed_caller, seed_reservations
from tests.support.usage_events import usage_event

ROWS = int(os.environ.get("REPRICE_ROWS", "400"))
KILLS = int(os.environ.get("REPRICE_KILLS", "3"))
# The mutant's two would be in each other's way.
RUNNERS = {"sound": 2, "advance_first": 1}
PATIENCE_SECONDS = max(60.0, ROWS / 50)
NOW = datetime.now(UTC)
# Per row 100 × 1.25 µUSD by the list, and 100 × 3 µUSD by what was agreed.
BEFORE, AFTER = Decimal("0.000125"), Decimal("0.0003")


def prepare(database: TestDatabase, superuser: Connection) -> Caller:
    caller = seed_caller(superuser)
    events = [
        usage_event(now=NOW - timedelta(milliseconds=10 * n), key_id=caller.key_id, usage=Usage(input_tokens=100))
        for n in range(ROWS)
    ]
    seed_reservations(superuser, caller, [event.request_id for event in events])
    writer = database.as_role("navplane_writer")
    for start in range(0, ROWS, 500):
        record_what_can_be(writer, events[start : start + 500])
    rates = AgreedRates(input_usd=Decimal("0.000003"), output_usd=Decimal(0))
    since = NOW - timedelta(days=20)
    override = PriceOverride(
        id=new_id(), provider="openai", model="gpt-5", effective_from=since, effective_to=None, rates=rates, created_at=NOW
    )
    job = LedgerJob(
        id=new_id(), org_id=caller.org_id, kind=LedgerJobKind.REPRICE, starts_at=since, ends_at=NOW + timedelta(seconds=1),
        requested_by="the harness", created_at=NOW,
    )  # fmt: skip
    with database.as_role("navplane_admin").transaction(org_id=caller.org_id) as db:
        price_overrides.insert(db, override, org_id=caller.org_id)
        assert ledger_jobs.insert(db, job)
    return caller


def play(database: TestDatabase, superuser: Connection, kind: str, seed: int) -> int:
    """At random points of the progress a runner is killed and replaced. How many were killed."""
    settings = database.settings("navplane_writer")
    where = {"host": settings["DATABASE_HOST"], "name": database.name, "password": settings["DATABASE_PASSWORD"]}
    command = [sys.executable, "-m", "tests.faults.repricing_runner", json.dumps({"kind": kind, **where})]
    dice = random.Random(seed)
    runners = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for _ in range(RUNNERS[kind])]
    try:
        for point in sorted(dice.randrange(1, ROWS * 9 // 10) for _ in range(KILLS)):
            wait(lambda point=point: progress(superuser)[1] >= point)  # type: ignore[misc]
            n = dice.randrange(len(runners))
            runners[n].kill()
            runners[n].wait()
            runners[n] = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        wait(lambda: progress(superuser)[0] != "running")
    finally:
        for runner in runners:
            runner.kill()
            runner.wait()
    return KILLS


def progress(superuser: Connection) -> tuple[str, int]:
    [[state, seen]] = superuser.run("SELECT state, rows_seen FROM ledger_jobs")
    return ("running" if state == "waiting" else state), seen


def wait(done: Callable[[], bool]) -> None:
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while not done():
        assert time.monotonic() < give_up_at, "the job does not move on"
        time.sleep(0.002)


def verdict(database: TestDatabase, superuser: Connection, kind: str, seed: int, kills: int) -> dict[str, Any]:
    entered = superuser.run(
        "SELECT count(*) FILTER (WHERE n <> 2), count(*) FILTER (WHERE amount <> :after), count(*)"
        " FROM (SELECT count(*) AS n, sum(amount_usd) AS amount FROM ledger_entries GROUP BY request_id) AS each",
        after=AFTER,
    )[0]
    [[state, seen, changed, cost]] = superuser.run("SELECT state, rows_seen, rows_changed, cost_change_usd FROM ledger_jobs")
    with database.as_role("navplane_writer").connection() as db:
        drift = rollups.drift(db, since=NOW - timedelta(days=2))
    found = {
        "harness": "repricing",
        "runner": kind,
        "seed": seed,
        "rows": entered[2],
        "kills": kills,
        "state": state,
        "rows_off": abs(seen - ROWS) + abs(changed - ROWS),
        "entries_off": entered[0] + entered[1],
        "nano_usd_off": int((cost - ROWS * (AFTER - BEFORE)) * 10**9),
        "uncharged": superuser.run("SELECT count(*) FROM reservations WHERE nano_usd <> 300000")[0][0],
        "sums_off": drift,
    }
    print(json.dumps(found))
    return found


FAULTLESS = {"state": "done", "rows_off": 0, "entries_off": 0, "nano_usd_off": 0, "uncharged": 0, "sums_off": 0}


def played(database: TestDatabase, kind: str, seed: int) -> dict[str, Any]:
    with database.superuser() as superuser:
        prepare(database, superuser)
        kills = play(database, superuser, kind, seed)
        return verdict(database, superuser, kind, seed, kills)


def test_every_row_is_weighed_again_exactly_once(databases: TestDatabase) -> None:
    found = played(databases, "sound", 20261121)
    assert FAULTLESS.items() <= found.items()
    assert found["kills"] == KILLS


def test_the_harness_catches_a_runner_that_moves_on_first(databases: TestDatabase) -> None:
    found = played(databases, "advance_first", 7)
    assert found["entries_off"] > 0
