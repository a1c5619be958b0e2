"""The Gate Protocol: one atomic decision per request, and the life of its reservation.

    admit ──▶ reserved ──settle──▶ settled ──finalize──▶ final
                  └──────── expire ──▶ expired ──finalize──┘

A state never goes back, and every method is idempotent by request id: repeated and reordered calls change nothing more.
Nothing of SQL shows through here; tests/contract/gate holds every implementation to one suite.
All methods raise DependencyUnavailable when the gate can't answer; `admit` raises OutcomeUnknown when it may have reserved.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from math import ceil
from typing import Protocol
from uuid import UUID

from navplane.model.dialect import Dialect
from navplane.model.ids import RequestId
from navplane.model.limit import LimitKind, Worst, window_of
from navplane.model.provider_key import SealedProviderKey
from navplane.model.tenancy import Region, StreamUsage
from navplane.model.usage import Endpoint


class RefusalReason(StrEnum):
    """In the order in which they are checked: the first that applies is the answer."""

    INVALID_KEY = "invalid_key"
    ORGANIZATION_DISABLED = "organization_disabled"
    REGION_MISMATCH = "region_mismatch"
    ENDPOINT_NOT_ALLOWED = "endpoint_not_allowed"
    MODEL_NOT_FOUND = "model_not_found"
    MODEL_NOT_ALLOWED = "model_not_allowed"
    PROVIDER_KEY_MISSING = "provider_key_missing"
    MODEL_UNPRICED = "model_unpriced"
    UNBOUNDED_REQUEST = "unbounded_request"
    BUDGET_EXCEEDED = "budget_exceeded"
    RATE_LIMITED = "rate_limited"


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """What a request weighs on limits: tokens, and money in nano-USD (1e-9 USD), both integers. To settle or finalize with None
    is not to know the price yet: the money that is held stays held."""

    tokens: int = 0
    nano_usd: int | None = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One request for admission, in the client's words: `model` is what it wrote, None for endpoints that have none.

    `provider` is the one that the path names (`pinned`), else the first of the registry whose patterns match the model, else
    None. `offering` are the providers that a route, or a name like `provider/model`, may lead to: those that serve the endpoint
    in the caller's dialect; of a pinned path that one. `attributes` are what a route's conditions may look at: `header.<name>`
    and `tag.<key>`. `touches_files`: of files and batches, which a policy must allow; `also_models` are further models that the
    call would use (the lines of a batch), which policies must allow as well.

    What is reserved is the `worst` case, by what the gate knows of the models that it may lead to; without one it is `reserve`.
    `lease` is how long the reservation may stay open."""

    request_id: RequestId
    key_digest: bytes
    endpoint: Endpoint
    provider: str | None
    model: str | None
    region: Region
    stream: bool
    lease: timedelta
    reserve: Charge = field(default_factory=Charge)
    worst: Worst | None = None
    dialect: Dialect = Dialect.OPENAI
    pinned: bool = False
    offering: tuple[str, ...] = ()
    attributes: Mapping[str, str] = field(default_factory=dict)
    touches_files: bool = False
    also_models: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who presented the key."""

    org_id: UUID
    workspace_id: UUID
    key_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One way to serve the request: `model` is what the provider is to be called with, and where it isn't the Ask's, the one
    value in the body is to be replaced. `step` 0 is for the first try, each further one for when those before it failed; within
    a step any will do, more often the greater its `weight`."""

    provider: str
    model: str | None
    key: SealedProviderKey
    step: int = 0
    weight: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """`candidates` are ordered by step, and there is at least one. `route` is the name of the route that led to them, None
    where the model's name alone did. `workflow_version` is what that route comes from; without one what is published for the
    workspace, or else for the organization. `fallback_when_billed`: a further step may be tried although the one before it may
    have cost money. `may_outlast_gate`: the organization has no limits, and chose to be served for a while by what was said
    last should the gate fail to answer."""

    request_id: RequestId
    caller: Caller
    stream_usage: StreamUsage
    candidates: tuple[Candidate, ...]
    route: str | None = None
    workflow_version: UUID | None = None
    fallback_when_billed: bool = False
    may_outlast_gate: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """`caller` is None only where the key is not known. `detail` names the offending thing (a model, a provider, or a limit by
    scope and kind: `key requests_per_minute`). Of a limit `resets_at` is when its window ends, and `retry_after` the seconds
    until then; both None for what frees as others end. `workflow_version`: as of an Admission, where the caller is known."""

    reason: RefusalReason
    caller: Caller | None = None
    detail: str = ""
    retry_after: int | None = None
    resets_at: datetime | None = None
    workflow_version: UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Menu:
    """What a key may call: `aliases` are names that routes take (whole names, no globs), `models` pairs of a provider and one
    of its models with a known price."""

    caller: Caller
    aliases: tuple[str, ...]
    models: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Expired:
    """A reservation past its lease that no usage event has closed: what is needed to write its row."""

    request_id: RequestId
    caller: Caller
    provider: str
    provider_key_id: UUID
    model: str | None
    endpoint: Endpoint
    region: Region
    stream: bool
    demo: bool
    charge: Charge


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Whose call made an object that a provider keeps, and under which of its provider keys. `pending_event`: the usage event
    of that call, where a later one brings its usage; opaque to the gate, at most 16 KiB."""

    org_id: UUID
    provider_key_id: UUID
    pending_event: str | None = None


def over_limit(limit: str, caller: Caller, now: datetime, *, workflow_version: UUID | None = None) -> Refusal:
    """The refusal by a limit that is named by scope and kind."""
    kind = LimitKind(limit.rpartition(" ")[2])
    resets_at = window_of(kind, now).ends_at
    return Refusal(
        reason=RefusalReason.BUDGET_EXCEEDED if kind.is_budget else RefusalReason.RATE_LIMITED,
        caller=caller,
        detail=limit,
        retry_after=ceil((resets_at - now).total_seconds()) if resets_at else None,
        resets_at=resets_at,
        workflow_version=workflow_version,
    )


class Gate(Protocol):
    def admit(self, ask: Ask, now: datetime) -> Admission | Refusal:
        """Decide and reserve in one atomic step, in every limit's window of `now` or in none. Asked again with the same request
        id, it answers as the first time would if the reservation is still open, and never reserves twice."""
        ...

    def menu(
        self, key_digest: bytes, *, dialect: Dialect, region: Region, offering: Sequence[str], now: datetime
    ) -> Menu | Refusal:
        """What the key may call of the providers in `offering`, as the policies of this moment have it; INVALID_KEY,
        ORGANIZATION_DISABLED or REGION_MISMATCH otherwise. Nothing is reserved."""
        ...

    def standing(self, callers: Sequence[Caller], now: datetime) -> Sequence[RefusalReason | None]:
        """For each caller, in order: None while it may go on, else why not (INVALID_KEY, ORGANIZATION_DISABLED)."""
        ...

    def settle(self, request_id: RequestId, charge: Charge, now: datetime) -> None:
        """The proxy, after the last byte: a provisional charge, in the windows of the admission; the request no longer counts
        as open, nor its stream as running."""
        ...

    def finalize(self, charges: Mapping[RequestId, Charge], now: datetime) -> None:
        """The writer, after its commit: the charges of the rows as they now stand, in the windows of the admission. Unknown
        request ids are no error (a refused request has no reservation; a late reservation under such an id is refused)."""
        ...

    def expire(self, before: datetime, *, limit: int, now: datetime) -> Sequence[Expired]:
        """The reaper: up to `limit` reservations, oldest first, whose lease ended before `before` and which are not final.
        They count as expired from here on, hold no stream any more, weigh what they reserved until a charge is known, and are
        answered again by every call until they are finalized."""
        ...

    def bind_object(self, provider: str, object_id: str, owner: Owner, now: datetime) -> None:
        """An object that the provider keeps belongs to `owner` from here on. The first binding counts, for good."""
        ...

    def owner_of(self, provider: str, object_id: str) -> Owner | None:
        """None for what was never bound."""
        ...

    def keeps_content(self, caller: Caller) -> bool:
        """Whether the caller's workspace wants what is asked and answered to be kept (data mode `full`)."""
        ...

    def ready(self) -> None:
        """Return if the gate can answer just now."""
        ...
