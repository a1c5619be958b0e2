"""A gate in memory: the Gate Protocol for real, for tests that need admissions and no database.

The contract suite of tests/contract/gate holds it to the same promises as the gates that are deployed.
"""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import IntEnum
from uuid import UUID

from navplane.errors import DependencyUnavailable
from navplane.gate.gate import Admission, Ask, Caller, Charge, Expired, Owner, Refusal, RefusalReason
from navplane.model.ids import RequestId, new_id
from navplane.model.policy import ProviderSettings, allows
from navplane.model.provider_key import SealedProviderKey
from navplane.model.tenancy import Region, StreamUsage


class State(IntEnum):
    """A reservation's states, in their order: none ever goes back."""

    RESERVED = 0
    SETTLED = 1
    EXPIRED = 2
    FINAL = 3


@dataclass(slots=True, kw_only=True)
class OrganizationItem:
    workspace_id: UUID
    region: Region
    enabled: bool
    stream_usage: StreamUsage
    settings: ProviderSettings = field(default_factory=ProviderSettings)
    provider_keys: list[SealedProviderKey] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class KeyItem:
    caller: Caller
    expires_at: datetime | None
    revoked: bool = False


@dataclass(slots=True, kw_only=True)
class Reservation:
    """`admission` and `ask` are None for a request id that was finalized without ever being reserved."""

    state: State
    charge: Charge
    ask: Ask | None = None
    admission: Admission | None = None
    admitted_at: datetime | None = None


class MemoryGate:
    """Safe to use from many threads; every method is one atomic step."""

    def __init__(self) -> None:
        self._lock = threading.Condition()
        self._organizations: dict[UUID, OrganizationItem] = {}
        self._keys: dict[bytes, KeyItem] = {}
        self._reservations: dict[RequestId, Reservation] = {}
        self._owners: dict[tuple[str, str], Owner] = {}
        # What was asked, in order.
        self.asks: list[Ask] = []
        self.standings: list[Sequence[Caller]] = []

    # -- seeding ---------------------------------------------------------------------------------------------------------

    def add_org(
        self,
        *,
        org_id: UUID | None = None,
        enabled: bool = True,
        region: Region = Region.US,
        stream_usage: StreamUsage = StreamUsage.INJECT,
    ) -> UUID:
        org_id = org_id or new_id()
        with self._lock:
            self._organizations[org_id] = OrganizationItem(
                workspace_id=new_id(), region=region, enabled=enabled, stream_usage=stream_usage
            )
        return org_id

    def add_key(self, org_id: UUID, *, digest: bytes, expires_at: datetime | None = None) -> Caller:
        with self._lock:
            workspace_id = self._organizations[org_id].workspace_id
            caller = Caller(org_id=org_id, workspace_id=workspace_id, key_id=new_id())
            self._keys[digest] = KeyItem(caller=caller, expires_at=expires_at)
        return caller

    def add_provider_key(self, key: SealedProviderKey) -> None:
        """The organization is the one that the key is sealed for."""
        with self._lock:
            self._organizations[key.context.org_id].provider_keys.append(key)

    def remove_provider_keys(self, org_id: UUID) -> None:
        with self._lock:
            self._organizations[org_id].provider_keys.clear()

    def set_enabled(self, org_id: UUID, enabled: bool) -> None:
        with self._lock:
            self._organizations[org_id].enabled = enabled

    def set_settings(self, org_id: UUID, settings: ProviderSettings) -> None:
        with self._lock:
            self._organizations[org_id].settings = settings

    def set_stream_usage(self, org_id: UUID, stream_usage: StreamUsage) -> None:
        with self._lock:
            self._organizations[org_id].stream_usage = stream_usage

    def revoke(self, key_id: UUID) -> None:
        with self._lock:
            for item in self._keys.values():
                if item.caller.key_id == key_id:
                    item.revoked = True

    # -- looking in ------------------------------------------------------------------------------------------------------

    def state_of(self, request_id: RequestId) -> State | None:
        with self._lock:
            reservation = self._reservations.get(request_id)
            return reservation.state if reservation else None

    def charge_of(self, request_id: RequestId) -> Charge:
        with self._lock:
            return self._reservations[request_id].charge

    def open_reservations(self) -> list[RequestId]:
        with self._lock:
            return [id_ for id_, reservation in self._reservations.items() if reservation.state is State.RESERVED]

    def wait_for_standings(self, count: int, *, seconds: float = 10.0) -> None:
        """Until `standing` was asked so many times; AssertionError when it is not."""
        with self._lock:
            assert self._lock.wait_for(lambda: len(self.standings) >= count, seconds), "standing was not asked"

    # -- the Protocol ----------------------------------------------------------------------------------------------------

    def admit(self, ask: Ask, now: datetime) -> Admission | Refusal:
        with self._lock:
            self.asks.append(ask)
            decision = self._decide(ask, now)
            known = self._reservations.get(ask.request_id)
            if isinstance(decision, Refusal):
                return decision
            if known is None:
                self._reservations[ask.request_id] = Reservation(
                    state=State.RESERVED, charge=ask.reserve, ask=ask, admission=decision, admitted_at=now
                )
            elif known.state is not State.RESERVED or known.admission is None or known.admission.caller != decision.caller:
                raise DependencyUnavailable("This request id is closed; send the request again.")
            return decision

    def standing(self, callers: Sequence[Caller], now: datetime) -> Sequence[RefusalReason | None]:
        with self._lock:
            self.standings.append(callers)
            self._lock.notify_all()
            return [self._standing(caller, now) for caller in callers]

    def settle(self, request_id: RequestId, charge: Charge, now: datetime) -> None:
        with self._lock:
            reservation = self._reservations.get(request_id)
            if reservation is not None and reservation.state is State.RESERVED:
                self._reservations[request_id] = replace(reservation, state=State.SETTLED, charge=charge)

    def finalize(self, charges: Mapping[RequestId, Charge], now: datetime) -> None:
        with self._lock:
            for request_id, charge in charges.items():
                known = self._reservations.get(request_id) or Reservation(state=State.FINAL, charge=charge)
                self._reservations[request_id] = replace(known, state=State.FINAL, charge=charge)

    def expire(self, before: datetime, *, limit: int, now: datetime) -> Sequence[Expired]:
        with self._lock:
            due = sorted((id_ for id_, held in self._reservations.items() if _lease_ended(held, before)), key=str)[:limit]
            for request_id in due:
                self._reservations[request_id].state = State.EXPIRED
            return [_expired(self._reservations[request_id]) for request_id in due]

    def bind_object(self, provider: str, object_id: str, owner: Owner, now: datetime) -> None:
        with self._lock:
            self._owners.setdefault((provider, object_id), owner)

    def owner_of(self, provider: str, object_id: str) -> Owner | None:
        with self._lock:
            return self._owners.get((provider, object_id))

    def ready(self) -> None:
        return None

    # -- the decision ----------------------------------------------------------------------------------------------------

    def _decide(self, ask: Ask, now: datetime) -> Admission | Refusal:
        key = self._keys.get(ask.key_digest)
        if key is None or (reason := self._standing(key.caller, now)) is RefusalReason.INVALID_KEY:
            return Refusal(reason=RefusalReason.INVALID_KEY, caller=key.caller if key else None)
        caller, organization = key.caller, self._organizations[key.caller.org_id]
        reason = reason or _first_objection(organization, ask)
        if reason is not None:
            return Refusal(reason=reason, caller=caller, detail=_detail(reason, ask))
        return Admission(
            request_id=ask.request_id,
            caller=caller,
            stream_usage=organization.stream_usage,
            candidates=_candidates(organization, ask),
        )

    def _standing(self, caller: Caller, now: datetime) -> RefusalReason | None:
        key = next((item for item in self._keys.values() if item.caller == caller), None)
        if key is None or key.revoked or (key.expires_at is not None and key.expires_at <= now):
            return RefusalReason.INVALID_KEY
        enabled = self._organizations[caller.org_id].enabled
        return None if enabled else RefusalReason.ORGANIZATION_DISABLED


def _first_objection(organization: OrganizationItem, ask: Ask) -> RefusalReason | None:
    if organization.region is not ask.region:
        return RefusalReason.REGION_MISMATCH
    if ask.provider is None:
        return RefusalReason.MODEL_NOT_FOUND
    if not allows(organization.settings, provider=ask.provider, model=ask.model):
        return RefusalReason.MODEL_NOT_ALLOWED
    return None if _candidates(organization, ask) else RefusalReason.PROVIDER_KEY_MISSING


def _candidates(organization: OrganizationItem, ask: Ask) -> tuple[SealedProviderKey, ...]:
    """The newest key first."""
    return tuple(key for key in reversed(organization.provider_keys) if key.context.provider == ask.provider)


def _detail(reason: RefusalReason, ask: Ask) -> str:
    if reason is RefusalReason.PROVIDER_KEY_MISSING:
        return ask.provider or ""
    return ask.model or ask.provider or "" if reason.value.startswith("model") else ""


def _lease_ended(held: Reservation, before: datetime) -> bool:
    if held.state is State.FINAL or held.ask is None or held.admitted_at is None:
        return False
    return held.admitted_at + held.ask.lease < before


def _expired(held: Reservation) -> Expired:
    ask, admission = held.ask, held.admission
    assert ask is not None
    assert admission is not None
    assert ask.provider is not None
    first = admission.candidates[0]
    return Expired(
        request_id=ask.request_id,
        caller=admission.caller,
        provider=ask.provider,
        provider_key_id=first.context.provider_key_id,
        model=ask.model,
        endpoint=ask.endpoint,
        region=ask.region,
        stream=ask.stream,
        demo=first.demo,
        charge=held.charge,
    )
