"""What every test may ask for: a real Postgres, once per session, and a fresh migrated database on it."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.support.canary_watch import watched
from tests.support.gateway import PROVIDER_SECRET
from tests.support.postgres import TestCluster, TestDatabase, running_cluster

# No test fails because the machine was busy.
settings.register_profile("navplane", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("navplane")


@pytest.fixture(scope="session", autouse=True)
def no_provider_key_is_ever_logged() -> Iterator[None]:
    """By whichever test, in whatever spelling. What the deployed functions leave behind tests/e2e/proofs looks through."""
    with watched(PROVIDER_SECRET) as watch:
        yield
    assert watch.hits == []


@pytest.fixture(scope="session")
def postgres() -> Iterator[TestCluster]:
    with running_cluster() as cluster:
        yield cluster


@pytest.fixture
def databases(postgres: TestCluster) -> Iterator[TestDatabase]:
    """A fresh migrated database for this test alone."""
    database = postgres.copy()
    yield database
    database.drop()


@pytest.fixture(scope="module")
def module_database(postgres: TestCluster) -> Iterator[TestDatabase]:
    """One for a whole module, whose tests then keep to organizations of their own."""
    database = postgres.copy()
    yield database
    database.drop()
