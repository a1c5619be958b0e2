"""The log plane on a real Postgres, its queue in memory."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest
from navplane.gate.gate import Caller
from navplane.gate.gate_postgres import PostgresGate
from navplane.ingest.consume import Consumer
from navplane.store.database import Connection, Database
from navplane.store.request_rows import RequestRow, list_requests

from tests.support.postgres import TestDatabase
from tests.support.queue_memory import MemoryQueue
from tests.support.tenants import seed_caller


@pytest.fixture
def superuser(module_database: TestDatabase) -> Iterator[Connection]:
    with module_database.superuser() as connection:
        yield connection


@pytest.fixture
def writer(module_database: TestDatabase) -> Database:
    return module_database.as_role("navplane_writer")


@pytest.fixture
def caller(superuser: Connection) -> Caller:
    return seed_caller(superuser)


@pytest.fixture
def queue() -> MemoryQueue:
    return MemoryQueue()


@pytest.fixture
def consumer(writer: Database, queue: MemoryQueue) -> Consumer:
    return Consumer(database=writer, gate=PostgresGate(writer), dead_letters=queue, now=lambda: datetime.now(UTC))


@pytest.fixture
def rows(module_database: TestDatabase, caller: Caller) -> Callable[[], list[RequestRow]]:
    """The caller's rows as its organization sees them, newest first."""
    reader = module_database.as_role("navplane_reader")

    def listed() -> list[RequestRow]:
        with reader.transaction(org_id=caller.org_id) as db:
            return list_requests(db, org_id=caller.org_id, limit=1000)

    return listed
