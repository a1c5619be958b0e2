"""Users of the whole platform: find them, deactivate them, end what tokens they hold."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import Field

from navplane.admin import change, paging
from navplane.admin.access import Call, Permission, require
from navplane.admin.fields import PRINTABLE, Body, View
from navplane.admin.plane import ThePlane
from navplane.admin.problem import responses
from navplane.errors import Forbidden, NotFound
from navplane.store import users
from navplane.store.database import Connection
from navplane.store.organizations import Position
from navplane.store.users import User

router = APIRouter(tags=["users"])


class Activation(Body):
    active: bool = Field(description="false: every call of theirs is refused from now on.")


class UserView(View):
    id: UUID
    issuer: str
    subject: str
    email: str | None
    name: str | None
    permissions: list[str] = Field(description="What the token said; nothing is decided by them.")
    is_platform_admin: bool
    active: bool
    last_seen_at: datetime | None
    created_at: datetime


class UserPage(View):
    items: list[UserView]
    next_cursor: str | None


@router.get(
    "/admin/users",
    summary="List users, newest first",
    responses=responses(422),
    dependencies=[require(Permission.USER_LIST)],
)
def list_users(
    plane: ThePlane,
    limit: paging.Limit = paging.DEFAULT_LIMIT,
    cursor: paging.Cursor = None,
    search: Annotated[
        str | None, Query(max_length=200, pattern=PRINTABLE, description="Part of an e-mail address, name or subject.")
    ] = None,
    role: Annotated[
        Literal["platform_admin", "owner", "member"] | None, Query(description="Who has it, in whichever organization.")
    ] = None,
    status: Literal["active", "deactivated"] | None = None,
) -> UserPage:
    after = paging.decode(cursor)
    active = None if status is None else status == "active"
    with plane.database.transaction(platform=True) as db:
        found = users.page(db, limit=limit + 1, after=after, search=search, role=role, active=active)
    items, last = paging.cut(found, limit=limit)
    next_cursor = paging.encode(Position(created_at=last.created_at, id=last.id)) if last else None
    return UserPage(items=[_view(item) for item in items], next_cursor=next_cursor)


@router.put(
    "/admin/users/{user_id}/active", summary="Deactivate a user, or let them in again", responses=responses(400, 404, 413, 422)
)
def set_active(
    user_id: UUID, body: Activation, call: Annotated[Call, require(Permission.USER_UPDATE)], plane: ThePlane
) -> UserView:
    """403 for oneself. Roles stay, and are in force again once the user is."""
    with plane.database.transaction() as db:
        before = _another(db, call, user_id)
        users.set_deactivated(db, user_id=user_id, at=None if body.active else call.now)
        facts = ({"active": before.deactivated_at is None}, {"active": body.active})
        change.audited(db, call, org_id=None, resource=f"user/{user_id}", before=facts[0], after=facts[1])
        return _view(_found(db, user_id))


@router.post("/admin/users/{user_id}/revoke-tokens", status_code=204, summary="End a user's tokens", responses=responses(404))
def revoke_tokens(user_id: UUID, call: Annotated[Call, require(Permission.USER_UPDATE)], plane: ThePlane) -> None:
    """Whatever was issued until now is refused; a token from a new login is not."""
    with plane.database.transaction() as db:
        _found(db, user_id)
        users.void_tokens(db, user_id=user_id, now=call.now)
        change.audited(db, call, org_id=None, resource=f"user/{user_id}", after={"tokens_not_before": call.now.isoformat()})


def _another(db: Connection, call: Call, user_id: UUID) -> User:
    if call.principal.user_id == user_id:
        raise Forbidden("Nobody deactivates themselves: another platform admin can.")
    return _found(db, user_id)


def _found(db: Connection, user_id: UUID) -> User:
    user = users.find(db, user_id=user_id)
    if user is None:
        raise NotFound("There is no such user.")
    return user


def _view(user: User) -> UserView:
    shown = {name: getattr(user, name) for name in UserView.model_fields if name not in ("active", "permissions")}
    return UserView(**shown, active=user.deactivated_at is None, permissions=list(user.permissions))
