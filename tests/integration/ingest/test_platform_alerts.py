"""What platform admins are told, once: dead letters, sums that differ, models without a price."""

from datetime import UTC, datetime
from typing import Any

import pytest
from navplane.gate.gate import Caller
from navplane.ingest.platform_alerts import no_queue, watch_platform
from navplane.model.ids import new_id
from navplane.store.database import Connection, Database

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def nothing_told(superuser: Connection) -> None:
    for table in ("alert_deliveries", "alert_destinations", "platform_notifications", "usage_queue", "rollup_checks"):
        superuser.run(f"DELETE FROM {table}")
    superuser.run("DELETE FROM org_usage_daily")


def told(superuser: Connection) -> list[Any]:
    found: list[Any] = superuser.run("SELECT kind, subject, window_name FROM platform_notifications ORDER BY kind, subject")
    return found


def test_dead_letters_are_told_once_a_day(writer: Database, superuser: Connection) -> None:
    for _ in range(3):
        watch_platform(writer, lambda: 2, now=NOW)
    assert told(superuser) == [["dead_letters", "queue/usage", "d:2026-11-21"]]
    assert watch_platform(writer, lambda: 1, now=NOW.replace(day=22)) == 1


def test_dead_letters_in_the_database_count_too(writer: Database, superuser: Connection) -> None:
    superuser.run("INSERT INTO usage_queue (id, body, dead_reason) VALUES (:id, 'x', 'poison')", id=new_id())
    assert watch_platform(writer, no_queue, now=NOW) == 1
    assert superuser.run("SELECT facts FROM platform_notifications") == [[{"dead_letters": 1}]]


@pytest.mark.parametrize("count", [0, None])
def test_none_and_not_knowing_are_no_alert(writer: Database, superuser: Connection, count: int | None) -> None:
    assert watch_platform(writer, lambda: count, now=NOW) == 0
    assert told(superuser) == []


def test_a_day_whose_sums_differ_is_told(writer: Database, superuser: Connection) -> None:
    superuser.run(
        "INSERT INTO rollup_checks (day, checked_at, differing) VALUES ('2026-11-20', now(), 3), ('2026-11-19', now(), 0)"
    )
    for _ in range(2):
        watch_platform(writer, no_queue, now=NOW)
    assert told(superuser) == [["drift", "day/2026-11-20", "d:2026-11-20"]]


def test_an_unpriced_model_is_told_once_however_many_use_it(writer: Database, superuser: Connection, caller: Caller) -> None:
    for _ in range(2):
        superuser.run(
            "INSERT INTO org_usage_daily (org_id, workspace_id, provider, model, endpoint, demo, starts_at, requests,"
            " failed_requests, unpriced_requests, inexact_requests, input_tokens, cached_input_tokens, cache_write_tokens,"
            " output_tokens, reasoning_tokens, cost_usd) VALUES (:org, :workspace, 'openai', 'gpt-new', 'models', false,"
            " '2026-11-21', 1, 0, 1, 0, 0, 0, 0, 0, 0, 0)",
            org=caller.org_id, workspace=new_id(),
        )  # fmt: skip
    watch_platform(writer, no_queue, now=NOW)
    assert told(superuser) == [["unpriced", "model/openai/gpt-new", "m:2026-11"]]


def test_what_is_told_waits_for_the_platforms_destinations_and_no_others(
    writer: Database, superuser: Connection, caller: Caller
) -> None:
    for name, org_id, alerts in (("p", None, ["dead_letters"]), ("q", None, ["drift"]), ("o", caller.org_id, ["dead_letters"])):
        superuser.run(
            "INSERT INTO alert_destinations"
            " (id, org_id, name, kind, address, alerts, enabled, region, sealed, kek_id, created_at)"
            " VALUES (:id, CAST(:org AS uuid), :name, 'email', 'a@example.com', :alerts, true, 'us', '', '', now())",
            id=new_id(), org=org_id, name=name, alerts=alerts,
        )  # fmt: skip
    watch_platform(writer, lambda: 1, now=NOW)
    rows = superuser.run(
        "SELECT t.name, d.org_id FROM alert_deliveries AS d JOIN alert_destinations AS t ON t.id = d.destination_id"
    )
    assert rows == [["p", None]]
