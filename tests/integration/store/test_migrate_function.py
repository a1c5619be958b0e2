"""The migrate function, as a deployment invokes it: twice must be as good as once."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from navplane.store.migrate import read_migrations

from tests.support.postgres import TestCluster, TestDatabase

FUNCTION = Path(__file__).parents[3] / "functions" / "migrate"
INVOKE = "import json, handler; print(json.dumps([handler.handler({}, None), handler.handler({}, None)]))"


@pytest.fixture
def empty(postgres: TestCluster) -> Iterator[TestDatabase]:
    database = postgres.empty()
    yield database
    database.drop()


def test_it_applies_everything_once_makes_partitions_and_says_so(empty: TestDatabase) -> None:
    environment = {**os.environ, **empty.settings("navplane_owner")}
    done = subprocess.run(
        [sys.executable, "-c", INVOKE], cwd=FUNCTION, env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    names = [migration.name for migration in read_migrations()]
    assert json.loads(done.stdout) == [
        {"applied": names, "schema_version": names[-1]},
        {"applied": [], "schema_version": names[-1]},
    ]
    with empty.superuser() as superuser:
        assert superuser.run("SELECT count(*) FROM pg_inherits WHERE inhparent = 'public.request_logs'::regclass") == [[5]]
