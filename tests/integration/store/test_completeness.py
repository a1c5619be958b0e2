"""Up to when usage is complete: what is still on its way decides, and nobody learns of somebody else's requests."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from navplane.model.ids import new_id, new_request_id
from navplane.store.completeness import complete_to, note_queue
from navplane.store.database import Database, sqlstate
from pg8000.exceptions import DatabaseError
from pg8000.native import Connection

from tests.support.postgres import TestDatabase
from tests.support.tenants import seed_caller, seed_reservations

NOW = datetime.now(UTC)
MARGIN = timedelta(seconds=5)
HOUR = timedelta(hours=1)


@pytest.fixture
def superuser(databases: TestDatabase) -> Iterator[Connection]:
    with databases.superuser() as connection:
        yield connection


@pytest.fixture
def reader(databases: TestDatabase) -> Database:
    return databases.as_role("navplane_reader")


def test_the_oldest_request_that_is_not_final_decides_for_its_organization_alone(
    superuser: Connection, reader: Database
) -> None:
    mine, other = seed_caller(superuser), seed_caller(superuser)
    times = [NOW - 3 * HOUR, NOW - 2 * HOUR]
    requests = [new_request_id(time) for time in times]
    seed_reservations(superuser, mine, requests)
    with reader.transaction(org_id=mine.org_id) as db:
        assert abs(complete_to(db, org_id=mine.org_id) - (times[0] - MARGIN)) < timedelta(seconds=1)
    with reader.transaction(org_id=other.org_id) as db:
        assert complete_to(db, org_id=other.org_id) > NOW - 2 * MARGIN
    with reader.transaction(platform=True) as db:
        assert abs(complete_to(db, org_id=None) - (times[0] - MARGIN)) < timedelta(seconds=1)
    superuser.run("UPDATE reservations SET state = 'final' WHERE request_id = :id", id=requests[0])
    with reader.transaction(org_id=mine.org_id) as db:
        assert abs(complete_to(db, org_id=mine.org_id) - (times[1] - MARGIN)) < timedelta(seconds=1)


def test_an_event_that_waits_in_the_table_holds_it_back_until_it_is_taken_or_dead(
    superuser: Connection, reader: Database
) -> None:
    caller = seed_caller(superuser)
    superuser.run("INSERT INTO usage_queue (id, body, enqueued_at) VALUES (:id, '{}', :at)", id=new_id(), at=NOW - HOUR)
    with reader.transaction(org_id=caller.org_id) as db:
        assert complete_to(db, org_id=caller.org_id) == NOW - HOUR - MARGIN
    superuser.run("UPDATE usage_queue SET dead_reason = 'broken'")
    with reader.transaction(org_id=caller.org_id) as db:
        assert complete_to(db, org_id=caller.org_id) > NOW - 2 * MARGIN


def test_a_backlog_that_the_maintenance_saw_holds_it_back_and_an_unknown_age_changes_nothing(
    databases: TestDatabase, superuser: Connection, reader: Database
) -> None:
    caller, writer = seed_caller(superuser), databases.as_role("navplane_writer")
    for age, expected in ((HOUR, NOW - HOUR - MARGIN), (None, NOW - HOUR - MARGIN)):
        with writer.transaction() as db:
            note_queue(db, oldest_event_age=age, now=NOW)
        with reader.transaction(org_id=caller.org_id) as db:
            assert complete_to(db, org_id=caller.org_id) == expected
    with writer.transaction() as db:
        note_queue(db, oldest_event_age=timedelta(seconds=3), now=NOW)
    with reader.transaction(org_id=caller.org_id) as db:
        assert complete_to(db, org_id=caller.org_id) > NOW - 2 * MARGIN


@pytest.mark.parametrize("function", ["usage_complete_to_of(NULL)", "usage_complete_to_everywhere()"])
def test_a_reader_of_one_organization_cannot_ask_about_others(reader: Database, function: str) -> None:
    with pytest.raises(DatabaseError) as caught, reader.transaction(org_id=new_id()) as db:
        db.run(f"SELECT public.{function}")
    assert sqlstate(caught.value) == "42501"


def test_without_an_organization_nothing_is_told(reader: Database) -> None:
    with reader.transaction() as db:
        assert db.run("SELECT public.usage_complete_to()") == [[None]]
