"""The queue table in Postgres keeps SQS's semantics, under the grants that production has."""

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime

import pytest
from navplane.errors import DependencyUnavailable
from navplane.queue import fallback
from navplane.queue.message import DeadLetter, Message
from navplane.queue.postgres import PostgresMessages, PostgresRequestLog
from navplane.store.database import Connection, Database
from pg8000.exceptions import DatabaseError

from tests.support.log_lines import captured_log
from tests.support.postgres import TestDatabase
from tests.support.tenants import reservation_states, seed_caller, seed_reservations
from tests.support.usage_events import usage_event


@pytest.fixture
def log(databases: TestDatabase) -> PostgresRequestLog:
    return PostgresRequestLog(databases.as_role("navplane_gate"))


@pytest.fixture
def source(databases: TestDatabase) -> PostgresMessages:
    return PostgresMessages(databases.as_role("navplane_writer"))


@pytest.fixture
def superuser(databases: TestDatabase) -> Iterator[Connection]:
    with databases.superuser() as connection:
        yield connection


def let_time_pass(superuser: Connection, seconds: float) -> None:
    superuser.run(
        "UPDATE usage_queue SET visible_at = visible_at - make_interval(secs => :s),"
        " enqueued_at = enqueued_at - make_interval(secs => :s)",
        s=seconds,
    )


def test_what_was_published_is_taken_once_and_gone_when_acknowledged(
    log: PostgresRequestLog, source: PostgresMessages, superuser: Connection
) -> None:
    event = usage_event()
    log.publish(event)
    taken = source.take(10, wait_seconds=0)
    assert [message.body for message in taken] == [event.to_json()]
    assert source.take(10, wait_seconds=0) == []
    source.acknowledge(taken)
    assert superuser.run("SELECT count(*) FROM usage_queue") == [[0]]


def test_what_is_not_acknowledged_in_time_comes_back(
    log: PostgresRequestLog, source: PostgresMessages, superuser: Connection
) -> None:
    log.publish(usage_event())
    first = source.take(10, wait_seconds=0)
    let_time_pass(superuser, 59)
    assert source.take(10, wait_seconds=0) == []
    let_time_pass(superuser, 2)
    assert source.take(10, wait_seconds=0) == first


def test_consumers_at_once_never_take_the_same_message(log: PostgresRequestLog, source: PostgresMessages) -> None:
    for _ in range(60):
        log.publish(usage_event())
    taken: list[Message] = []
    lock = threading.Lock()

    def consume() -> None:
        while batch := source.take(3, wait_seconds=0):
            with lock:
                taken.extend(batch)

    threads = [threading.Thread(target=consume) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(taken) == len({message.id for message in taken}) == 60


def test_a_buried_message_stays_with_its_reason_and_is_never_taken_again(
    log: PostgresRequestLog, source: PostgresMessages, superuser: Connection
) -> None:
    log.publish(usage_event())
    [message] = source.take(10, wait_seconds=0)
    source.bury([DeadLetter(message=message, reason="SQLSTATE 22003")])
    source.acknowledge([message])
    let_time_pass(superuser, 3600)
    assert source.take(10, wait_seconds=0) == []
    assert superuser.run("SELECT body, dead_reason FROM usage_queue") == [[message.body, "SQLSTATE 22003"]]
    assert source.oldest_event_age_seconds() == 0


def test_the_age_is_that_of_the_oldest_event_taken_or_not(
    log: PostgresRequestLog, source: PostgresMessages, superuser: Connection
) -> None:
    assert source.oldest_event_age_seconds() == 0
    log.publish(usage_event())
    let_time_pass(superuser, 500)
    log.publish(usage_event())
    source.take(10, wait_seconds=0)
    age = source.oldest_event_age_seconds()
    assert age is not None
    assert 500 <= age < 600


def test_a_wait_ends_when_its_stop_is_set(databases: TestDatabase) -> None:
    stop = threading.Event()
    stop.set()
    assert PostgresMessages(databases.as_role("navplane_writer"), stop=stop).take(10, wait_seconds=3600) == []


def test_while_postgres_is_away_an_event_becomes_a_fallback_line(databases: TestDatabase, superuser: Connection) -> None:
    log = PostgresRequestLog(databases.as_role("navplane_gate"))
    superuser.run("ALTER ROLE navplane_gate CONNECTION LIMIT 0")
    event = usage_event()
    try:
        with captured_log() as text:
            log.publish(event)
        with pytest.raises(DependencyUnavailable):
            log.ready()
    finally:
        superuser.run("ALTER ROLE navplane_gate CONNECTION LIMIT -1")
    assert list(fallback.read(text.getvalue().splitlines())) == [event]


def test_once_postgres_is_back_what_it_missed_is_sent_with_the_next_event(
    databases: TestDatabase, superuser: Connection, source: PostgresMessages
) -> None:
    log = PostgresRequestLog(databases.as_role("navplane_gate"))
    events = [usage_event() for _ in range(4)]
    superuser.run("ALTER ROLE navplane_gate CONNECTION LIMIT 0")
    try:
        with captured_log():
            for missed in events[:3]:
                log.publish(missed)
    finally:
        superuser.run("ALTER ROLE navplane_gate CONNECTION LIMIT -1")
    log.publish(events[3])
    assert {message.body for message in source.take(10, wait_seconds=0)} == {event.to_json() for event in events}


def test_being_asked_whether_it_is_ready_is_an_occasion_too(
    databases: TestDatabase, superuser: Connection, source: PostgresMessages
) -> None:
    log = PostgresRequestLog(databases.as_role("navplane_gate"))
    superuser.run("ALTER ROLE navplane_gate CONNECTION LIMIT 0")
    try:
        with captured_log():
            log.publish(usage_event())
    finally:
        superuser.run("ALTER ROLE navplane_gate CONNECTION LIMIT -1")
    log.ready()
    assert len(source.take(10, wait_seconds=0)) == 1


@pytest.mark.parametrize("role", ["navplane_gate", "navplane_admin", "navplane_reader"])
def test_only_the_writer_may_read_the_queue(role: str, databases: TestDatabase, log: PostgresRequestLog) -> None:
    log.publish(usage_event())
    database: Database = databases.as_role(role)
    for statement in ("SELECT body FROM public.usage_queue", "DELETE FROM public.usage_queue"):
        with pytest.raises(DatabaseError, match="42501"), database.connection() as db:
            db.run(statement)


# -- settled in the same step --------------------------------------------------------------------------------------------


def test_settling_and_queueing_are_one_step(log: PostgresRequestLog, source: PostgresMessages, superuser: Connection) -> None:
    event = usage_event()
    seed_reservations(superuser, seed_caller(superuser), [event.request_id], state="reserved", tokens=99)
    log.settle_and_send(event, tokens=18, nano_usd=None, now=datetime.now(UTC))
    assert [message.body for message in source.take(10, wait_seconds=0)] == [event.to_json()]
    assert reservation_states(superuser, [event.request_id]) == {event.request_id: ("settled", 18)}


def test_what_can_not_be_settled_is_not_queued_either(
    log: PostgresRequestLog, source: PostgresMessages, superuser: Connection
) -> None:
    """Whoever asked then does the two apart: the event is queued once, whatever becomes of the reservation."""
    superuser.run("REVOKE EXECUTE ON FUNCTION gate_settle(uuid, bigint, bigint, timestamptz) FROM navplane_gate")
    event = usage_event()
    with pytest.raises(DatabaseError, match="42501"):
        log.settle_and_send(event, tokens=18, nano_usd=None, now=datetime.now(UTC))
    assert source.take(10, wait_seconds=0) == []
    log.publish(event)
    assert len(source.take(10, wait_seconds=0)) == 1


def test_it_is_said_when_it_is_not_known_to_be_done() -> None:
    class Nowhere:
        def connection(self) -> AbstractContextManager[Connection]:
            raise DependencyUnavailable("away")

    with pytest.raises(DependencyUnavailable):
        PostgresRequestLog(Nowhere()).settle_and_send(usage_event(), tokens=1, nano_usd=None, now=datetime.now(UTC))
