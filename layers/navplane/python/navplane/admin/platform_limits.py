"""Limits of the whole platform: what everybody together may use. Platform admins only."""

from dataclasses import replace
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter

from navplane.admin import change
from navplane.admin.access import Call, Permission, require
from navplane.admin.fields import View
from navplane.admin.limits import Kind, LimitChange, LimitView, amount_of, view
from navplane.admin.plane import ThePlane
from navplane.admin.problem import responses
from navplane.errors import Conflict, NotFound
from navplane.model.ids import new_id
from navplane.model.limit import PLATFORM_ID, Limit, LimitKind, LimitMode, LimitScope
from navplane.store import platform_limits
from navplane.store.database import Connection
from navplane.store.limits import KeptLimit

router = APIRouter(tags=["platform limits"])


class NewPlatformLimit(LimitChange):
    kind: Kind


class PlatformLimits(View):
    """One of a kind at most, in the order in which they are checked."""

    items: list[LimitView]


@router.get("/admin/limits", summary="List the platform's limits", responses=responses())
def list_platform_limits(call: Annotated[Call, require(Permission.PLATFORM_LIMIT_LIST)], plane: ThePlane) -> PlatformLimits:
    with plane.database.transaction() as db:
        return PlatformLimits(items=[view(kept, call.now) for kept in platform_limits.every(db, now=call.now)])


@router.post("/admin/limits", status_code=201, summary="Set a limit of the platform", responses=responses(400, 409, 413, 422))
def create_platform_limit(
    body: NewPlatformLimit, call: Annotated[Call, require(Permission.PLATFORM_LIMIT_CREATE)], plane: ThePlane
) -> LimitView:
    """In force once this has answered, for every organization; it counts from then on. A kind that has one already is 409."""
    kind = LimitKind(body.kind)
    limit = Limit(
        id=new_id(),
        scope=LimitScope.PLATFORM,
        scope_id=PLATFORM_ID,
        kind=kind,
        amount=amount_of(body, kind),
        mode=LimitMode(body.mode),
        allow_unpriced=body.allow_unpriced,
    )
    with plane.database.transaction() as db:
        if not platform_limits.insert(db, limit, now=call.now):
            raise Conflict(f"There is a limit of {kind.value} for the platform already: change that one.")
        kept = _kept(db, call, limit.id)
        _tell(db, call, limit.id, after=kept)
    return view(kept, call.now)


@router.put("/admin/limits/{limit_id}", summary="Change a limit of the platform", responses=responses(400, 404, 413, 422))
def update_platform_limit(
    limit_id: UUID, body: LimitChange, call: Annotated[Call, require(Permission.PLATFORM_LIMIT_UPDATE)], plane: ThePlane
) -> LimitView:
    """What was used stays used. In force once this has answered."""
    with plane.database.transaction() as db:
        before = _kept(db, call, limit_id)
        limit = replace(
            before.limit,
            amount=amount_of(body, before.limit.kind),
            mode=LimitMode(body.mode),
            allow_unpriced=body.allow_unpriced,
        )
        platform_limits.update(db, limit)
        after = replace(before, limit=limit)
        _tell(db, call, limit_id, before=before, after=after)
    return view(after, call.now)


@router.delete(
    "/admin/limits/{limit_id}", status_code=204, summary="Take a limit of the platform away", responses=responses(404)
)
def delete_platform_limit(
    limit_id: UUID, call: Annotated[Call, require(Permission.PLATFORM_LIMIT_DELETE)], plane: ThePlane
) -> None:
    """Set again in the same window, it remembers what was used while it was there."""
    with plane.database.transaction() as db:
        before = _kept(db, call, limit_id)
        platform_limits.delete(db, limit_id=limit_id)
        _tell(db, call, limit_id, before=before)


def _kept(db: Connection, call: Call, limit_id: UUID) -> KeptLimit:
    kept = platform_limits.find(db, limit_id=limit_id, now=call.now)
    if kept is None:
        raise NotFound("There is no such limit.")
    return kept


def _tell(
    db: Connection, call: Call, limit_id: UUID, *, before: KeptLimit | None = None, after: KeptLimit | None = None
) -> None:
    change.audited(
        db,
        call,
        org_id=None,
        resource=f"platform_limit/{limit_id}",
        before=view(before, call.now).model_dump(mode="json") if before else None,
        after=view(after, call.now).model_dump(mode="json") if after else None,
    )
