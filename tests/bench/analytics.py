"""`make bench`: what usage answers take over ten million rows (QUICK=1: one million), against a scan of the rows; and how many
rows a second the writer records, against a bare COPY.

Answers are asked for as the admin API's function does, under the role that only reads; figures are medians.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from navplane.ingest.price import price
from navplane.store import exports, request_logs, request_rows, usage
from navplane.store.completeness import complete_to
from navplane.store.database import Connection, Database
from navplane.store.request_filter import Wanted
from navplane.store.usage import Dimension, Interval, Measure, Selection
from navplane.store.usage_source import Piece, source
from navplane_local.postgres import EmbeddedPostgres

from tests.bench.analytics_rows import DAYS, Made, key_of, make
from tests.support.postgres import TestCluster, TestDatabase
from tests.support.usage_events import usage_event

ROOT = Path(__file__).parents[2]
ROWS = int(os.environ.get("BENCH_ROWS") or (1_000_000 if os.environ.get("QUICK") else 10_000_000))
ROUNDS = 5
BATCH, BATCHES = 500, 10
PSYCOPG = "psycopg[binary]==3.2.10"
Ask = Callable[[Connection], Any]


def questions(made: Made) -> dict[str, tuple[UUID | None, Ask]]:
    """What the pages ask, by name: whose it is, and how it is asked."""
    mine = made.busiest.org_id
    month = Selection(start=made.end - timedelta(days=30), end=made.end)
    whole = replace(month, start=made.end - timedelta(days=DAYS))
    # As the page asks by default: until now, which is within an hour.
    ragged = replace(month, start=month.start + timedelta(minutes=17), end=made.end - timedelta(minutes=13))
    of_one = replace(whole, only={Dimension.KEY: key_of(mine, 7)})

    def broken(selection: Selection, *by: Dimension) -> Ask:
        return lambda db: usage.breakdown(db, org_id=mine, selection=selection, by=by, limit=50, measure=Measure.COST)

    def daily(selection: Selection) -> Ask:
        return lambda db: usage.timeseries(db, org_id=mine, selection=selection, interval=Interval.DAY, zone="Europe/Berlin")

    def listed(**values: Any) -> Ask:
        return lambda db: request_rows.list_requests(db, org_id=mine, limit=50, wanted=Wanted(values=values))

    return {
        "summary, 30 days": (mine, lambda db: usage.summary(db, org_id=mine, selection=month)),
        "summary, 30 days within an hour": (mine, lambda db: usage.summary(db, org_id=mine, selection=ragged)),
        "summary, 90 days": (mine, lambda db: usage.summary(db, org_id=mine, selection=whole)),
        "by model, 90 days": (mine, broken(whole, Dimension.MODEL)),
        "by key, 90 days": (mine, broken(whole, Dimension.KEY)),
        "by user and model, 30 days": (mine, broken(month, Dimension.USER, Dimension.MODEL)),
        "days of Berlin, 90 days": (mine, daily(whole)),
        "days of Berlin, one key": (mine, daily(of_one)),
        "all organizations, 90 days": (None, lambda db: usage.summary(db, org_id=None, selection=whole)),
        "up to when": (mine, lambda db: complete_to(db, org_id=mine)),
        "last 50 requests": (mine, listed()),
        "last 50 failed": (mine, listed(outcome="failed")),
        "last 50 of a key": (mine, listed(key_id=key_of(mine, 7))),
        "last 50 of a key that is never used": (mine, listed(key_id=key_of(mine, -1))),
        "last 50 of a model": (mine, listed(model="claude-sonnet-4-5")),
        "last 50 of a model that nobody uses": (mine, listed(model="gpt-2")),
        "last 50 of a status that never was": (mine, listed(status=418)),
        "last 50 of an error that never was": (mine, listed(error_code="upstream_redirect")),
        "last 50 of lost usage": (mine, listed(usage_quality="lost")),
        "last 50 of everybody, of a provider": (
            None,
            lambda db: request_rows.list_requests(db, org_id=None, limit=50, wanted=Wanted(values={"provider": "google"})),
        ),
        "last 50 that were terminated": (mine, listed(outcome="terminated")),
        "FOCUS, 90 days": (
            mine,
            lambda db: exports.daily(db, org_id=mine, start=whole.start, end=whole.end, limit=5001),
        ),
    }


def scan(made: Made, days: int) -> tuple[UUID, Ask]:
    """The summary, row by row."""
    selection = Selection(start=made.end - timedelta(days=days), end=made.end)
    piece = Piece(start=selection.start, end=selection.end, summed=None)
    sql, arguments = source([piece], selection, org_id=made.busiest.org_id, by=frozenset())
    return made.busiest.org_id, lambda db: db.run(
        f"SELECT count(*), sum(cost_usd), sum(input_tokens) FROM ({sql}) AS u", **arguments
    )


def milliseconds(database: TestDatabase, org_id: UUID | None, ask: Ask, *, rounds: int = ROUNDS) -> float:
    reader = database.as_role("navplane_reader", timeout_seconds=120)
    taken = []
    for _ in range(rounds + 1):
        with reader.transaction(org_id=org_id, platform=org_id is None) as db:
            started = time.perf_counter()
            ask(db)
            taken.append((time.perf_counter() - started) * 1000)
    # The first one finds nothing in memory.
    return statistics.median(taken[1:])


def writer_rows_a_second(writer: Database, made: Made) -> float:
    batches = [[usage_event(key_id=made.busiest.key_id) for _ in range(BATCH)] for _ in range(BATCHES)]
    started = time.perf_counter()
    for events in batches:
        with writer.transaction() as db:
            request_logs.record(db, events, price=price)
    return BATCH * BATCHES / (time.perf_counter() - started)


def copied_rows_a_second(server: EmbeddedPostgres, database: TestDatabase) -> float:
    """Of the same row over and over, as the writer has left it."""
    with database.superuser() as db:
        [[row]] = db.run("SELECT to_json(log) FROM public.request_logs AS log ORDER BY request_id DESC LIMIT 1")
    kept = {name: value for name, value in row.items() if name not in ("request_id", "created_at") and value is not None}
    given = json.dumps([server.database_url(database=database.name), kept])
    command = [str(psycopg_python()), str(Path(__file__).with_name("analytics_copy.py"))]
    return float(subprocess.run(command, input=given, capture_output=True, text=True, check=True, timeout=600).stdout)


def psycopg_python() -> Path:
    """An interpreter with psycopg 3, in .build/bench-psycopg, which is made when there is none."""
    home, uv = ROOT / ".build" / "bench-psycopg", ROOT / ".venv-uv" / "bin" / "uv"
    python = home / "bin" / "python"
    if not (home / "ready").exists():
        shutil.rmtree(home, ignore_errors=True)
        subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, home], check=True)
        subprocess.run([uv, "pip", "install", "--quiet", "--python", python, PSYCOPG], check=True)
        (home / "ready").touch()
    return python


def run() -> dict[str, Any]:
    directory = ROOT / ".build" / "bench-analytics"
    directory.mkdir(parents=True, exist_ok=True)
    server = EmbeddedPostgres(directory / "postgres", durable=False)
    # A run that was cut short left its own.
    server.wipe()
    try:
        server.start()
        cluster = TestCluster(server)
        database = cluster.copy()
        with database.superuser() as superuser:
            started = time.perf_counter()
            made = make(superuser, rows=ROWS)
            making = time.perf_counter() - started
        server.stop()
        # What is measured is measured as it is kept: a commit is on the disk when it is answered.
        cluster.server = server = EmbeddedPostgres(directory / "postgres")
        server.start()
        return {"rows": ROWS, "made_in_s": round(making), **measured(server, database, made)}
    finally:
        server.wipe()


def measured(server: EmbeddedPostgres, database: TestDatabase, made: Made) -> dict[str, Any]:
    scans = {days: milliseconds(database, *scan(made, days), rounds=2) for days in (30, 90)}
    asked = {name: milliseconds(database, *question) for name, question in questions(made).items()}
    writer = database.as_role("navplane_writer", timeout_seconds=60, size=1)
    pairs = [(writer_rows_a_second(writer, made), copied_rows_a_second(server, database)) for _ in range(ROUNDS + 1)]
    # The first batch prepares its statement.
    written, copied = (statistics.median(figures[1:]) for figures in zip(*pairs, strict=True))
    return {
        "scan_30_days_ms": round(scans[30], 1),
        "scan_90_days_ms": round(scans[90], 1),
        "ms": {name: round(taken, 2) for name, taken in asked.items()},
        "rollup_by_scan": round(asked["summary, 30 days"] / scans[30], 5),
        "writer_rows_per_s": round(written),
        "psycopg_copy_rows_per_s": round(copied),
        "writer_by_copy": round(written / copied, 3),
    }


def report(result: dict[str, Any]) -> None:
    print(f"\nanalytics over {result['rows']:,} rows, made in {result['made_in_s']} s; four fifths are one organization's")
    for days in (30, 90):
        print(f"  {f'{days} days, row by row':38}{result[f'scan_{days}_days_ms']:>12.1f} ms")
    for name, taken in result["ms"].items():
        print(f"  {name:38}{taken:>12.2f} ms")
    print(f"  rollup ÷ scan, 30 days {result['rollup_by_scan']:.5f} (goal: at most 1/20)")
    written, ratio = result["writer_rows_per_s"], result["writer_by_copy"]
    print(f"  writer, {BATCH} a batch {written:,} rows/s, {ratio:.3f} of psycopg's COPY (goal: at least .25)")
    print(json.dumps(result))


if __name__ == "__main__":
    report(run())
