"""Re-pricing and rebuilding as jobs: what changes leaves an entry, sums and gate follow, and a step done twice does nothing."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from navplane.gate.gate import Caller
from navplane.gate.gate_postgres import PostgresGate
from navplane.ingest.ledger_jobs import LedgerJobs
from navplane.ingest.recording import record_what_can_be, tell_gate
from navplane.model.ids import new_id
from navplane.model.ledger_job import LedgerJob, LedgerJobKind, LedgerJobState
from navplane.model.price import AgreedRates, PriceOverride
from navplane.model.usage import Outcome, Usage, UsageQuality
from navplane.model.usage_event import UsageEvent
from navplane.store import ledger_jobs, price_overrides, rollups
from navplane.store.database import Connection, Database

from tests.support.postgres import TestDatabase
from tests.support.tenants import reservation_states, seed_caller, seed_reservations
from tests.support.usage_events import usage_event

NOW = datetime.now(UTC)
MIDNIGHT = NOW.replace(hour=0, minute=0, second=0, microsecond=0)
YESTERDAY = MIDNIGHT - timedelta(days=1)
USAGE = Usage(input_tokens=1000, output_tokens=100)
# 1000 × 1.25 + 100 × 10, and 1000 × 2 + 100 × 20
LISTED, AGREED = Decimal("0.00225"), Decimal("0.004")


@pytest.fixture
def superuser(databases: TestDatabase) -> Iterator[Connection]:
    with databases.superuser() as connection:
        yield connection


@pytest.fixture
def writer(databases: TestDatabase) -> Database:
    return databases.as_role("navplane_writer")


@pytest.fixture
def caller(superuser: Connection) -> Caller:
    return seed_caller(superuser)


@pytest.fixture
def runner(writer: Database) -> LedgerJobs:
    return LedgerJobs(database=writer, gate=PostgresGate(writer), rows_a_step=3)


def agree(database: TestDatabase, caller: Caller, *, since: datetime = YESTERDAY) -> UUID:
    rates = AgreedRates(input_usd=Decimal("0.000002"), output_usd=Decimal("0.00002"))
    override = PriceOverride(
        id=new_id(), provider="openai", model="gpt-5", effective_from=since, effective_to=None, rates=rates, created_at=NOW
    )
    with database.as_role("navplane_admin").transaction(org_id=caller.org_id) as db:
        price_overrides.insert(db, override, org_id=caller.org_id)
    return override.id


def start(database: TestDatabase, caller: Caller, kind: LedgerJobKind, **differing: Any) -> UUID:
    fields: dict[str, Any] = {"starts_at": YESTERDAY, "ends_at": NOW + timedelta(seconds=1), **differing}
    job = LedgerJob(id=new_id(), org_id=caller.org_id, kind=kind, requested_by="somebody", created_at=NOW, **fields)
    with database.as_role("navplane_admin").transaction(org_id=caller.org_id) as db:
        assert ledger_jobs.insert(db, job)
    return job.id


def found(database: TestDatabase, caller: Caller, job_id: UUID) -> LedgerJob:
    with database.as_role("navplane_reader").transaction(org_id=caller.org_id) as db:
        job = ledger_jobs.find(db, org_id=caller.org_id, job_id=job_id)
    assert job is not None
    return job


def events_of(caller: Caller, count: int, **differing: Any) -> list[UsageEvent]:
    moments = (NOW - timedelta(seconds=n) for n in range(count))
    return [usage_event(now=moment, key_id=caller.key_id, usage=USAGE, **differing) for moment in moments]


def entries(superuser: Connection, event: UsageEvent) -> list[list[Any]]:
    sql = "SELECT revision, kind, amount_usd, price_source FROM ledger_entries WHERE request_id = :id ORDER BY revision"
    return list(superuser.run(sql, id=event.request_id))


def test_what_was_recorded_is_priced_anew_and_the_difference_is_an_entry(
    databases: TestDatabase, superuser: Connection, writer: Database, caller: Caller, runner: LedgerJobs
) -> None:
    events = events_of(caller, 7)
    seed_reservations(superuser, caller, [event.request_id for event in events])
    tell_gate(runner.gate, writer, record_what_can_be(writer, events).rows, now=NOW)
    agreed = agree(databases, caller)
    job_id = start(databases, caller, LedgerJobKind.REPRICE)
    assert runner.run(now=NOW, seconds=60) == 3
    assert [entries(superuser, event) for event in events] == [
        [[1, "charge", LISTED, "list"], [2, "adjustment", AGREED - LISTED, "override"]]
    ] * 7
    rows = superuser.run("SELECT DISTINCT cost_usd, price_quality, price_version, revision FROM request_logs")
    assert rows == [[AGREED, "priced", f"override {agreed}", 2]]
    job = found(databases, caller, job_id)
    assert (job.state, job.progress, job.rows_seen, job.rows_changed) == (LedgerJobState.DONE, 1.0, 7, 7)
    assert job.cost_change_usd == 7 * (AGREED - LISTED)
    charged = superuser.run("SELECT DISTINCT nano_usd, tokens FROM reservations")
    assert charged == [[4_000_000, 1100]]
    with writer.connection() as db:
        assert rollups.drift(db, since=YESTERDAY) == 0
    assert superuser.run("SELECT sum(cost_usd), sum(requests) FROM usage_daily") == [[7 * AGREED, 7]]


def test_a_second_job_changes_nothing_and_leaves_no_entry(
    databases: TestDatabase, superuser: Connection, writer: Database, caller: Caller, runner: LedgerJobs
) -> None:
    events = events_of(caller, 4)
    record_what_can_be(writer, events)
    agree(databases, caller)
    start(databases, caller, LedgerJobKind.REPRICE)
    runner.run(now=NOW, seconds=60)
    before = superuser.run("SELECT * FROM ledger_entries ORDER BY request_id, revision")
    again = start(databases, caller, LedgerJobKind.REPRICE)
    runner.run(now=NOW, seconds=60)
    assert superuser.run("SELECT * FROM ledger_entries ORDER BY request_id, revision") == before
    job = found(databases, caller, again)
    assert (job.rows_seen, job.rows_changed, job.cost_change_usd) == (4, 0, Decimal(0))


def test_only_the_rows_of_the_span_and_of_the_organization_are_weighed(
    databases: TestDatabase, superuser: Connection, writer: Database, caller: Caller, runner: LedgerJobs
) -> None:
    stranger = seed_caller(superuser)
    inside, before, after = (
        usage_event(now=NOW - timedelta(minutes=minutes), key_id=caller.key_id, usage=USAGE) for minutes in (5, 11, 1)
    )
    theirs = usage_event(now=NOW - timedelta(minutes=5), key_id=stranger.key_id, usage=USAGE)
    record_what_can_be(writer, [inside, before, after, theirs])
    for who in (caller, stranger):
        agree(databases, who)
    span = {"starts_at": NOW - timedelta(minutes=10), "ends_at": NOW - timedelta(minutes=2)}
    start(databases, caller, LedgerJobKind.REPRICE, **span)
    runner.run(now=NOW, seconds=60)
    assert [len(entries(superuser, event)) for event in (inside, before, after, theirs)] == [2, 1, 1, 1]


def test_every_way_in_which_a_price_comes_about_comes_out_the_same_again(
    databases: TestDatabase, superuser: Connection, writer: Database, caller: Caller, runner: LedgerJobs
) -> None:
    """Nothing was agreed and the list is the same: so nothing may change, whatever the row."""
    kinds: list[dict[str, Any]] = [
        {}, {"demo": True}, {"model": "nobody-knows-it"}, {"outcome": Outcome.REFUSED, "usage": Usage(), "status": 403},
        {"usage_quality": UsageQuality.LOST, "outcome": Outcome.LOST, "usage": Usage()}, {"service_tier": "flex"},
        {"provider": "openrouter", "model": "openai/gpt-5", "provider_cost_usd": Decimal("0.000000007")},
        {"provider": None, "model": None, "usage": Usage()}, {"response_model": "gpt-5-mini"},
    ]  # fmt: skip
    events = [usage_event(**{"key_id": caller.key_id, "usage": USAGE, "now": NOW, **kind}) for kind in kinds]
    record_what_can_be(writer, events)
    # As an older release left it: the provider's word stands in the cost alone.
    superuser.run("UPDATE request_logs SET provider_cost_usd = NULL")
    job_id = start(databases, caller, LedgerJobKind.REPRICE)
    runner.run(now=NOW, seconds=60)
    job = found(databases, caller, job_id)
    assert (job.rows_seen, job.rows_changed) == (len(kinds), 0)


def test_the_providers_word_is_remembered_beneath_an_agreed_price(
    databases: TestDatabase, superuser: Connection, writer: Database, caller: Caller, runner: LedgerJobs
) -> None:
    agreed = agree(databases, caller)
    event = usage_event(now=NOW, key_id=caller.key_id, usage=USAGE, provider_cost_usd=Decimal("0.001"))
    record_what_can_be(writer, [event])
    with databases.as_role("navplane_admin").transaction(org_id=caller.org_id) as db:
        price_overrides.end(db, org_id=caller.org_id, override_id=agreed, effective_to=MIDNIGHT)
    start(databases, caller, LedgerJobKind.REPRICE)
    runner.run(now=NOW, seconds=60)
    assert entries(superuser, event) == [
        [1, "charge", AGREED, "override"], [2, "adjustment", Decimal("0.001") - AGREED, "provider"],
    ]  # fmt: skip


def test_a_better_fact_that_comes_later_adds_to_what_re_pricing_made(
    databases: TestDatabase, superuser: Connection, writer: Database, caller: Caller, runner: LedgerJobs
) -> None:
    estimate = usage_event(now=NOW, key_id=caller.key_id, usage=Usage(input_tokens=4000), usage_quality=UsageQuality.ESTIMATED)
    record_what_can_be(writer, [estimate])
    agree(databases, caller)
    start(databases, caller, LedgerJobKind.REPRICE)
    runner.run(now=NOW, seconds=60)
    record_what_can_be(writer, [usage_event(request_id=estimate.request_id, key_id=caller.key_id, usage=USAGE)])
    entered = entries(superuser, estimate)
    assert [entry[0] for entry in entered] == [1, 2, 3]
    assert sum(entry[2] for entry in entered) == AGREED
    with writer.connection() as db:
        assert rollups.drift(db, since=YESTERDAY) == 0


def test_a_rebuild_makes_one_organizations_days_anew_and_no_other(
    databases: TestDatabase, superuser: Connection, writer: Database, caller: Caller, runner: LedgerJobs
) -> None:
    stranger = seed_caller(superuser)
    for who in (caller, stranger):
        moments = (NOW, YESTERDAY, YESTERDAY + timedelta(hours=1))
        record_what_can_be(writer, [usage_event(now=moment, key_id=who.key_id, usage=USAGE) for moment in moments])
    sums = "SELECT * FROM usage_{} ORDER BY org_id, starts_at"
    before = [superuser.run(sums.format(table)) for table in ("hourly", "daily")]
    for table in ("hourly", "daily"):
        superuser.run(f"UPDATE usage_{table} SET cost_usd = cost_usd + 1, requests = 9")
    job_id = start(databases, caller, LedgerJobKind.REBUILD_ROLLUPS)
    assert runner.run(now=NOW, seconds=60) == 2
    job = found(databases, caller, job_id)
    assert (job.state, job.rows_seen) == (LedgerJobState.DONE, 3)
    for table, rows in zip(("hourly", "daily"), before, strict=True):
        after = superuser.run(sums.format(table))
        mine = [row for row in after if row[0] == caller.org_id]
        assert mine == [row for row in rows if row[0] == caller.org_id]
        assert [row for row in after if row[0] == stranger.org_id] != [row for row in rows if row[0] == stranger.org_id]


def test_a_rebuild_leaves_the_sums_of_dropped_months_alone(
    databases: TestDatabase, superuser: Connection, caller: Caller, runner: LedgerJobs
) -> None:
    """Their rows are gone: nothing could make them anew."""
    superuser.run(
        "INSERT INTO usage_daily SELECT :org, gen_random_uuid(), gen_random_uuid(), NULL, 'openai', 'gpt-5', 'models', false,"
        " '2020-01-01T00:00Z', 5, 0, 0, 0, 0, 0, 0, 0, 0, 7",
        org=caller.org_id,
    )
    job_id = start(databases, caller, LedgerJobKind.REBUILD_ROLLUPS, starts_at=datetime(2020, 1, 1, tzinfo=UTC))
    runner.run(now=NOW, seconds=60)
    assert found(databases, caller, job_id).state is LedgerJobState.DONE
    assert superuser.run("SELECT requests, cost_usd FROM usage_daily") == [[5, Decimal(7)]]


def test_what_can_not_go_on_fails_with_a_reason_and_the_next_job_is_done(
    databases: TestDatabase, superuser: Connection, writer: Database, caller: Caller, runner: LedgerJobs
) -> None:
    """An agreed price under which a cost has more digits than its column."""
    stranger = seed_caller(superuser)
    huge = usage_event(now=NOW, key_id=caller.key_id, usage=Usage(input_tokens=2**47))
    theirs = usage_event(now=NOW, key_id=stranger.key_id, usage=USAGE)
    record_what_can_be(writer, [huge, theirs])
    agree(databases, stranger)
    rates = AgreedRates(input_usd=Decimal(99), output_usd=Decimal(0))
    override = PriceOverride(
        id=new_id(), provider="openai", model="gpt-5", effective_from=YESTERDAY, effective_to=None, rates=rates, created_at=NOW
    )
    with databases.as_role("navplane_admin").transaction(org_id=caller.org_id) as db:
        price_overrides.insert(db, override, org_id=caller.org_id)
    broken = start(databases, caller, LedgerJobKind.REPRICE)
    sound = start(databases, stranger, LedgerJobKind.REPRICE)
    runner.run(now=NOW, seconds=60)
    job = found(databases, caller, broken)
    assert (job.state, job.failure) == (LedgerJobState.FAILED, "SQLSTATE 22003")
    assert found(databases, stranger, sound).rows_changed == 1
    assert len(entries(superuser, huge)) == 1


def test_the_row_of_a_reservation_that_is_gone_brings_none_back(
    databases: TestDatabase, superuser: Connection, writer: Database, caller: Caller, runner: LedgerJobs
) -> None:
    superuser.run("SELECT public.ensure_request_log_partitions(now() - interval '3 months', 3)")
    old = usage_event(now=NOW - timedelta(days=40), key_id=caller.key_id, usage=USAGE)
    record_what_can_be(writer, [old])
    agree(databases, caller, since=NOW - timedelta(days=60))
    start(databases, caller, LedgerJobKind.REPRICE, starts_at=NOW - timedelta(days=60))
    runner.run(now=NOW, seconds=60)
    assert len(entries(superuser, old)) == 2
    assert reservation_states(superuser, [old.request_id]) == {}
