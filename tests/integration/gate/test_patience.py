"""The proxy's gate gives up after a second: a caller is told 503 long before it would give up itself."""

import threading

import pytest
from navplane import wiring
from navplane.config import DatabaseSettings
from navplane.errors import DependencyUnavailable

from tests.support.gate_seed_postgres import NOW, PostgresSeed, Tenant
from tests.support.postgres import TestDatabase

# Well beyond the second, and well within what other functions wait for a statement.
RELEASED_AFTER_SECONDS = 3.5


def test_an_admission_that_has_to_wait_is_given_up_before_what_it_waits_for_ends(databases: TestDatabase) -> None:
    tenant = Tenant(PostgresSeed(databases.as_role("navplane_admin")))
    gate = wiring.late_gate(DatabaseSettings.from_env(databases.settings("navplane_gate")), connections=1)
    with databases.superuser() as holder:
        holder.run("BEGIN")
        holder.run("SELECT FROM public.organizations WHERE id = :id FOR UPDATE", id=tenant.org_id)
        release = threading.Timer(RELEASED_AFTER_SECONDS, lambda: holder.run("ROLLBACK"))
        release.start()
        try:
            with pytest.raises(DependencyUnavailable):
                gate.admit(tenant.ask(), NOW)
        finally:
            release.cancel()
            release.join()
