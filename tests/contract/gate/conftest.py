"""The implementations that the contract suite runs on."""

from datetime import datetime
from uuid import UUID

import pytest
from navplane.gate.gate import Caller
from navplane.model.ids import new_id
from navplane.model.limit import Limit, ModelPrice
from navplane.model.policy import Policy, PolicyScope
from navplane.model.provider_key import SealedProviderKey
from navplane.model.route import Route
from navplane.model.tenancy import DataMode, Region, StreamUsage

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

    def key(self, org_id: UUID, *, digest: bytes, expires_at: datetime | None, owner: UUID | None = None) -> Caller:
        return self._gate.add_key(org_id, digest=digest, expires_at=expires_at, owner=owner)

    def user(self) -> UUID:
        return new_id()

    def provider_key(self, key: SealedProviderKey, *, weight: int = 1) -> None:
        self._gate.add_provider_key(key, weight=weight)

    def remove_provider_keys(self, org_id: UUID) -> None:
        self._gate.remove_provider_keys(org_id)

    def set_enabled(self, org_id: UUID, enabled: bool) -> None:
        self._gate.set_enabled(org_id, enabled)

    def set_policy(self, org_id: UUID, policy: Policy, *, scope: PolicyScope, scope_id: UUID) -> None:
        self._gate.set_policy(org_id, policy, scope_id=scope_id)

    def set_route(self, org_id: UUID, route: Route) -> None:
        self._gate.set_route(org_id, route)

    def remove_route(self, org_id: UUID, route_id: UUID) -> None:
        self._gate.remove_route(org_id, route_id)

    def set_data_mode(self, caller: Caller, data_mode: DataMode) -> None:
        self._gate.set_data_mode(caller.workspace_id, data_mode)

    def set_cached_admission(self, org_id: UUID, chosen: bool) -> None:
        self._gate.set_cached_admission(org_id, chosen)

    def publish_workflow(self, org_id: UUID, version: UUID, *, workspace_id: UUID | None) -> None:
        self._gate.publish_workflow(org_id, version, workspace_id=workspace_id)

    def revoke(self, key_id: UUID) -> None:
        self._gate.revoke(key_id)

    def set_limit(self, org_id: UUID | None, limit: Limit) -> None:
        self._gate.set_limit(org_id, limit)

    def remove_limit(self, org_id: UUID | None, limit: Limit) -> None:
        self._gate.remove_limit(org_id, limit)

    def set_price(self, provider: str, model: str, price: ModelPrice) -> None:
        self._gate.set_price(provider, model, price)


@pytest.fixture(scope="module")
def in_postgres(module_database: TestDatabase) -> Subject:
    """One for all tests: its connections are kept as long as the database is."""
    seed = PostgresSeed(module_database.as_role("navplane_admin"), superuser=module_database.superuser)
    return Subject(gate=PostgresGateOfBothPlanes(module_database), seed=seed)


@pytest.fixture(params=["postgres", "memory"])
def subject(request: pytest.FixtureRequest) -> Subject:
    if request.param == "memory":
        gate = MemoryGate()
        return Subject(gate=gate, seed=MemorySeed(gate))
    database: TestDatabase = request.getfixturevalue("module_database")
    # The suite looks at everything that is open and at what is everybody's, so what an earlier test left of those goes.
    with database.superuser() as superuser:
        superuser.run("TRUNCATE public.reservations, public.platform_limits, public.limit_counters")
        superuser.run("TRUNCATE public.model_prices, public.model_price_hits")
    subject: Subject = request.getfixturevalue("in_postgres")
    return subject
