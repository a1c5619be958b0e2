"""A gate in memory: the Gate Protocol for real, for tests that need admissions and no database.

The contract suite of tests/contract/gate holds it to the same promises as the gates that are deployed.
"""

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import IntEnum
from uuid import UUID

from navplane.errors import DependencyUnavailable
from navplane.gate.gate import (
    Admission,
    Ask,
    Caller,
    Candidate,
    Charge,
    Expired,
    Menu,
    Owner,
    Refusal,
    RefusalReason,
    over_limit,
)
from navplane.model.dialect import Dialect
from navplane.model.ids import RequestId, new_id
from navplane.model.limit import (
    MOST_COUNTED,
    USUAL_OUTPUT_TOKENS,
    Limit,
    LimitKind,
    LimitMode,
    LimitScope,
    ModelPrice,
    window_of,
)
from navplane.model.policy import Policy, allows_files, forbidden
from navplane.model.provider_key import SealedProviderKey
from navplane.model.route import Destination, Question, Route, Target, resolve
from navplane.model.tenancy import DataMode, Region, StreamUsage

# Whose limit (in which organization, None for the platform's), of which kind, in which window.
Counter = tuple[UUID | None, UUID, LimitKind, str]


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
    cached_admission: bool = False
    # By the id of the key, the workspace or the organization.
    policies: dict[UUID, Policy] = field(default_factory=dict)
    routes: dict[UUID, Route] = field(default_factory=dict)
    # What is published, by workspace; of the organization itself by None.
    workflows: dict[UUID | None, UUID] = field(default_factory=dict)
    # Each with its weight.
    provider_keys: list[tuple[SealedProviderKey, int]] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class KeyItem:
    caller: Caller
    owner: UUID | None
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
    counters: tuple[Counter, ...] = ()


# A limit, and whose organization's it is: nobody's for the platform's.
Owned = tuple[UUID | None, Limit]
# Why a target is out, and the name that is to blame.
Objection = tuple[RefusalReason, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What would be answered, were there room for `charge` within `limits`."""

    admission: Admission
    charge: Charge
    limits: Sequence[Owned]


class MemoryGate:
    """Safe to use from many threads; every method is one atomic step."""

    def __init__(self) -> None:
        self._lock = threading.Condition(threading.RLock())
        self._organizations: dict[UUID, OrganizationItem] = {}
        self._keys: dict[bytes, KeyItem] = {}
        self._reservations: dict[RequestId, Reservation] = {}
        self._owners: dict[tuple[str, str], Owner] = {}
        self._full_workspaces: set[UUID] = set()
        self._limits: list[tuple[UUID | None, Limit]] = []
        self._used: dict[Counter, int] = {}
        self._prices: dict[tuple[str, str], ModelPrice] = {}
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

    def add_key(self, org_id: UUID, *, digest: bytes, expires_at: datetime | None = None, owner: UUID | None = None) -> Caller:
        with self._lock:
            workspace_id = self._organizations[org_id].workspace_id
            caller = Caller(org_id=org_id, workspace_id=workspace_id, key_id=new_id())
            self._keys[digest] = KeyItem(caller=caller, owner=owner, expires_at=expires_at)
        return caller

    def add_provider_key(self, key: SealedProviderKey, *, weight: int = 1) -> None:
        """The organization is the one that the key is sealed for."""
        with self._lock:
            self._organizations[key.context.org_id].provider_keys.append((key, weight))

    def remove_provider_keys(self, org_id: UUID) -> None:
        with self._lock:
            self._organizations[org_id].provider_keys.clear()

    def set_enabled(self, org_id: UUID, enabled: bool) -> None:
        with self._lock:
            self._organizations[org_id].enabled = enabled

    def set_policy(self, org_id: UUID, policy: Policy, *, scope_id: UUID | None = None) -> None:
        """Of the key or workspace that is named, else of the organization."""
        with self._lock:
            self._organizations[org_id].policies[scope_id or org_id] = policy

    def set_route(self, org_id: UUID, route: Route) -> None:
        """In place of the one with its id, if there is one."""
        with self._lock:
            self._organizations[org_id].routes[route.id] = route

    def remove_route(self, org_id: UUID, route_id: UUID) -> None:
        with self._lock:
            del self._organizations[org_id].routes[route_id]

    def publish_workflow(self, org_id: UUID, version: UUID, *, workspace_id: UUID | None) -> None:
        with self._lock:
            self._organizations[org_id].workflows[workspace_id] = version

    def set_stream_usage(self, org_id: UUID, stream_usage: StreamUsage) -> None:
        with self._lock:
            self._organizations[org_id].stream_usage = stream_usage

    def set_cached_admission(self, org_id: UUID, chosen: bool) -> None:
        with self._lock:
            self._organizations[org_id].cached_admission = chosen

    def revoke(self, key_id: UUID) -> None:
        with self._lock:
            for item in self._keys.values():
                if item.caller.key_id == key_id:
                    item.revoked = True

    def set_limit(self, org_id: UUID | None, limit: Limit) -> None:
        """In place of the one of the same scope and kind, if there is one. The platform's belong to no organization."""
        with self._lock:
            self.remove_limit(org_id, limit)
            self._limits.append((org_id, limit))
            self._limits.sort(key=lambda each: _rank(each[1]))

    def remove_limit(self, org_id: UUID | None, limit: Limit) -> None:
        gone = (org_id, limit.scope_id, limit.kind)
        with self._lock:
            self._limits = [(of, each) for of, each in self._limits if (of, each.scope_id, each.kind) != gone]

    def set_price(self, provider: str, model: str, price: ModelPrice) -> None:
        with self._lock:
            self._prices[provider, model] = price

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
            answer = self._answer(ask, now)
            if answer.caller is None or answer.workflow_version is not None:
                return answer
            published = self._organizations[answer.caller.org_id].workflows
            return replace(answer, workflow_version=published.get(answer.caller.workspace_id, published.get(None)))

    def _answer(self, ask: Ask, now: datetime) -> Admission | Refusal:
        with self._lock:
            decision = self._decide(ask, now)
            known = self._reservations.get(ask.request_id)
            if isinstance(decision, Refusal):
                return decision
            if known is None:
                return self._reserve(ask, decision, now)
            caller = decision.admission.caller
            if known.state is not State.RESERVED or known.admission is None or known.admission.caller != caller:
                raise DependencyUnavailable("This request id is closed; send the request again.")
            return decision.admission

    def menu(
        self, key_digest: bytes, *, dialect: Dialect, region: Region, offering: Sequence[str], now: datetime
    ) -> Menu | Refusal:
        with self._lock:
            key = self._keys.get(key_digest)
            if key is None or (reason := self._standing(key.caller, now)) is RefusalReason.INVALID_KEY:
                return Refusal(reason=RefusalReason.INVALID_KEY, caller=key.caller if key else None)
            caller, organization = key.caller, self._organizations[key.caller.org_id]
            if reason is not None:
                return Refusal(reason=reason, caller=caller)
            if organization.region is not region:
                return Refusal(reason=RefusalReason.REGION_MISMATCH, caller=caller, detail=organization.region.value)
            levels = [organization.policies[id_] for id_ in _scopes(key) if id_ in organization.policies]
            held = {stored.context.provider for stored, _ in organization.provider_keys} & set(offering)

            def allowed(provider: str, model: str) -> bool:
                return provider in held and forbidden(levels, provider=provider, model=model) is None

            aliases = {
                route.match
                for route in _routes_of(organization, caller)
                if route.dialect is dialect and "*" not in route.match
                for target in route.targets
                if allowed(target.provider, target.model or route.match)
            }
            models = sorted(name for name in self._prices if allowed(*name))
            return Menu(caller=caller, aliases=tuple(sorted(aliases)), models=tuple(models))

    def standing(self, callers: Sequence[Caller], now: datetime) -> Sequence[RefusalReason | None]:
        with self._lock:
            self.standings.append(callers)
            self._lock.notify_all()
            return [self._standing(caller, now) for caller in callers]

    def settle(self, request_id: RequestId, charge: Charge, now: datetime) -> None:
        with self._lock:
            reservation = self._reservations.get(request_id)
            if reservation is not None and reservation.state is State.RESERVED:
                self._move(request_id, State.SETTLED, charge)

    def finalize(self, charges: Mapping[RequestId, Charge], now: datetime) -> None:
        with self._lock:
            for request_id, charge in charges.items():
                self._reservations.setdefault(request_id, Reservation(state=State.FINAL, charge=charge))
                self._move(request_id, State.FINAL, charge)

    def expire(self, before: datetime, *, limit: int, now: datetime) -> Sequence[Expired]:
        with self._lock:
            due = sorted((id_ for id_, held in self._reservations.items() if _lease_ended(held, before)), key=str)[:limit]
            for request_id in due:
                self._move(request_id, State.EXPIRED, self._reservations[request_id].charge)
            return [_expired(self._reservations[request_id]) for request_id in due]

    def bind_object(self, provider: str, object_id: str, owner: Owner, now: datetime) -> None:
        with self._lock:
            self._owners.setdefault((provider, object_id), owner)

    def owner_of(self, provider: str, object_id: str) -> Owner | None:
        with self._lock:
            return self._owners.get((provider, object_id))

    def keeps_content(self, caller: Caller) -> bool:
        with self._lock:
            return caller.workspace_id in self._full_workspaces

    def set_data_mode(self, workspace_id: UUID, data_mode: DataMode) -> None:
        with self._lock:
            (self._full_workspaces.add if data_mode is DataMode.FULL else self._full_workspaces.discard)(workspace_id)

    def ready(self) -> None:
        return None

    # -- the decision ----------------------------------------------------------------------------------------------------

    def _decide(self, ask: Ask, now: datetime) -> Decision | Refusal:
        key = self._keys.get(ask.key_digest)
        if key is None or (reason := self._standing(key.caller, now)) is RefusalReason.INVALID_KEY:
            return Refusal(reason=RefusalReason.INVALID_KEY, caller=key.caller if key else None)
        caller, organization = key.caller, self._organizations[key.caller.org_id]
        levels = [organization.policies[id_] for id_ in _scopes(key) if id_ in organization.policies]
        if reason is not None:
            return Refusal(reason=reason, caller=caller)
        if organization.region is not ask.region:
            return Refusal(reason=RefusalReason.REGION_MISMATCH, caller=caller, detail=organization.region.value)
        if ask.touches_files and not allows_files(levels):
            return Refusal(reason=RefusalReason.ENDPOINT_NOT_ALLOWED, caller=caller)
        destination = resolve(_question(ask), _routes_of(organization, caller))
        if not destination.targets:
            return Refusal(reason=RefusalReason.MODEL_NOT_FOUND, caller=caller, detail=ask.model or "")
        limits = self._limits_of(key)
        judged = [(target, self._judge(target, ask, organization, levels, limits)) for target in destination.targets]
        fit = [(target, charge) for target, charge in judged if isinstance(charge, Charge)]
        if not fit:
            objection = judged[0][1]
            assert isinstance(objection, tuple)
            return Refusal(reason=objection[0], caller=caller, detail=objection[1])
        return Decision(
            admission=replace(
                _admission(ask, caller, organization, destination, [target for target, _ in fit]),
                may_outlast_gate=organization.cached_admission and not self._has_limits(caller.org_id),
            ),
            charge=_worst(fit, destination),
            limits=limits,
        )

    def _judge(
        self, target: Target, ask: Ask, organization: OrganizationItem, levels: Sequence[Policy], limits: Sequence[Owned]
    ) -> Charge | Objection:
        """What the target weighs, or why it is out."""
        for model in (target.model, *ask.also_models):
            if (name := forbidden(levels, provider=target.provider, model=model)) is not None:
                return RefusalReason.MODEL_NOT_ALLOWED, name
        if not _keys_for(organization, target.provider):
            return RefusalReason.PROVIDER_KEY_MISSING, target.provider
        charge, reason = self._weight(target, ask, [limit for _, limit in limits])
        return charge if reason is None else (reason, target.model or "")

    # -- limits ----------------------------------------------------------------------------------------------------------

    def _limits_of(self, key: KeyItem) -> list[Owned]:
        """In the order in which they are checked."""
        scopes = {id_ for id_ in (*_scopes(key), key.owner) if id_ is not None}
        return [
            (of, limit)
            for of, limit in self._limits
            if limit.scope is LimitScope.PLATFORM or (of == key.caller.org_id and limit.scope_id in scopes)
        ]

    def _has_limits(self, org_id: UUID) -> bool:
        return any(of in (None, org_id) for of, _ in self._limits)

    def _weight(self, target: Target, ask: Ask, limits: Sequence[Limit]) -> tuple[Charge, RefusalReason | None]:
        """What to reserve, and why it can't be told."""
        worst = ask.worst
        if worst is None or worst.is_nothing:
            return ask.reserve if worst is None else Charge(), None
        weighing = [limit for limit in limits if limit.kind.measure in ("usd", "tokens")]
        price = self._prices.get((target.provider, target.model or "")) if weighing else None
        if price is None and any(limit.kind.measure == "usd" and not limit.allow_unpriced for limit in weighing):
            return Charge(), RefusalReason.MODEL_UNPRICED
        context = price.context_tokens if price else None
        most_read = worst.input_tokens if worst.contexts == 0 else context and worst.contexts and context * worst.contexts
        most_written = price.max_output_tokens if price and worst.output_tokens is None else worst.output_tokens
        if (most_read is None or most_written is None) and any(limit.mode is LimitMode.STRICT for limit in weighing):
            return Charge(), RefusalReason.UNBOUNDED_REQUEST
        read = worst.input_tokens if most_read is None else most_read
        written = USUAL_OUTPUT_TOKENS if most_written is None else most_written
        cost = read * price.input_nano_usd + written * price.output_nano_usd + price.request_nano_usd if price else 0
        return Charge(tokens=min(read + written, MOST_COUNTED), nano_usd=min(cost, MOST_COUNTED)), None

    def _reserve(self, ask: Ask, decision: Decision, now: datetime) -> Admission | Refusal:
        """In every counter or in none."""
        admission, charge = decision.admission, decision.charge
        limits = [(of, limit) for of, limit in decision.limits if ask.stream or limit.kind.measure != "concurrent_streams"]
        counters = tuple((of, limit.scope_id, limit.kind, window_of(limit.kind, now).name) for of, limit in limits)
        for (_, limit), counter in zip(limits, counters, strict=True):
            if not limit.allows(self._used.get(counter, 0), _weight_on(limit.kind, charge)):
                return over_limit(f"{limit.scope.value} {limit.kind.value}", admission.caller, now)
        for counter in counters:
            self._used[counter] = self._used.get(counter, 0) + _weight_on(counter[2], charge)
        self._reservations[ask.request_id] = Reservation(
            state=State.RESERVED, charge=charge, ask=ask, admission=admission, admitted_at=now, counters=counters
        )
        return admission

    def _move(self, request_id: RequestId, state: State, charge: Charge) -> None:
        held = self._reservations[request_id]
        nano_usd = held.charge.nano_usd if charge.nano_usd is None else charge.nano_usd
        new = replace(held, state=max(state, held.state), charge=Charge(tokens=charge.tokens, nano_usd=nano_usd))
        for counter in held.counters:
            match counter[2].measure:
                case "concurrent_streams":
                    self._used[counter] -= held.state is State.RESERVED
                case "usd" | "tokens":
                    self._used[counter] += _weight_on(counter[2], new.charge) - _weight_on(counter[2], held.charge)
        self._reservations[request_id] = new

    def _standing(self, caller: Caller, now: datetime) -> RefusalReason | None:
        key = next((item for item in self._keys.values() if item.caller == caller), None)
        if key is None or key.revoked or (key.expires_at is not None and key.expires_at <= now):
            return RefusalReason.INVALID_KEY
        enabled = self._organizations[caller.org_id].enabled
        return None if enabled else RefusalReason.ORGANIZATION_DISABLED


def _scopes(key: KeyItem) -> tuple[UUID, UUID, UUID]:
    """The most specific first."""
    return key.caller.key_id, key.caller.workspace_id, key.caller.org_id


def _question(ask: Ask) -> Question:
    return Question(
        model=ask.model,
        dialect=ask.dialect,
        provider=ask.provider,
        pinned=ask.pinned,
        offering=ask.offering,
        attributes=ask.attributes,
    )


def _routes_of(organization: OrganizationItem, caller: Caller) -> list[Route]:
    return [route for route in organization.routes.values() if route.workspace_id in (None, caller.workspace_id)]


def _admission(
    ask: Ask, caller: Caller, organization: OrganizationItem, destination: Destination, targets: Sequence[Target]
) -> Admission:
    route, steps = destination.route, sorted({target.step for target in targets})
    return Admission(
        request_id=ask.request_id,
        caller=caller,
        stream_usage=organization.stream_usage,
        candidates=tuple(
            candidate for target in targets for candidate in _candidates(organization, target, step=steps.index(target.step))
        ),
        route=route.name if route else None,
        workflow_version=route.workflow_version if route else None,
        fallback_when_billed=route.fallback_when_billed if route else False,
    )


def _worst(fit: Sequence[tuple[Target, Charge]], destination: Destination) -> Charge:
    """What any of them may cost, or all steps together where a further one may follow on one that cost money."""
    together = sum if destination.route is not None and destination.route.fallback_when_billed else max
    steps = {target.step for target, _ in fit}
    tokens = [max(charge.tokens for target, charge in fit if target.step == step) for step in steps]
    money = [max(charge.nano_usd or 0 for target, charge in fit if target.step == step) for step in steps]
    return Charge(tokens=min(together(tokens), MOST_COUNTED), nano_usd=min(together(money), MOST_COUNTED))


def _rank(limit: Limit) -> tuple[int, int]:
    return list(LimitKind).index(limit.kind), list(LimitScope).index(limit.scope)


def _weight_on(kind: LimitKind, charge: Charge) -> int:
    return {"usd": charge.nano_usd or 0, "tokens": charge.tokens}.get(kind.measure, 1)


def _keys_for(organization: OrganizationItem, provider: str) -> list[tuple[SealedProviderKey, int]]:
    """The newest first."""
    return [(key, weight) for key, weight in reversed(organization.provider_keys) if key.context.provider == provider]


def _candidates(organization: OrganizationItem, target: Target, *, step: int) -> Iterator[Candidate]:
    """The target's share is its weight, split among the keys for its provider by theirs."""
    keys = _keys_for(organization, target.provider)
    total = sum(weight for _, weight in keys)
    for key, weight in keys:
        share = max(1, 1000 * target.weight * weight // total)
        yield Candidate(provider=target.provider, model=target.model, key=key, step=step, weight=share)


def _lease_ended(held: Reservation, before: datetime) -> bool:
    if held.state is State.FINAL or held.ask is None or held.admitted_at is None:
        return False
    return held.admitted_at + held.ask.lease < before


def _expired(held: Reservation) -> Expired:
    ask, admission = held.ask, held.admission
    assert ask is not None
    assert admission is not None
    first = admission.candidates[0].key
    return Expired(
        request_id=ask.request_id,
        caller=admission.caller,
        provider=first.context.provider,
        provider_key_id=first.context.provider_key_id,
        model=ask.model,
        endpoint=ask.endpoint,
        region=ask.region,
        stream=ask.stream,
        demo=first.demo,
        charge=held.charge,
    )
