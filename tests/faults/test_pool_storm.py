"""Two tenants over one small pool, in threads, with errors among them: no row of the one is ever seen by the other.

POOL_OPERATIONS is how many there are. Prints one JSON line.
"""

import itertools
import json
import os
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from uuid import UUID

import pytest
from navplane.errors import DependencyUnavailable
from navplane.model.ids import new_id
from navplane.store.database import Connection, Database
from pg8000.exceptions import DatabaseError

from tests.support.postgres import TestDatabase
from tests.support.tenants import seed_caller

OPERATIONS = int(os.environ.get("POOL_OPERATIONS", "2000"))
SEED = int(os.environ.get("POOL_SEED", "20261121"))
THREADS, CONNECTIONS = 8, 3
# None of them names the organization: row-level security alone stands between the two.
SEEN = (
    "SELECT id FROM public.organizations",
    "SELECT org_id FROM public.workspaces",
    "SELECT org_id FROM public.api_keys",
)
Transaction = Callable[[Database, UUID], AbstractContextManager[Connection]]


class Abandoned(Exception):
    """Whoever had the connection gave up in the middle."""


def keeps_to(pool: Database, org_id: UUID) -> AbstractContextManager[Connection]:
    return pool.transaction(org_id=org_id)


@contextmanager
def forgets_to_end(pool: Database, org_id: UUID) -> Iterator[Connection]:
    """The mutant: the context is the session's, set only when there is none, and so the next one inherits it."""
    with pool.transaction() as db:
        (setting,) = db.run("SELECT current_setting('app.org_id', true)")[0]
        if not setting:
            db.run("SELECT set_config('app.org_id', :org_id, false)", org_id=str(org_id))
        yield db


def one(pool: Database, org_id: UUID, transaction: Transaction, dice: random.Random) -> str:
    """One operation, and how it ended: `rows`, `foreign`, or in which way it was broken off."""
    how, sql = dice.choice(("read", "read", "read", "write", "error", "abandon", "bare")), dice.choice(SEEN)
    try:
        if how == "bare":
            with pool.transaction() as db:
                return "foreign" if db.run(sql) else "nothing"
        with transaction(pool, org_id) as db:
            if how == "write":
                db.run("UPDATE public.workspaces SET name = name")
            seen = {row[0] for row in db.run(sql)}
            if how == "error":
                db.run("SELECT 1 / 0")
            if how == "abandon":
                raise Abandoned
            return "rows" if seen == {org_id} else "foreign"
    except (DatabaseError, Abandoned, DependencyUnavailable) as exc:
        return type(exc).__name__


def storm(pool: Database, tenants: tuple[UUID, UUID], count: int, transaction: Transaction) -> Counter[str]:
    numbers = itertools.count()

    def turn(_: int) -> str:
        dice = random.Random(SEED + next(numbers))
        return one(pool, dice.choice(tenants), transaction, dice)

    with ThreadPoolExecutor(THREADS) as threads:
        return Counter(threads.map(turn, range(count)))


@pytest.fixture
def tenants(databases: TestDatabase) -> tuple[UUID, UUID]:
    with databases.superuser() as superuser:
        return seed_caller(superuser).org_id, seed_caller(superuser).org_id


def test_no_tenant_sees_a_row_of_another_however_the_pool_is_used(databases: TestDatabase, tenants: tuple[UUID, UUID]) -> None:
    began = time.monotonic()
    pool = databases.as_role("navplane_admin", size=CONNECTIONS)
    ended = storm(pool, tenants, OPERATIONS, keeps_to)
    mutant = storm(databases.as_role("navplane_admin", size=CONNECTIONS), tenants, 300, forgets_to_end)
    report = {
        "harness": "pool_storm", "seed": SEED, "operations": sum(ended.values()), "ended": dict(ended),
        "foreign": ended["foreign"], "foreign_of_the_mutant": mutant["foreign"], "seconds": round(time.monotonic() - began, 1),
    }  # fmt: skip
    print(json.dumps(report))
    assert ended["foreign"] == 0
    assert mutant["foreign"] > 0, "a context that outlives its transaction would go unnoticed"
    assert ended["rows"] >= OPERATIONS // 3
    assert min(ended["DatabaseError"], ended["Abandoned"], ended["nothing"]) >= OPERATIONS // 20


def test_a_tenant_that_never_was_sees_nothing(databases: TestDatabase, tenants: tuple[UUID, UUID]) -> None:
    pool = databases.as_role("navplane_admin", size=1)
    for org_id in (*tenants, new_id()):
        with pool.transaction(org_id=org_id) as db:
            assert len(db.run("SELECT org_id FROM public.api_keys")) == (org_id in tenants)
