"""Limits and budgets of an organization, its workspaces and its keys."""

from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter
from pydantic import Field, StringConstraints

from navplane.admin import change, ownership, paging
from navplane.admin.access import Call, Permission, require
from navplane.admin.fields import Body, View
from navplane.admin.plane import ThePlane
from navplane.admin.problem import responses
from navplane.errors import Conflict, Invalid, NotFound
from navplane.model.ids import new_id
from navplane.model.limit import NANO_USD, Limit, LimitKind, LimitMode, LimitScope, window_of
from navplane.store import limits
from navplane.store.database import Connection
from navplane.store.limits import KeptLimit
from navplane.store.organizations import Position
from navplane.store.outbox import Aggregate

router = APIRouter(tags=["limits"])

Scope = Literal["organization", "workspace", "user", "key"]
Kind = Literal[
    "usd_per_month",
    "usd_per_day",
    "tokens_per_month",
    "tokens_per_day",
    "concurrent_streams",
    "requests_per_hour",
    "requests_per_minute",
    "tokens_per_minute",
]
Mode = Literal["strict", "normal"]
# A thousand million USD, and a million times a million of anything else, are more than anybody needs and fit the counters.
Dollars = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,9}(\.[0-9]{1,9})?$")]
Amount = Annotated[int, Field(ge=0, le=10**12)]


class LimitChange(Body):
    amount: Amount | None = Field(default=None, description="Requests, tokens or streams.", examples=[600])
    amount_usd: Dollars | None = Field(default=None, description="For budgets in USD instead of `amount`, as text.")
    mode: Mode = Field(
        default="strict",
        description="`strict`: what is spent and reserved never exceeds the limit. `normal`: at most one request goes over.",
    )
    allow_unpriced: bool = Field(
        default=False, description="Under a budget in USD: let models without a known price pass. They weigh nothing then."
    )


class NewLimit(LimitChange):
    scope: Scope
    scope_id: Annotated[UUID, Field(strict=False)] | None = Field(
        default=None, description="The workspace's, the user's or the key's id; the organization needs none."
    )
    kind: Kind


class LimitView(View):
    id: UUID
    scope: str
    scope_id: UUID
    kind: str
    amount: int | None
    amount_usd: str | None
    mode: str
    allow_unpriced: bool
    used: int | None = Field(description="Spent and reserved in the current window.")
    used_usd: str | None
    resets_at: datetime | None = Field(description="When the current window ends, in UTC; null for concurrent_streams.")
    workflow_version: UUID | None = Field(description="The workflow's version that made it; null for one made here.")
    created_at: datetime


class LimitPage(View):
    items: list[LimitView]
    next_cursor: str | None


@router.get(
    "/admin/orgs/{org_id}/limits",
    summary="List limits, newest first",
    responses=responses(404, 422),
)
def list_limits(
    org_id: UUID,
    call: Annotated[Call, require(Permission.LIMIT_LIST)],
    plane: ThePlane,
    limit: paging.Limit = paging.DEFAULT_LIMIT,
    cursor: paging.Cursor = None,
) -> LimitPage:
    after = paging.decode(cursor)
    with plane.database.transaction(org_id=org_id) as db:
        change.found(db, org_id=org_id)
        found = limits.page(db, org_id=org_id, limit=limit + 1, after=after, now=call.now)
    items, last = paging.cut(found, limit=limit)
    next_cursor = paging.encode(Position(created_at=last.created_at, id=last.limit.id)) if last else None
    return LimitPage(items=[view(item, call.now) for item in items], next_cursor=next_cursor)


@router.post(
    "/admin/orgs/{org_id}/limits",
    status_code=201,
    summary="Set a limit",
    responses=responses(400, 404, 409, 413, 422),
)
def create_limit(
    org_id: UUID, body: NewLimit, call: Annotated[Call, require(Permission.LIMIT_CREATE)], plane: ThePlane
) -> LimitView:
    """In force once this has answered; it counts from then on. A scope and kind that have one already are 409."""
    limit = _limit(body, org_id=org_id)
    with plane.database.transaction(org_id=org_id) as db:
        change.held(db, org_id=org_id)
        if not limits.names_somebody(db, org_id=org_id, scope=limit.scope, scope_id=limit.scope_id):
            raise Invalid(f"scope_id is not the id of a {limit.scope.value} of this organization.")
        if not limits.insert(db, limit, org_id=org_id, now=call.now):
            raise Conflict(f"There is a limit of {limit.kind.value} for this {limit.scope.value} already: change that one.")
        kept = _kept(db, org_id=org_id, limit_id=limit.id, now=call.now)
        _tell(db, call, org_id=org_id, limit=limit, after=kept)
    return view(kept, call.now)


@router.get(
    "/admin/orgs/{org_id}/limits/{limit_id}",
    summary="Read a limit and what is used of it",
    responses=responses(404),
)
def read_limit(
    org_id: UUID, limit_id: UUID, call: Annotated[Call, require(Permission.LIMIT_LIST)], plane: ThePlane
) -> LimitView:
    with plane.database.transaction(org_id=org_id) as db:
        change.found(db, org_id=org_id)
        return view(_kept(db, org_id=org_id, limit_id=limit_id, now=call.now), call.now)


@router.put(
    "/admin/orgs/{org_id}/limits/{limit_id}",
    summary="Change a limit's amount and mode",
    responses=responses(400, 404, 409, 413, 422),
)
def update_limit(
    org_id: UUID,
    limit_id: UUID,
    body: LimitChange,
    call: Annotated[Call, require(Permission.LIMIT_UPDATE, versioned=True)],
    plane: ThePlane,
) -> LimitView:
    """What was used stays used. In force once this has answered. What a workflow made is 409."""
    with plane.database.transaction(org_id=org_id) as db:
        change.held(db, org_id=org_id)
        before = _made_by_hand(db, org_id=org_id, limit_id=limit_id, now=call.now)
        change.expected(call, view(before, call.now))
        limit = replace(
            before.limit,
            amount=amount_of(body, before.limit.kind),
            mode=LimitMode(body.mode),
            allow_unpriced=body.allow_unpriced,
        )
        limits.update(db, limit, org_id=org_id)
        after = replace(before, limit=limit)
        _tell(db, call, org_id=org_id, limit=limit, before=before, after=after)
    return view(after, call.now)


@router.delete(
    "/admin/orgs/{org_id}/limits/{limit_id}", status_code=204, summary="Take a limit away", responses=responses(404, 409)
)
def delete_limit(
    org_id: UUID, limit_id: UUID, call: Annotated[Call, require(Permission.LIMIT_DELETE)], plane: ThePlane
) -> None:
    """Set again in the same window, it remembers what was used while it was there."""
    with plane.database.transaction(org_id=org_id) as db:
        change.held(db, org_id=org_id)
        before = _made_by_hand(db, org_id=org_id, limit_id=limit_id, now=call.now)
        limits.delete(db, org_id=org_id, limit_id=limit_id)
        _tell(db, call, org_id=org_id, limit=before.limit, before=before)


def _limit(body: NewLimit, *, org_id: UUID) -> Limit:
    scope, kind = LimitScope(body.scope), LimitKind(body.kind)
    scope_id = body.scope_id or (org_id if scope is LimitScope.ORGANIZATION else None)
    if scope_id is None:
        raise Invalid(f"A limit of a {scope.value} needs scope_id, the {scope.value}'s id.")
    return Limit(
        id=new_id(),
        scope=scope,
        scope_id=scope_id,
        kind=kind,
        amount=amount_of(body, kind),
        mode=LimitMode(body.mode),
        allow_unpriced=body.allow_unpriced,
    )


def amount_of(body: LimitChange, kind: LimitKind) -> int:
    """In the counters' unit. Raise Invalid where the amount is in the wrong one."""
    is_money = kind.measure == "usd"
    if is_money and body.amount_usd is not None and body.amount is None:
        return int(Decimal(body.amount_usd) * NANO_USD)
    if not is_money and body.amount is not None and body.amount_usd is None:
        return body.amount
    raise Invalid(f"A limit of {kind.value} needs {'amount_usd' if is_money else 'amount'}, and only that.")


def _made_by_hand(db: Connection, *, org_id: UUID, limit_id: UUID, now: datetime) -> KeptLimit:
    kept = _kept(db, org_id=org_id, limit_id=limit_id, now=now)
    ownership.by_hand(db, org_id=org_id, version_id=kept.workflow_version, what="limit")
    return kept


def _kept(db: Connection, *, org_id: UUID, limit_id: UUID, now: datetime) -> KeptLimit:
    kept = limits.find(db, org_id=org_id, limit_id=limit_id, now=now)
    if kept is None:
        raise NotFound("There is no such limit.")
    return kept


def _tell(
    db: Connection, call: Call, *, org_id: UUID, limit: Limit, before: KeptLimit | None = None, after: KeptLimit | None = None
) -> None:
    change.audited(
        db,
        call,
        org_id=org_id,
        resource=f"limit/{limit.id}",
        before=view(before, call.now).model_dump(mode="json") if before else None,
        after=view(after, call.now).model_dump(mode="json") if after else None,
    )
    change.told(db, call, org_id=org_id, aggregate=Aggregate.ORGANIZATION, aggregate_id=org_id)


def view(kept: KeptLimit, now: datetime) -> LimitView:
    limit = kept.limit
    is_money = limit.kind.measure == "usd"
    return LimitView(
        id=limit.id,
        scope=limit.scope.value,
        scope_id=limit.scope_id,
        kind=limit.kind.value,
        amount=None if is_money else limit.amount,
        amount_usd=_dollars(limit.amount) if is_money else None,
        mode=limit.mode.value,
        allow_unpriced=limit.allow_unpriced,
        used=None if is_money else kept.used,
        used_usd=_dollars(kept.used) if is_money else None,
        resets_at=window_of(limit.kind, now).ends_at,
        workflow_version=kept.workflow_version,
        created_at=kept.created_at,
    )


def _dollars(nano_usd: int) -> str:
    return f"{Decimal(nano_usd) / NANO_USD:.9f}".rstrip("0").rstrip(".")
