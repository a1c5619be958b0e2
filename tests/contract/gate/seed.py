"""What the gate's contract suite needs to arrange, whatever the gate keeps it in."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from navplane.gate.gate import Caller, Gate
from navplane.model.limit import Limit, ModelPrice
from navplane.model.policy import Policy, PolicyScope
from navplane.model.provider_key import SealedProviderKey
from navplane.model.route import Route
from navplane.model.tenancy import DataMode, Region, StreamUsage


class Seed(Protocol):
    """The control plane's side of a gate. Whatever is seeded counts from the next question on."""

    def organization(self, *, region: Region, stream_usage: StreamUsage) -> UUID: ...

    def key(self, org_id: UUID, *, digest: bytes, expires_at: datetime | None, owner: UUID | None = None) -> Caller: ...

    def user(self) -> UUID:
        """Somebody who may own keys, in any organization."""
        ...

    def provider_key(self, key: SealedProviderKey, *, weight: int = 1) -> None:
        """For the organization in its context. Those seeded later are newer."""
        ...

    def remove_provider_keys(self, org_id: UUID) -> None: ...

    def set_enabled(self, org_id: UUID, enabled: bool) -> None: ...

    def set_policy(self, org_id: UUID, policy: Policy, *, scope: PolicyScope, scope_id: UUID) -> None: ...

    def set_route(self, org_id: UUID, route: Route) -> None:
        """In place of the one with its id, if there is one."""
        ...

    def remove_route(self, org_id: UUID, route_id: UUID) -> None: ...

    def set_data_mode(self, caller: Caller, data_mode: DataMode) -> None:
        """Of the caller's workspace."""
        ...

    def set_cached_admission(self, org_id: UUID, chosen: bool) -> None: ...

    def publish_workflow(self, org_id: UUID, version: UUID, *, workspace_id: UUID | None) -> None:
        """Nothing else may be published there."""
        ...

    def revoke(self, key_id: UUID) -> None: ...

    def set_limit(self, org_id: UUID | None, limit: Limit) -> None:
        """In place of the one of the same scope and kind, if there is one. Limits of the platform belong to no organization."""
        ...

    def remove_limit(self, org_id: UUID | None, limit: Limit) -> None: ...

    def set_price(self, provider: str, model: str, price: ModelPrice) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """One implementation under test, and the way to arrange things for it."""

    gate: Gate
    seed: Seed
