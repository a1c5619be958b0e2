"""Totals of the usage API, of exported files, of SQL over the requests and of the ledger agree, and files are the same bytes
answered or made as jobs: through re-pricing, retention and a rebuild."""

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from fastapi.testclient import TestClient
from navplane.admin import export_parts, exports, usage
from navplane.admin.access import Access
from navplane.admin.app import create
from navplane.admin.export_work import ExportWork
from navplane.admin.plane import Plane
from navplane.crypto.token import TokenVerifier
from navplane.gate.gate_postgres import PostgresGate
from navplane.ingest.ledger_jobs import LedgerJobs
from navplane.ingest.recording import record_what_can_be
from navplane.ingest.upkeep import drop_old_months, month_before
from navplane.model.usage import Outcome, Usage, UsageQuality
from navplane.store import rollup_checks, rollups
from navplane.store.database import Database
from navplane_local.issuer import Issuer

from tests.support.postgres import TestDatabase
from tests.support.usage_events import usage_event

NOW = datetime.now(UTC)
TODAY = NOW.replace(hour=0, minute=0, second=0, microsecond=0)
KEPT = 3
OLD = month_before(NOW, KEPT + 1)
SPAN = {"start": OLD.isoformat(), "end": TODAY.isoformat()}
SUMMED = ("requests", "failed_requests", "unpriced_requests", "inexact_requests", "input_tokens", "output_tokens", "cost_usd")
Totals = Mapping[str, Any]
Rows = Sequence[Mapping[str, str]]


@pytest.fixture
def writer(module_database: TestDatabase) -> Database:
    with module_database.superuser() as superuser:
        superuser.run("SELECT public.ensure_request_log_partitions(:old, :months)", old=OLD, months=KEPT + 2)
    return module_database.as_role("navplane_writer")


@pytest.fixture
def org(organization: dict[str, str], module_database: TestDatabase, writer: Database) -> UUID:
    """With calls of every kind, in the oldest month and in the last three days."""
    org_id = UUID(organization["id"])
    with module_database.superuser() as superuser:
        [[key_id]] = superuser.run("SELECT id FROM api_keys WHERE org_id = :id", id=org_id)
    kinds: list[dict[str, Any]] = [
        {"model": "gpt-5"}, {"provider": "anthropic", "model": "claude-sonnet-4-5"}, {"model": "nobody-knows-it"},
        {"outcome": Outcome.FAILED, "status": 500, "usage": Usage()}, {"demo": True},
        {"usage_quality": UsageQuality.ESTIMATED, "usage": Usage(input_tokens=5000)},
        {"provider": "openrouter", "model": "x/y", "provider_cost_usd": Decimal("0.000000007")},
    ]  # fmt: skip
    for begin in (OLD, TODAY - timedelta(days=3)):
        moments = [begin + n * timedelta(minutes=90, seconds=7) for n in range(40)]
        record_what_can_be(
            writer, [usage_event(now=now, key_id=key_id, **kinds[n % len(kinds)]) for n, now in enumerate(moments)]
        )
    return org_id


@pytest.fixture
def reading(module_database: TestDatabase, plane: Plane, issuer: Issuer) -> TestClient:
    """admin_analytics, as it is wired: navplane_reader and nothing else."""
    reader = module_database.as_role("navplane_reader")
    verifier, subjects = TokenVerifier(issuer.url, "navplane"), frozenset({"local|admin"})
    access = Access(verifier, database=reader, admin_subjects=subjects, records_users=False)
    reading = Plane(database=reader, access=access, region=plane.region, key_prefixes=plane.key_prefixes)
    app = create(title="analytics", routers=(usage.router, exports.router, export_parts.router), plane=reading)
    return TestClient(app, headers={"authorization": f"Bearer {issuer.mint('local|admin')}"})


@pytest.fixture
def shown(reading: TestClient, org: UUID) -> Callable[[], Totals]:
    """What the usage API says, in the three ways in which it says it; they must agree among themselves."""

    def ask(what: str, **params: Any) -> Any:
        answer = reading.get(f"/admin/orgs/{org}/usage/{what}", params={**SPAN, **params})
        assert answer.status_code == 200, answer.text
        return answer.json()

    def totals() -> Totals:
        whole = _totals(ask("summary")["totals"])
        broken = ask("breakdown", by=["provider", "model"], limit=2)
        assert _totals(broken["totals"]) == whole
        assert _add([*(group["totals"] for group in broken["groups"]), broken["other"]]) == whole
        assert _add([point["totals"] for point in ask("timeseries", interval="day")["points"]]) == whole
        return whole

    return totals


DAYS = {name: moment[:10] for name, moment in SPAN.items()}
FILES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "requests": ({**SPAN, "demo": False}, {"only": {"demo": False}}),
    "usage": ({**SPAN, "by": ["key_id", "model"]}, {"by": ["key_id", "model"]}),
    "focus": (DAYS, {}),
}


@pytest.fixture
def files(api: TestClient, reading: TestClient, org: UUID, writer: Database) -> Callable[[], Mapping[str, Rows]]:
    """The rows of each CSV file, which is the same answered at once and made as a job; as are those of the other formats."""

    def made(subject: str, file_format: str, body: dict[str, Any]) -> bytes:
        asked = {**SPAN, "subject": subject, "format": file_format, **body}
        job = api.post(f"/admin/orgs/{org}/export-jobs", json=asked).json()
        ExportWork(database=writer, rows_a_step=30).run(NOW)
        job = api.get(f"/admin/orgs/{org}/export-jobs/{job['id']}").json()
        parts = f"/admin/orgs/{org}/export-jobs/{job['id']}/parts"
        return b"".join(reading.get(f"{parts}/{number}").content for number in range(1, job["parts"] + 1))

    def read() -> Mapping[str, Rows]:
        found = {}
        for subject, (query, body) in FILES.items():
            for file_format in ("json", "csv"):
                answered = reading.get(f"/admin/orgs/{org}/exports/{subject}", params={**query, "format": file_format}).content
                assert made(subject, file_format, body) == answered
            found[subject] = list(csv.DictReader(io.StringIO(answered.decode(), newline="")))
        return found

    return read


def agree(shown: Totals, files: Mapping[str, Rows], rows: Totals) -> None:
    """What pages and files say is the same; a file of requests has those that are still there."""
    assert _add(files["usage"]) == shown
    costs = files["focus"]
    assert sum(Decimal(row["BilledCost"]) for row in costs) == shown["cost_usd"]
    assert sum(int(row["x_Requests"]) for row in costs) == shown["requests"]
    assert sum(int(row["x_InputTokens"]) for row in costs) == shown["input_tokens"]
    listed = files["requests"]
    assert len(listed) == rows["requests"]
    assert sum(Decimal(row["cost_usd"] or 0) for row in listed) == rows["cost_usd"]
    assert sum(int(row["output_tokens"]) for row in listed) == rows["output_tokens"]


def _totals(found: Totals) -> dict[str, Decimal]:
    return {name: Decimal(str(found[name])) for name in SUMMED}


def _add(parts: Sequence[Totals]) -> dict[str, Decimal]:
    return {name: sum((Decimal(str(part[name])) for part in parts), Decimal(0)) for name in SUMMED}


def of_the_rows(database: TestDatabase, org: UUID) -> dict[str, Decimal]:
    with database.superuser() as superuser:
        row = superuser.run(
            "SELECT count(*), count(*) FILTER (WHERE outcome <> 'ok'), count(*) FILTER (WHERE price_quality = 'unpriced'),"
            " count(*) FILTER (WHERE usage_quality <> 'exact'), sum(input_tokens), sum(output_tokens), sum(cost_usd)"
            " FROM request_logs WHERE org_id = :org AND NOT demo",
            org=org,
        )[0]
    return {name: Decimal(value) for name, value in zip(SUMMED, row, strict=True)}


def of_the_ledger(database: TestDatabase, org: UUID) -> Decimal:
    with database.superuser() as superuser:
        return Decimal(superuser.run("SELECT sum(amount_usd) FROM ledger_entries WHERE org_id = :org", org=org)[0][0])


def work(writer: Database) -> None:
    LedgerJobs(database=writer, gate=PostgresGate(writer)).run(now=NOW, seconds=120)


def test_totals_agree_before_and_after_re_pricing_retention_and_a_rebuild(
    api: TestClient,
    org: UUID,
    shown: Callable[[], Totals],
    files: Callable[[], Mapping[str, Rows]],
    writer: Database,
    module_database: TestDatabase,
) -> None:
    recorded = shown()
    assert recorded == of_the_rows(module_database, org)
    agree(recorded, files(), of_the_rows(module_database, org))
    assert recorded["cost_usd"] == of_the_ledger(module_database, org) > 0

    for model in ("gpt-5", "nobody-knows-it"):
        terms = {
            "provider": "openai", "model": model, "effective_from": OLD.isoformat(), "input_usd_per_million": "3",
            "output_usd_per_million": "7",
        }  # fmt: skip
        assert api.post(f"/admin/orgs/{org}/price-overrides", json=terms).status_code == 201
    job = api.post(f"/admin/orgs/{org}/ledger-jobs", json={"kind": "reprice", "start": OLD.isoformat()}).json()
    work(writer)
    job = api.get(f"/admin/orgs/{org}/ledger-jobs/{job['id']}").json()
    repriced = shown()
    assert repriced == of_the_rows(module_database, org)
    assert repriced["cost_usd"] == of_the_ledger(module_database, org)
    agree(repriced, files(), of_the_rows(module_database, org))
    assert repriced["cost_usd"] - recorded["cost_usd"] == Decimal(job["cost_change_usd"]) != 0
    assert repriced["unpriced_requests"] == recorded["unpriced_requests"] - 12

    for day in range(31):
        with writer.transaction() as db:
            assert rollup_checks.check(db, day=OLD + timedelta(days=day), now=NOW) == 0
    assert drop_old_months(writer, now=NOW, keep_months=KEPT) == 1
    assert shown() == repriced
    assert of_the_rows(module_database, org)["requests"] < repriced["requests"]
    assert of_the_ledger(module_database, org) == repriced["cost_usd"]
    agree(repriced, files(), of_the_rows(module_database, org))

    start = {"kind": "rebuild_rollups", "start": OLD.isoformat()}
    assert api.post(f"/admin/orgs/{org}/ledger-jobs", json=start).status_code == 202
    work(writer)
    assert shown() == repriced
    agree(repriced, files(), of_the_rows(module_database, org))
    with writer.connection() as db:
        first = rollups.first_kept_day(db)
        assert first is not None
        assert rollups.drift(db, since=first) == 0
