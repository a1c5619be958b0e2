"""Kept contents in a batch: stored for workspaces that are `full` right now, dropped for all others, and never buried."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from navplane.gate.gate import Caller
from navplane.ingest.consume import Consumer
from navplane.model.ids import RequestId, new_request_id
from navplane.model.kept_content import MARK, KeptContent
from navplane.store import request_contents
from navplane.store.database import Connection, Database, sqlstate
from pg8000.exceptions import DatabaseError

from tests.support.log_lines import captured_log
from tests.support.queue_memory import MemoryQueue
from tests.support.tenants import seed_reservations
from tests.support.usage_events import usage_event

NOW = datetime.now(UTC)


def content(request_id: RequestId, caller: Caller) -> KeptContent:
    return KeptContent(
        request_id=request_id,
        key_id=caller.key_id,
        request=b"a question\x00",
        response=b"\xff an answer",
        request_truncated=False,
        response_truncated=True,
    )


def set_mode(superuser: Connection, caller: Caller, mode: str, days: int = 30) -> None:
    superuser.run(
        "UPDATE workspaces SET data_mode = :mode, retention_days = :days WHERE id = :id",
        mode=mode,
        days=days,
        id=caller.workspace_id,
    )


def stored(superuser: Connection, caller: Caller) -> list[list[object]]:
    return list(
        superuser.run("SELECT request_id, request, response FROM request_contents WHERE org_id = :id", id=caller.org_id)
    )


def deliver(queue: MemoryQueue, consumer: Consumer) -> None:
    messages = queue.take(1000, wait_seconds=0)
    assert consumer.consume(messages) == frozenset()
    queue.acknowledge(messages)


def test_it_is_stored_once_beside_its_usage(
    queue: MemoryQueue, consumer: Consumer, superuser: Connection, caller: Caller
) -> None:
    set_mode(superuser, caller, "full")
    event = usage_event()
    seed_reservations(superuser, caller, [event.request_id])
    for _ in range(2):
        queue.publish_content(content(event.request_id, caller))
        queue.publish(event)
        deliver(queue, consumer)
    assert stored(superuser, caller) == [[event.request_id, b"a question\x00", b"\xff an answer"]]
    assert superuser.run("SELECT count(*) FROM request_logs WHERE request_id = :id", id=event.request_id) == [[1]]
    assert queue.waiting() == 0


def test_a_workspace_that_is_not_full_by_now_keeps_nothing(
    queue: MemoryQueue, consumer: Consumer, superuser: Connection, caller: Caller
) -> None:
    queue.publish_content(content(new_request_id(NOW), caller))
    deliver(queue, consumer)
    assert stored(superuser, caller) == []


def test_what_belongs_to_nobody_and_what_is_broken_is_dropped_and_never_buried_or_logged(
    queue: MemoryQueue, consumer: Consumer, superuser: Connection, caller: Caller
) -> None:
    set_mode(superuser, caller, "full")
    nobodys = KeptContent(
        request_id=new_request_id(NOW), key_id=uuid4(), request=b"a plan", response=b"", request_truncated=False,
        response_truncated=False,
    )  # fmt: skip
    queue.publish_content(nobodys)
    queue.send(MARK + '"request":"a plan"}')
    queue.publish_content(content(new_request_id(NOW), caller))
    with captured_log() as log:
        deliver(queue, consumer)
    assert len(stored(superuser, caller)) == 1
    assert queue.buried() == []
    assert "a plan" not in log.getvalue()


def test_it_goes_when_its_days_are_over_or_its_workspace_says_so(
    writer: Database, superuser: Connection, caller: Caller
) -> None:
    set_mode(superuser, caller, "full", days=7)
    old, new = (new_request_id(NOW - timedelta(days=days)) for days in (8, 6))
    with writer.transaction() as db:
        assert request_contents.keep(db, [content(old, caller), content(new, caller)]) == 2
    with writer.transaction() as db:
        assert request_contents.forget(db, now=NOW) == 1
    assert [row[0] for row in stored(superuser, caller)] == [new]
    set_mode(superuser, caller, "metadata_only", days=7)
    with writer.transaction() as db:
        assert request_contents.forget(db, now=NOW) == 1
    assert stored(superuser, caller) == []


def test_who_writes_it_can_not_read_it(writer: Database) -> None:
    for sql in ("SELECT request FROM request_contents", "DELETE FROM request_contents"):
        with writer.connection() as db, pytest.raises(DatabaseError) as refused:
            db.run(sql)
        assert sqlstate(refused.value) == "42501"
