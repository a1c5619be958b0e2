"""A batch becomes rows: what comes back, what is buried, and what a crash between two steps leaves behind."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from aws_lambda_powertools.utilities.batch import process_partial_response
from aws_lambda_powertools.utilities.batch.exceptions import BatchProcessingError
from navplane.errors import DependencyUnavailable
from navplane.gate.gate import Caller, Charge
from navplane.gate.gate_postgres import PostgresGate
from navplane.ingest.batch import WholeBatchProcessor
from navplane.ingest.consume import Consumer
from navplane.model.ids import RequestId
from navplane.model.usage import Outcome, Usage, UsageQuality
from navplane.queue.message import DeadLetter
from navplane.store.database import Connection, Database
from navplane.store.request_logs import NO_PARTITION
from navplane.store.request_rows import RequestRow

from tests.support.gate_memory import MemoryGate
from tests.support.postgres import TestDatabase
from tests.support.queue_memory import MemoryQueue
from tests.support.tenants import reservation_states, seed_reservations
from tests.support.usage_events import usage_event

Rows = Callable[[], list[RequestRow]]


def deliver(queue: MemoryQueue, consumer: Consumer) -> frozenset[str]:
    """One batch of all that is visible, acknowledged as the consumer says; what comes back."""
    messages = queue.take(1000, wait_seconds=0)
    returned = consumer.consume(messages)
    queue.acknowledge([message for message in messages if message.id not in returned])
    return returned


def test_a_batch_is_recorded_finalized_and_acknowledged(
    queue: MemoryQueue, consumer: Consumer, rows: Rows, superuser: Connection, caller: Caller
) -> None:
    events = [usage_event(usage=Usage(input_tokens=n, output_tokens=1)) for n in range(10)]
    seed_reservations(superuser, caller, [event.request_id for event in events], tokens=999)
    for event in events:
        queue.publish(event)
    assert deliver(queue, consumer) == frozenset()
    assert {row.request_id for row in rows()} == {event.request_id for event in events}
    expected = {event.request_id: ("final", event.usage.total_tokens) for event in events}
    assert reservation_states(superuser, list(expected)) == expected
    assert queue.waiting() == 0


def test_a_redelivered_batch_changes_nothing(queue: MemoryQueue, consumer: Consumer, rows: Rows, caller: Caller) -> None:
    queue.publish(usage_event(key_id=caller.key_id))
    messages = queue.take(10, wait_seconds=0)
    consumer.consume(messages)
    before = rows()
    consumer.consume(messages)
    assert rows() == before
    assert len(before) == 1


def test_the_gate_is_told_of_the_row_as_it_stands_and_not_of_the_late_event(
    queue: MemoryQueue, consumer: Consumer, superuser: Connection, caller: Caller
) -> None:
    exact = usage_event(usage=Usage(input_tokens=70))
    seed_reservations(superuser, caller, [exact.request_id])
    queue.publish(exact)
    deliver(queue, consumer)
    queue.publish(
        usage_event(request_id=exact.request_id, usage_quality=UsageQuality.ESTIMATED, usage=Usage(input_tokens=9000))
    )
    deliver(queue, consumer)
    assert reservation_states(superuser, [exact.request_id]) == {exact.request_id: ("final", 70)}


def test_only_the_poison_is_buried_with_a_reason_and_the_others_are_recorded(
    queue: MemoryQueue, consumer: Consumer, rows: Rows, caller: Caller
) -> None:
    sound = [usage_event(key_id=caller.key_id) for _ in range(20)]
    poison = [usage_event(key_id=caller.key_id, duration_ms=2**31), usage_event(request_id=uuid4(), key_id=caller.key_id)]
    nobodys = usage_event()
    for event in (*sound[:7], poison[0], *sound[7:], nobodys, poison[1]):
        queue.publish(event)
    queue.send("{not json")
    assert deliver(queue, consumer) == frozenset()
    assert {row.request_id for row in rows()} == {event.request_id for event in sound}
    assert queue.waiting() == 0
    reasons = {letter.message.body: letter.reason for letter in queue.buried()}
    assert reasons == {
        poison[0].to_json(): "SQLSTATE 22003",
        poison[1].to_json(): NO_PARTITION,
        nobodys.to_json(): "no reservation and no key is known for it",
        "{not json": "not a usage event of a known wire version",
    }


def test_a_sound_event_is_not_buried_with_the_poison_of_its_request(
    queue: MemoryQueue, consumer: Consumer, rows: Rows, caller: Caller
) -> None:
    estimated = usage_event(key_id=caller.key_id, usage_quality=UsageQuality.ESTIMATED)
    poison = usage_event(key_id=caller.key_id, request_id=estimated.request_id, duration_ms=2**31)
    queue.publish(estimated)
    queue.publish(poison)
    assert len(deliver(queue, consumer)) == 1
    queue.release_all()
    assert deliver(queue, consumer) == frozenset()
    assert [row.usage_quality for row in rows()] == [UsageQuality.ESTIMATED]
    assert [letter.message.body for letter in queue.buried()] == [poison.to_json()]


def test_an_admission_that_never_was_is_voided_and_not_poison(
    queue: MemoryQueue, consumer: Consumer, superuser: Connection
) -> None:
    unheard = usage_event(usage=Usage(), outcome=Outcome.FAILED, status=503)
    queue.publish(unheard)
    assert deliver(queue, consumer) == frozenset()
    assert (queue.waiting(), queue.buried()) == (0, [])
    # An admission that is still on its way finds its id closed.
    assert reservation_states(superuser, [unheard.request_id]) == {unheard.request_id: ("final", 0)}


class NoDeadLetters:
    """A dead-letter queue that is away."""

    def bury(self, letters: Sequence[DeadLetter]) -> None:
        raise DependencyUnavailable("The dead-letter queue is away.")


def test_poison_that_cannot_be_buried_comes_back_and_the_others_do_not(
    queue: MemoryQueue, writer: Database, rows: Rows, caller: Caller
) -> None:
    consumer = Consumer(database=writer, gate=PostgresGate(writer), dead_letters=NoDeadLetters(), now=lambda: datetime.now(UTC))
    sound, poison = queue.send(usage_event(key_id=caller.key_id).to_json()), queue.send("poison")
    assert deliver(queue, consumer) == {poison}
    assert sound not in {message.id for message in queue.take(10, wait_seconds=0)}
    assert len(rows()) == 1


class CrashBeforeFinalize(PostgresGate):
    """The process ends after the commit: the gate never hears of it."""

    def finalize(self, charges: Mapping[RequestId, Charge], now: datetime) -> None:
        raise KeyboardInterrupt


def test_a_crash_between_commit_and_finalize_is_mended_by_the_redelivery(
    queue: MemoryQueue, consumer: Consumer, writer: Database, rows: Rows, superuser: Connection, caller: Caller
) -> None:
    event = usage_event(usage=Usage(input_tokens=5))
    seed_reservations(superuser, caller, [event.request_id])
    queue.publish(event)
    crashing = Consumer(database=writer, gate=CrashBeforeFinalize(writer), dead_letters=queue, now=lambda: datetime.now(UTC))
    with pytest.raises(KeyboardInterrupt):
        deliver(queue, crashing)
    assert len(rows()) == 1
    assert reservation_states(superuser, [event.request_id]) == {event.request_id: ("settled", 0)}
    queue.release_all()
    deliver(queue, consumer)
    assert [row.revision for row in rows()] == [1]
    assert reservation_states(superuser, [event.request_id]) == {event.request_id: ("final", 5)}
    assert queue.waiting() == 0


class OvertakenGate(PostgresGate):
    """While the consumer is about to tell the gate, another one records a better fact and tells it first."""

    def __init__(self, writer: Database, meanwhile: Callable[[], object]) -> None:
        super().__init__(writer)
        self._meanwhile: Callable[[], object] | None = meanwhile

    def finalize(self, charges: Mapping[RequestId, Charge], now: datetime) -> None:
        if meanwhile := self._meanwhile:
            self._meanwhile = None
            meanwhile()
        super().finalize(charges, now)


def test_a_consumer_that_is_overtaken_does_not_leave_the_gate_with_the_lesser_fact(
    queue: MemoryQueue, consumer: Consumer, writer: Database, superuser: Connection, caller: Caller
) -> None:
    exact = usage_event(usage=Usage(input_tokens=70))
    lesser = usage_event(request_id=exact.request_id, usage_quality=UsageQuality.ESTIMATED, usage=Usage(input_tokens=9000))
    seed_reservations(superuser, caller, [exact.request_id])

    def meanwhile() -> None:
        queue.publish(exact)
        deliver(queue, consumer)

    overtaken = Consumer(
        database=writer, gate=OvertakenGate(writer, meanwhile), dead_letters=queue, now=lambda: datetime.now(UTC)
    )
    queue.publish(lesser)
    deliver(queue, overtaken)
    assert reservation_states(superuser, [exact.request_id]) == {exact.request_id: ("final", 70)}


# -- through Lambda's event and answer -----------------------------------------------------------------------------------


def sqs_event(*bodies: str) -> dict[str, object]:
    records = [{"messageId": f"m-{n}", "body": body, "eventSource": "aws:sqs"} for n, body in enumerate(bodies)]
    return {"Records": records}


def invoke(consumer: Consumer, event: dict[str, object]) -> object:
    return process_partial_response(event=event, record_handler=consumer.consume, processor=WholeBatchProcessor())


def test_the_answer_names_exactly_the_items_that_failed(writer: Database, rows: Rows, caller: Caller) -> None:
    consumer = Consumer(database=writer, gate=PostgresGate(writer), dead_letters=NoDeadLetters(), now=lambda: datetime.now(UTC))
    event = sqs_event(
        usage_event(key_id=caller.key_id).to_json(),
        "poison",
        usage_event(key_id=caller.key_id).to_json(),
        usage_event().to_json(),
    )
    assert invoke(consumer, event) == {"batchItemFailures": [{"itemIdentifier": "m-1"}, {"itemIdentifier": "m-3"}]}
    assert len(rows()) == 2


def test_a_batch_whose_poison_was_buried_has_no_failures(queue: MemoryQueue, consumer: Consumer, caller: Caller) -> None:
    assert invoke(consumer, sqs_event("poison", usage_event(key_id=caller.key_id).to_json())) == {"batchItemFailures": []}
    assert [letter.message.id for letter in queue.buried()] == ["m-0"]


def test_while_postgres_is_away_the_whole_batch_comes_back_and_nothing_is_buried(
    databases: TestDatabase, queue: MemoryQueue, caller: Caller
) -> None:
    gone = databases.as_role("navplane_writer")
    with databases.superuser() as superuser:
        superuser.run("ALTER ROLE navplane_writer CONNECTION LIMIT 0")
    consumer = Consumer(database=gone, gate=PostgresGate(gone), dead_letters=queue, now=lambda: datetime.now(UTC))
    try:
        with pytest.raises(BatchProcessingError):
            invoke(consumer, sqs_event(usage_event(key_id=caller.key_id).to_json(), "poison"))
        with pytest.raises(DependencyUnavailable):
            consumer.consume([])
    finally:
        with databases.superuser() as superuser:
            superuser.run("ALTER ROLE navplane_writer CONNECTION LIMIT -1")
    assert queue.buried() == []


def test_while_the_gate_is_away_the_whole_batch_comes_back_though_its_rows_stand(
    queue: MemoryQueue, writer: Database, rows: Rows, caller: Caller
) -> None:
    class GateAway(MemoryGate):
        def finalize(self, charges: Mapping[RequestId, Charge], now: datetime) -> None:
            raise DependencyUnavailable("The gate is away.")

    consumer = Consumer(database=writer, gate=GateAway(), dead_letters=queue, now=lambda: datetime.now(UTC))
    with pytest.raises(BatchProcessingError):
        invoke(consumer, sqs_event(usage_event(key_id=caller.key_id).to_json()))
    assert len(rows()) == 1
