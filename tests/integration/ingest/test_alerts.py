"""What maintenance sees of every organization, and tells each of, once."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from navplane.gate.gate import Caller
from navplane.ingest.alerts import watch
from navplane.model.ids import new_id
from navplane.store.database import Connection, Database

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def budget(superuser: Connection, caller: Caller, *, used: int, kind: str = "tokens_per_day") -> None:
    superuser.run(
        "INSERT INTO limits (org_id, id, scope, scope_id, kind, amount, mode)"
        " VALUES (:org, :id, 'organization', :org, :kind, 1000, 'normal')",
        org=caller.org_id, id=new_id(), kind=kind,
    )  # fmt: skip
    superuser.run(
        "INSERT INTO limit_counters (org_id, scope, scope_id, kind, window_name, ends_at, used)"
        " VALUES (:org, 'organization', :org, :kind, 'd:2026-11-21', '2026-11-22', :used)",
        org=caller.org_id, kind=kind, used=used,
    )  # fmt: skip


def used_up_to(superuser: Connection, caller: Caller, used: int) -> None:
    superuser.run("UPDATE limit_counters SET used = :used WHERE org_id = :org", used=used, org=caller.org_id)


def day_of(superuser: Connection, caller: Caller, *, days_ago: int, cost: Decimal, unpriced: int = 0) -> None:
    for table, key in (("usage_daily", "key_id, "), ("org_usage_daily", "")):
        superuser.run(
            f"INSERT INTO {table} (org_id, workspace_id, {key}provider, model, endpoint, demo, starts_at, requests,"
            " failed_requests, unpriced_requests, inexact_requests, input_tokens, cached_input_tokens, cache_write_tokens,"
            f" output_tokens, reasoning_tokens, cost_usd) SELECT :org, :workspace, {':key, ' if key else ''}'openai', 'gpt-x',"
            " 'models', false, :day::timestamptz, 1, 0, :unpriced, 0, 0, 0, 0, 0, 0, :cost",
            org=caller.org_id, workspace=caller.workspace_id, unpriced=unpriced, cost=cost,
            day=NOW.replace(hour=0) - timedelta(days=days_ago), **({"key": caller.key_id} if key else {}),
        )  # fmt: skip


def told(superuser: Connection, caller: Caller) -> list[Any]:
    rows: list[Any] = superuser.run(
        "SELECT kind, threshold FROM notifications WHERE org_id = :org ORDER BY kind, threshold", org=caller.org_id
    )
    return rows


def test_each_threshold_is_told_once_in_its_window(writer: Database, superuser: Connection, caller: Caller) -> None:
    budget(superuser, caller, used=499)
    watch(writer, now=NOW)
    assert told(superuser, caller) == []
    used_up_to(superuser, caller, 850)
    for _ in range(3):
        watch(writer, now=NOW)
    assert told(superuser, caller) == [["budget", 50], ["budget", 80]]
    used_up_to(superuser, caller, 1001)
    watch(writer, now=NOW)
    assert told(superuser, caller) == [["budget", 50], ["budget", 80], ["budget", 100]]
    # A new window begins anew.
    superuser.run("UPDATE limit_counters SET window_name = 'd:2026-11-22', used = 600 WHERE org_id = :org", org=caller.org_id)
    watch(writer, now=NOW + timedelta(days=1))
    assert told(superuser, caller).count(["budget", 50]) == 2


@pytest.mark.parametrize(("enabled", "thresholds", "expected"), [(True, [10, 99], [["budget", 10]]), (False, [10], [])])
def test_an_organizations_own_rule_is_the_one_that_holds(
    writer: Database, superuser: Connection, caller: Caller, enabled: bool, thresholds: list[int], expected: list[Any]
) -> None:
    budget(superuser, caller, used=900)
    superuser.run(
        "INSERT INTO alert_rules (org_id, id, kind, enabled, thresholds, sensitivity, floor_usd, created_at)"
        " VALUES (:org, :id, 'budget', :enabled, :thresholds, 6, 1, now())",
        org=caller.org_id, id=new_id(), enabled=enabled, thresholds=thresholds,
    )  # fmt: skip
    watch(writer, now=NOW)
    assert told(superuser, caller) == expected


def test_a_day_that_costs_far_more_than_usual_is_told_once(writer: Database, superuser: Connection, caller: Caller) -> None:
    for days_ago in range(1, 11):
        day_of(superuser, caller, days_ago=days_ago, cost=Decimal(2))
    day_of(superuser, caller, days_ago=0, cost=Decimal("2.5"))
    watch(writer, now=NOW + timedelta(minutes=7))
    assert told(superuser, caller) == [], "days are looked at every quarter of an hour"
    for _ in range(2):
        watch(writer, now=NOW)
    assert told(superuser, caller) == [["spike", 0]]


def test_a_usual_day_and_a_key_without_a_past_are_not_told(writer: Database, superuser: Connection, caller: Caller) -> None:
    day_of(superuser, caller, days_ago=0, cost=Decimal(500))
    day_of(superuser, caller, days_ago=3, cost=Decimal(1))
    watch(writer, now=NOW)
    assert told(superuser, caller) == []


def test_idle_days_belong_to_what_is_usual(writer: Database, superuser: Connection, caller: Caller) -> None:
    day_of(superuser, caller, days_ago=20, cost=Decimal(5))
    day_of(superuser, caller, days_ago=0, cost=Decimal(5))
    watch(writer, now=NOW)
    assert told(superuser, caller) == [["spike", 0]]


def test_a_model_without_a_price_is_told_once_a_month(writer: Database, superuser: Connection, caller: Caller) -> None:
    day_of(superuser, caller, days_ago=0, cost=Decimal(0), unpriced=3)
    for _ in range(2):
        watch(writer, now=NOW)
    assert told(superuser, caller) == [["unpriced", 0]]
