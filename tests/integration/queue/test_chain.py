"""Where events go when SQS fails: into the table, and only what that does not take either into the log."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from navplane.errors import DependencyUnavailable
from navplane.gate.gate_postgres import PostgresGate
from navplane.ingest.maintain import record_waiting
from navplane.model.kept_content import KeptContent
from navplane.model.usage_event import UsageEvent
from navplane.queue import fallback
from navplane.queue.chain import ChainedRequestLog
from navplane.queue.postgres import PostgresMessages, PostgresRequestLog

from tests.support.log_lines import captured_log
from tests.support.postgres import TestDatabase
from tests.support.tenants import seed_caller
from tests.support.usage_events import usage_event


class Place:
    """Takes events, or fails; `taken` are those that it has."""

    def __init__(self, *, failing: bool = False) -> None:
        self.failing, self.taken = failing, list[UsageEvent]()

    def send(self, event: UsageEvent) -> None:
        if self.failing:
            raise DependencyUnavailable("away")
        self.taken.append(event)

    def publish(self, event: UsageEvent) -> None:
        self.send(event)

    def publish_content(self, content: KeptContent) -> None:
        raise NotImplementedError

    def ready(self) -> None:
        if self.failing:
            raise DependencyUnavailable("away")


def never() -> Place:
    raise AssertionError("the second place was not needed")


def test_the_second_place_is_not_even_made_while_the_first_takes_events() -> None:
    first, event = Place(), usage_event()
    ChainedRequestLog(first, second=never).publish(event)
    assert first.taken == [event]


def test_what_the_first_does_not_take_goes_to_the_second_and_is_said() -> None:
    second, event = Place(), usage_event()
    with captured_log() as log:
        ChainedRequestLog(Place(failing=True), second=lambda: second).publish(event)
    assert second.taken == [event]
    assert "ledger.second_place" in log.getvalue()
    assert list(fallback.read(log.getvalue().splitlines())) == []


def _broken() -> Place:
    raise DependencyUnavailable("it can't be made either")


@pytest.mark.parametrize("second", [lambda: Place(failing=True), _broken])
def test_what_neither_takes_is_in_the_log(second: Callable[[], Place]) -> None:
    event = usage_event()
    with captured_log() as log:
        ChainedRequestLog(Place(failing=True), second=second).publish(event)
    assert list(fallback.read(log.getvalue().splitlines())) == [event]


def test_it_is_ready_as_the_first_is() -> None:
    ChainedRequestLog(Place(), second=never).ready()
    with pytest.raises(DependencyUnavailable):
        ChainedRequestLog(Place(failing=True), second=never).ready()


def test_maintenance_records_what_waits_in_the_table_and_keeps_poison_there(databases: TestDatabase) -> None:
    with databases.superuser() as superuser:
        caller = seed_caller(superuser)
        table = PostgresRequestLog(databases.as_role("navplane_gate"))
        log = ChainedRequestLog(Place(failing=True), second=lambda: table)
        events = [usage_event(key_id=caller.key_id) for _ in range(3)]
        for event in [*events, usage_event()]:
            log.publish(event)
        writer = databases.as_role("navplane_writer")
        assert record_waiting(writer, PostgresGate(writer), now=datetime.now(UTC)) == 4
        assert record_waiting(writer, PostgresGate(writer), now=datetime.now(UTC)) == 0
        recorded = {row[0] for row in superuser.run("SELECT request_id FROM request_logs")}
        assert recorded == {event.request_id for event in events}
    [letter] = PostgresMessages(writer).letters(10)
    assert letter.reason == "no reservation and no key is known for it"
