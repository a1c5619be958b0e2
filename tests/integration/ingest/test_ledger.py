"""What rows cost, what the ledger says of it, and what they add up to; on a real Postgres, as the writer."""

import itertools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from navplane.gate.gate import Caller
from navplane.ingest.recording import charges, record_what_can_be
from navplane.model.ids import RequestId, new_id
from navplane.model.usage import Outcome, PriceQuality, Usage, UsageQuality
from navplane.model.usage_event import UsageEvent
from navplane.store import rollups
from navplane.store.database import Connection, Database
from navplane.store.request_rows import RequestRow
from pg8000.exceptions import DatabaseError

from tests.support.postgres import TestDatabase
from tests.support.tenants import seed_caller
from tests.support.usage_events import usage_event

Rows = Callable[[], list[RequestRow]]
MIDNIGHT = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
USAGE = Usage(input_tokens=1000, cached_input_tokens=300, output_tokens=200, reasoning_tokens=150)


def entries(superuser: Connection, request_id: RequestId) -> list[list[Any]]:
    return list(
        superuser.run(
            "SELECT revision, kind, amount_usd, price_source, price_version FROM ledger_entries WHERE request_id = :id"
            " ORDER BY revision",
            id=request_id,
        )
    )


def agree(superuser: Connection, caller: Caller, **terms: Any) -> None:
    given = {
        "org_id": caller.org_id,
        "id": new_id(),
        "provider": "openai",
        "model": "gpt-5",
        "effective_from": MIDNIGHT,
        **terms,
    }
    columns, values = ", ".join(given), ", ".join(f":{name}_" for name in given)
    superuser.run(
        f"INSERT INTO price_overrides ({columns}) VALUES ({values})", **{f"{name}_": value for name, value in given.items()}
    )


def test_a_priced_row_has_one_entry_however_often_its_event_comes(
    writer: Database, superuser: Connection, caller: Caller, rows: Rows
) -> None:
    event = usage_event(key_id=caller.key_id, usage=USAGE)
    for _ in range(3):
        record_what_can_be(writer, [event, event])
    [row] = rows()
    assert (row.cost_usd, row.price_quality, row.price_version) == (
        Decimal("0.0029125"),
        PriceQuality.PRICED,
        "genai-prices 0.2.3",
    )
    assert entries(superuser, event.request_id) == [[1, "charge", Decimal("0.0029125"), "list", "genai-prices 0.2.3"]]


@pytest.mark.parametrize("order", list(itertools.permutations(UsageQuality)))
def test_in_any_order_the_entries_add_up_to_the_best_fact(
    order: tuple[UsageQuality, ...], writer: Database, superuser: Connection, caller: Caller, rows: Rows
) -> None:
    lost = usage_event(key_id=caller.key_id, usage_quality=UsageQuality.LOST, outcome=Outcome.LOST, usage=Usage())
    same: dict[str, Any] = {"request_id": lost.request_id, "key_id": caller.key_id}
    facts = {
        UsageQuality.LOST: lost,
        UsageQuality.ESTIMATED: usage_event(**same, usage_quality=UsageQuality.ESTIMATED, usage=Usage(input_tokens=8000)),
        UsageQuality.EXACT: usage_event(**same, usage=USAGE, model="gpt-5-2025-08-07"),
    }
    for quality in order:
        record_what_can_be(writer, [facts[quality]])
    [row] = rows()
    entered = entries(superuser, lost.request_id)
    assert row.cost_usd == sum(entry[2] for entry in entered) == Decimal("0.0029125")
    assert [entry[1] for entry in entered] == ["charge" if entry[0] == 1 else "adjustment" for entry in entered]
    with writer.connection() as db:
        assert rollups.drift(db, since=MIDNIGHT - timedelta(days=1)) == 0


def test_what_was_estimated_too_high_is_given_back_by_an_adjustment(
    writer: Database, superuser: Connection, caller: Caller
) -> None:
    estimate = usage_event(key_id=caller.key_id, usage_quality=UsageQuality.ESTIMATED, usage=Usage(input_tokens=8000))
    exact = usage_event(request_id=estimate.request_id, key_id=caller.key_id, usage=USAGE)
    for event in (estimate, exact, estimate, exact):
        record_what_can_be(writer, [event])
    assert [entry[:3] for entry in entries(superuser, estimate.request_id)] == [
        [1, "charge", Decimal("0.01")],
        [2, "adjustment", Decimal("-0.0070875")],
    ]


@pytest.mark.parametrize(
    ("differing", "cost"),
    [
        ({"outcome": Outcome.REFUSED, "usage": Usage(), "status": 403}, Decimal(0)),
        ({"demo": True}, None),
        ({"model": "nobody-knows-it"}, None),
        ({"usage_quality": UsageQuality.LOST, "usage": Usage(), "outcome": Outcome.LOST}, None),
    ],
)
def test_what_is_not_billed_and_what_has_no_price_leaves_no_entry(
    writer: Database, superuser: Connection, caller: Caller, rows: Rows, differing: dict[str, Any], cost: Decimal | None
) -> None:
    event = usage_event(key_id=caller.key_id, **differing)
    record_what_can_be(writer, [event])
    [row] = rows()
    assert row.cost_usd == cost
    assert row.price_quality is (PriceQuality.UNPRICED if cost is None else PriceQuality.PRICED)
    assert entries(superuser, event.request_id) == []


def test_the_gate_is_charged_in_whole_nano_usd(writer: Database, caller: Caller) -> None:
    event = usage_event(key_id=caller.key_id, usage=Usage(input_tokens=1, cached_input_tokens=1))
    recorded = record_what_can_be(writer, [event])
    assert charges(recorded.rows)[event.request_id].nano_usd == 125


# -- prices that were agreed ---------------------------------------------------------------------------------------------

TERMS = {
    "input_usd": Decimal("0.000002"),
    "output_usd": Decimal("0.000003"),
    "cached_input_usd": Decimal("0.0000005"),
    "cache_write_5m_usd": Decimal("0.000004"),
    "cache_write_1h_usd": Decimal("0.000005"),
    "audio_input_usd": Decimal("0.000006"),
    "audio_output_usd": Decimal("0.000007"),
    "web_search_usd": Decimal("0.01"),
    "request_usd": Decimal("0.0001"),
}
EVERYTHING = Usage(
    input_tokens=100, cached_input_tokens=10, cache_write_5m_tokens=20, cache_write_1h_tokens=30, audio_input_tokens=5,
    output_tokens=50, reasoning_tokens=8, audio_output_tokens=7, web_searches=2,
)  # fmt: skip
# 35 × 2 + 10 × 0.5 + 20 × 4 + 30 × 5 + 5 × 6 + 43 × 3 + 7 × 7 µUSD + 2 × 0.01 + 0.0001
AGREED = Decimal("0.020613")


def test_an_agreed_price_goes_before_the_provider_and_the_list(
    writer: Database, superuser: Connection, caller: Caller, rows: Rows
) -> None:
    agree(superuser, caller, **TERMS)
    event = usage_event(key_id=caller.key_id, usage=EVERYTHING, provider_cost_usd=Decimal(1))
    record_what_can_be(writer, [event])
    [row] = rows()
    assert (row.cost_usd, row.price_quality) == (AGREED, PriceQuality.PRICED)
    [[_, kind, amount, source, version]] = entries(superuser, event.request_id)
    assert (kind, amount, source) == ("charge", AGREED, "override")
    assert version == row.price_version
    assert version.startswith("override ")


def test_an_agreed_price_holds_for_requests_of_its_time_and_not_for_what_is_recorded_in_it(
    writer: Database, superuser: Connection, caller: Caller, rows: Rows
) -> None:
    noon = MIDNIGHT - timedelta(hours=12)
    agree(
        superuser, caller, input_usd=Decimal("0.001"), output_usd=0, effective_from=noon, effective_to=noon + timedelta(hours=1)
    )
    agree(superuser, caller, input_usd=Decimal("0.002"), output_usd=0, effective_from=noon + timedelta(hours=1))
    times = [noon - timedelta(seconds=1), noon, noon + timedelta(minutes=59), noon + timedelta(hours=1), MIDNIGHT]
    events = [usage_event(now=now, key_id=caller.key_id, usage=Usage(input_tokens=10)) for now in times]
    record_what_can_be(writer, list(reversed(events)))
    assert [row.cost_usd for row in reversed(rows())] == [
        Decimal(cost) for cost in ("0.0000125", "0.01", "0.01", "0.02", "0.02")
    ]


def test_a_price_is_agreed_with_one_organization_only(
    writer: Database, superuser: Connection, caller: Caller, rows: Rows
) -> None:
    agree(superuser, seed_caller(superuser), **TERMS)
    agree(superuser, caller, **{**TERMS, "provider": "azure"})
    record_what_can_be(writer, [usage_event(key_id=caller.key_id, usage=USAGE)])
    assert [row.cost_usd for row in rows()] == [Decimal("0.0029125")]


@pytest.mark.parametrize(
    "differing", [{"demo": True}, {"outcome": Outcome.REFUSED, "usage": Usage()}, {"usage": Usage(cached_input_tokens=1)}]
)
def test_no_agreement_charges_what_is_not_charged(
    writer: Database, superuser: Connection, caller: Caller, differing: dict[str, Any]
) -> None:
    agree(superuser, caller, **TERMS)
    event = usage_event(key_id=caller.key_id, **differing)
    record_what_can_be(writer, [event])
    assert entries(superuser, event.request_id) == []


def test_nobody_changes_an_entry_and_an_agreed_price_can_only_be_ended(module_database: TestDatabase, writer: Database) -> None:
    for statement in ("UPDATE public.ledger_entries SET amount_usd = 0", "DELETE FROM public.ledger_entries"):
        with pytest.raises(DatabaseError, match="42501"), writer.connection() as db:
            db.run(statement)
    with pytest.raises(DatabaseError, match="42501"), module_database.as_role("navplane_admin").connection() as db:
        db.run("UPDATE public.price_overrides SET input_usd = 0")


# -- sums ----------------------------------------------------------------------------------------------------------------

SUMS = """
SELECT sum(requests), sum(failed_requests), sum(unpriced_requests), sum(inexact_requests), sum(input_tokens),
       sum(output_tokens), sum(cost_usd), count(*) FROM public.{table} WHERE org_id = :org
"""


def mixed(caller: Caller) -> list[UsageEvent]:
    """A few of each kind, over two days, with a name that no index would take."""
    kinds: list[dict[str, Any]] = [
        {"usage": USAGE}, {"usage": USAGE, "model": "x" * 9000}, {"outcome": Outcome.FAILED, "usage": Usage(), "status": 500},
        {"usage_quality": UsageQuality.ESTIMATED, "usage": Usage(input_tokens=2**62)}, {"provider": None, "model": None},
        {"usage_quality": UsageQuality.ESTIMATED, "usage": Usage(input_tokens=2**62)}, {"demo": True},
    ]  # fmt: skip
    return [
        usage_event(now=MIDNIGHT - timedelta(hours=hours), key_id=caller.key_id, **kind)
        for kind in kinds
        for hours in (1, 2, 25)
    ]


def test_the_sums_are_those_of_the_rows_whatever_superseded_what(
    writer: Database, superuser: Connection, caller: Caller, rows: Rows
) -> None:
    events = mixed(caller)
    record_what_can_be(writer, events)
    better = [
        usage_event(request_id=event.request_id, key_id=caller.key_id, usage=USAGE, provider="anthropic") for event in events
    ]
    record_what_can_be(writer, better[:4] + events)
    stand = rows()
    costs = sum((row.cost_usd for row in stand if row.cost_usd is not None), Decimal(0))
    for table in ("usage_hourly", "usage_daily", "org_usage_hourly", "org_usage_daily"):
        [[requests, failed, unpriced, inexact, tokens_in, tokens_out, cost, _]] = superuser.run(
            SUMS.format(table=table), org=caller.org_id
        )
        assert requests == len(stand) == len(events)
        assert failed == sum(row.outcome is not Outcome.OK for row in stand)
        assert unpriced == sum(row.price_quality is PriceQuality.UNPRICED for row in stand)
        assert inexact == sum(row.usage_quality is not UsageQuality.EXACT for row in stand)
        assert (tokens_in, tokens_out, cost) == (
            sum(row.usage.input_tokens for row in stand), sum(row.usage.output_tokens for row in stand), costs,
        )  # fmt: skip
    with writer.connection() as db:
        assert rollups.drift(db, since=MIDNIGHT - timedelta(days=2)) == 0


@pytest.mark.parametrize("rollup", rollups.ROLLUPS, ids=lambda rollup: rollup.table.removeprefix("public."))
def test_a_drift_is_found_and_a_rebuild_mends_it(rollup: rollups.Rollup, databases: TestDatabase) -> None:
    writer, since = databases.as_role("navplane_writer"), MIDNIGHT - timedelta(days=2)
    with databases.superuser() as superuser:
        caller = seed_caller(superuser)
        record_what_can_be(writer, mixed(caller))
        before = superuser.run(SUMS.format(table=rollup.table.removeprefix("public.")), org=caller.org_id)
        for tampering in (
            f"UPDATE {rollup.table} SET cost_usd = cost_usd + 0.000000001 WHERE cost_usd > 0",
            f"DELETE FROM {rollup.table} WHERE demo",
        ):
            superuser.run(tampering)
            with writer.transaction() as db:
                assert rollups.drift(db, since=since) > 0
                rollups.rebuild(db, since=since)
                assert rollups.drift(db, since=since) == 0
        assert superuser.run(SUMS.format(table=rollup.table.removeprefix("public.")), org=caller.org_id) == before


def test_a_row_is_its_users_whose_key_it_was_when_it_was_recorded(
    writer: Database, superuser: Connection, caller: Caller, rows: Rows
) -> None:
    owners = [new_id(), new_id()]
    events = [usage_event(key_id=caller.key_id, usage_quality=UsageQuality.ESTIMATED) for _ in owners]
    for owner, event in zip(owners, events, strict=True):
        superuser.run("INSERT INTO user_identities (id, issuer, subject) VALUES (:id, 'i', :s)", id=owner, s=str(owner))
        superuser.run("UPDATE api_keys SET owner_user_id = :owner WHERE id = :key", owner=owner, key=caller.key_id)
        record_what_can_be(writer, [event])
    record_what_can_be(writer, [usage_event(request_id=events[0].request_id, key_id=caller.key_id)])
    assert {row.request_id: row.user_id for row in rows()} == {
        event.request_id: owner for owner, event in zip(owners, events, strict=True)
    }
    for table in ("usage_hourly", "usage_daily"):
        summed = superuser.run(
            f"SELECT user_id, sum(requests)::int, sum(inexact_requests)::int FROM {table} WHERE org_id = :org GROUP BY 1",
            org=caller.org_id,
        )
        assert sorted(summed) == sorted([[owners[0], 1, 0], [owners[1], 1, 1]])
