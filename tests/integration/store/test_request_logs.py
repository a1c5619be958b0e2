"""Recording against a real Postgres as navplane_writer: which fact wins, whose row it is, and what can't be stored."""

import itertools
from collections.abc import Iterator
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from navplane.gate.gate import Caller
from navplane.model.ids import new_id, new_request_id
from navplane.model.usage import Outcome, Usage, UsageQuality
from navplane.model.usage_event import UsageEvent
from navplane.store.database import Connection, Database
from navplane.store.request_logs import RecordResult, Unrecordable, record
from navplane.store.request_rows import RequestRow, list_requests
from pg8000.exceptions import DatabaseError

from tests.support.postgres import TestDatabase
from tests.support.tenants import seed_caller, seed_reservations
from tests.support.usage_events import usage_event


@pytest.fixture
def superuser(module_database: TestDatabase) -> Iterator[Connection]:
    with module_database.superuser() as connection:
        yield connection


@pytest.fixture
def writer(module_database: TestDatabase) -> Database:
    return module_database.as_role("navplane_writer")


@pytest.fixture
def reader(module_database: TestDatabase) -> Database:
    return module_database.as_role("navplane_reader")


@pytest.fixture
def caller(superuser: Connection) -> Caller:
    return seed_caller(superuser)


def recorded(writer: Database, *events: UsageEvent) -> RecordResult:
    with writer.transaction() as db:
        return record(db, events)


def listed(reader: Database, org_id: UUID, *, limit: int = 100, cursor: UUID | None = None) -> list[RequestRow]:
    with reader.transaction(org_id=org_id) as db:
        return list_requests(db, org_id=org_id, limit=limit, cursor=cursor)


def of_each_quality(caller: Caller) -> dict[UsageQuality, UsageEvent]:
    request_id = new_request_id(datetime.now(UTC))
    return {
        quality: usage_event(
            request_id=request_id, key_id=caller.key_id, usage_quality=quality, usage=Usage(input_tokens=n), model=quality.value
        )
        for n, quality in enumerate(UsageQuality, start=1)
    }


def test_a_row_says_all_that_its_event_said(writer: Database, reader: Database, caller: Caller) -> None:
    event = usage_event(
        key_id=caller.key_id, provider_key_id=new_id(), response_model="gpt-5-2026", stream=True, demo=True,
        error_code="upstream_cut", outcome=Outcome.FAILED, service_tier="flex",
        provider_request_id="req_1", finish_reason="stop", first_byte_ms=9,
        request_bytes=2**40, response_bytes=77, client='null, {"a"} \\ NULL', raw_usage={"a": [1, {"b": None}], "c": "“ü”"},
        usage=Usage(**{field.name: n for n, field in enumerate(fields(Usage), start=2**33)}),
    )  # fmt: skip
    recorded(writer, event)
    [row] = listed(reader, caller.org_id)
    for field in fields(UsageEvent):
        if field.name not in ("org_id", "workspace_id", "key_id", "provider_cost_usd"):
            assert getattr(row, field.name) == getattr(event, field.name), field.name
    assert (row.org_id, row.workspace_id, row.key_id) == (caller.org_id, caller.workspace_id, caller.key_id)
    assert abs(row.created_at - event.started_at) < timedelta(milliseconds=2)
    assert row.revision == 1


@pytest.mark.parametrize("order", list(itertools.permutations(UsageQuality)))
def test_in_any_order_the_best_fact_stands(
    order: tuple[UsageQuality, ...], writer: Database, reader: Database, caller: Caller
) -> None:
    events = of_each_quality(caller)
    for quality in order:
        recorded(writer, events[quality])
    [row] = listed(reader, caller.org_id)
    best = events[UsageQuality.EXACT]
    assert (row.usage_quality, row.usage, row.model) == (best.usage_quality, best.usage, best.model)


def test_a_redelivery_or_a_lesser_fact_changes_nothing(writer: Database, reader: Database, caller: Caller) -> None:
    events = of_each_quality(caller)
    recorded(writer, events[UsageQuality.ESTIMATED])
    before = listed(reader, caller.org_id)
    again = replace(events[UsageQuality.ESTIMATED], model="another")
    for event in (again, events[UsageQuality.LOST], events[UsageQuality.ESTIMATED]):
        result = recorded(writer, event)
        assert [(row.usage_quality, row.revision) for row in result.rows] == [(UsageQuality.ESTIMATED, 1)]
    assert listed(reader, caller.org_id) == before


def test_a_better_fact_is_the_next_revision_of_the_row(writer: Database, reader: Database, caller: Caller) -> None:
    events = of_each_quality(caller)
    for n, quality in enumerate((UsageQuality.LOST, UsageQuality.ESTIMATED, UsageQuality.EXACT), start=1):
        [standing] = recorded(writer, events[quality]).rows
        assert (standing.revision, standing.tokens) == (n, events[quality].usage.total_tokens)
    assert len(listed(reader, caller.org_id)) == 1


def test_one_batch_with_all_facts_about_a_request_is_one_row(writer: Database, reader: Database, caller: Caller) -> None:
    events = of_each_quality(caller)
    recorded(writer, *events.values(), *events.values())
    [row] = listed(reader, caller.org_id)
    assert (row.usage_quality, row.revision) == (UsageQuality.EXACT, 1)


def test_the_reservation_says_whose_row_it_is_whatever_the_event_claims(
    writer: Database, reader: Database, superuser: Connection, caller: Caller
) -> None:
    other = seed_caller(superuser)
    event = usage_event(org_id=other.org_id, workspace_id=other.workspace_id, key_id=other.key_id)
    seed_reservations(superuser, caller, [event.request_id])
    recorded(writer, event)
    assert [row.request_id for row in listed(reader, caller.org_id)] == [event.request_id]
    assert listed(reader, other.org_id) == []


def test_without_a_reservation_the_keys_own_row_says_whose_it_is(
    writer: Database, reader: Database, superuser: Connection, caller: Caller
) -> None:
    other = seed_caller(superuser)
    recorded(writer, usage_event(org_id=other.org_id, workspace_id=other.workspace_id, key_id=caller.key_id))
    [row] = listed(reader, caller.org_id)
    assert (row.workspace_id, row.key_id) == (caller.workspace_id, caller.key_id)


def test_an_event_of_nobodys_is_named_and_the_others_are_recorded(writer: Database, reader: Database, caller: Caller) -> None:
    sound = usage_event(key_id=caller.key_id)
    nobodys = [usage_event(org_id=caller.org_id), usage_event(org_id=caller.org_id, key_id=uuid4())]
    result = recorded(writer, sound, *nobodys)
    assert result.ownerless == {event.request_id for event in nobodys}
    assert [row.request_id for row in listed(reader, caller.org_id)] == [sound.request_id]


@pytest.mark.parametrize(
    "differing",
    [
        {"request_id": new_request_id(datetime(2020, 1, 1, tzinfo=UTC))},
        {"request_id": uuid4()},
        {"status": "two hundred"},
        {"status": None},
        {"duration_ms": 2**31},
        {"usage": Usage(input_tokens=2**63)},
        {"provider_key_id": "not a uuid"},
    ],
    ids=["a month without a partition", "not a UUIDv7", "text for a number", "nothing", "too long", "too many", "not an id"],
)
def test_what_postgres_can_never_store_is_unrecordable(differing: dict[str, object], writer: Database, caller: Caller) -> None:
    with pytest.raises(Unrecordable):
        recorded(writer, usage_event(key_id=caller.key_id, **differing))


def test_text_that_postgres_has_no_room_for_is_kept_without_it(writer: Database, reader: Database, caller: Caller) -> None:
    odd = usage_event(key_id=caller.key_id, model="gpt\x00-\ud800x", raw_usage={"a\x00": ["\udfff", float("nan")]})
    recorded(writer, odd)
    [row] = listed(reader, caller.org_id)
    assert (row.model, row.raw_usage) == ("gpt\ufffd-\ufffdx", {"a\ufffd": ["\ufffd", "nan"]})


def test_a_failure_that_may_pass_is_not_blamed_on_the_events(module_database: TestDatabase, caller: Caller) -> None:
    with pytest.raises(DatabaseError, match="42501"):
        recorded(module_database.as_role("navplane_reader"), usage_event(key_id=caller.key_id))


def test_pages_run_from_the_newest_to_the_oldest_and_never_repeat(writer: Database, reader: Database, caller: Caller) -> None:
    now = datetime.now(UTC)
    events = [usage_event(key_id=caller.key_id, now=now - timedelta(seconds=n)) for n in range(5)]
    recorded(writer, *reversed(events))
    first = listed(reader, caller.org_id, limit=2)
    second = listed(reader, caller.org_id, limit=2, cursor=first[-1].request_id)
    third = listed(reader, caller.org_id, limit=2, cursor=second[-1].request_id)
    assert [row.request_id for row in (*first, *second, *third)] == [event.request_id for event in events]


def test_no_organization_sees_anothers_rows(writer: Database, reader: Database, superuser: Connection, caller: Caller) -> None:
    other = seed_caller(superuser)
    recorded(writer, usage_event(key_id=caller.key_id))
    with reader.transaction(org_id=other.org_id) as db:
        assert list_requests(db, org_id=caller.org_id, limit=10, cursor=None) == []
        assert list_requests(db, org_id=other.org_id, limit=10, cursor=None) == []
