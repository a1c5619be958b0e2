"""The implementations that the contract suite runs on."""

from datetime import datetime
from uuid import UUID

import pytest
from navplane.gate.gate import Caller
from navplane.model.policy import ProviderSettings
from navplane.model.provider_key import SealedProviderKey
from navplane.model.tenancy import Region, StreamUsage

from tests.contract.gate.seed import Subject
from tests.support.gate_memory import MemoryGate
from tests.support.gate_seed_postgres import PostgresGateOfBothPlanes, PostgresSeed
from tests.support.postgres import TestDatabase


class MemorySeed:
    """Speaks MemoryGate's own words."""

    def __init__(self, gate: MemoryGate) -> None:
        self._gate = gate

    def organization(self, *, region: Region, stream_usage: StreamUsage) -> UUID:
        return self._gate.add_org(region=region, stream_usage=stream_usage)

    def key(self, org_id: UUID, *, digest: bytes, expires_at: datetime | None) -> Caller:
        return self._gate.add_key(org_id, digest=digest, expires_at=expires_at)

    def provider_key(self, key: SealedProviderKey) -> None:
        self._gate.add_provider_key(key)

    def remove_provider_keys(self, org_id: UUID) -> None:
        self._gate.remove_provider_keys(org_id)

    def set_enabled(self, org_id: UUID, enabled: bool) -> None:
        self._gate.set_enabled(org_id, enabled)

    def set_settings(self, org_id: UUID, settings: ProviderSettings) -> None:
        self._gate.set_settings(org_id, settings)

    def revoke(self, key_id: UUID) -> None:
        self._gate.revoke(key_id)


@pytest.fixture(params=["postgres", "memory"])
def subject(request: pytest.FixtureRequest) -> Subject:
    if request.param == "memory":
        gate = MemoryGate()
        return Subject(gate=gate, seed=MemorySeed(gate))
    database: TestDatabase = request.getfixturevalue("module_database")
    # The suite looks at everything that is open, so what an earlier test left open goes.
    with database.superuser() as superuser:
        superuser.run("TRUNCATE public.reservations")
    return Subject(gate=PostgresGateOfBothPlanes(database), seed=PostgresSeed(database.as_role("navplane_admin")))
