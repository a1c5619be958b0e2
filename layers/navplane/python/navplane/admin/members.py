"""Members of an organization and their roles. Nobody changes their own, nobody gives what they lack, and an owner stays."""

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
from navplane.admin.roles import PERMISSIONS, Role
from navplane.errors import Conflict, Forbidden, Invalid, NotFound
from navplane.model.ids import new_id
from navplane.store import members, workspaces
from navplane.store.database import Connection
from navplane.store.members import Assignment, Member
from navplane.store.organizations import Position

router = APIRouter(tags=["members"])

MembershipName = Literal["owner", "member"]
AssignableName = Literal["workspace_admin", "operator", "approver", "auditor", "integration_admin"]
MOST_CHANGES = 100


class RoleGrant(Body):
    role: AssignableName
    workspace_id: Annotated[UUID | None, Field(strict=False)] = Field(
        default=None, description="null: in the whole organization."
    )


class Roles(Body):
    roles: list[RoleGrant] = Field(max_length=50, description="All of them: what is not here is taken away.")


class MembershipChange(Body):
    user_id: Annotated[UUID, Field(strict=False)]
    membership: MembershipName


class MembershipChanges(Body):
    changes: list[MembershipChange] = Field(min_length=1, max_length=MOST_CHANGES)


class RoleView(View):
    role: AssignableName
    workspace_id: UUID | None


class MemberView(View):
    user_id: UUID
    membership: MembershipName
    subject: str
    email: str | None
    name: str | None
    active: bool
    roles: list[RoleView]
    created_at: datetime


class MemberPage(View):
    items: list[MemberView]
    next_cursor: str | None


Search = Annotated[str | None, Query(max_length=200, pattern=PRINTABLE, description="Part of an e-mail address or a name.")]


@router.get(
    "/admin/orgs/{org_id}/members",
    summary="List members, newest first",
    responses=responses(404, 422),
    dependencies=[require(Permission.MEMBER_LIST)],
)
def list_members(
    org_id: UUID,
    plane: ThePlane,
    limit: paging.Limit = paging.DEFAULT_LIMIT,
    cursor: paging.Cursor = None,
    search: Search = None,
    membership: MembershipName | None = None,
) -> MemberPage:
    after = paging.decode(cursor)
    with plane.database.transaction(org_id=org_id) as db:
        change.found(db, org_id=org_id)
        found = members.page(db, org_id=org_id, limit=limit + 1, after=after, search=search, membership=membership)
    items, last = paging.cut(found, limit=limit)
    next_cursor = paging.encode(Position(created_at=last.created_at, id=last.user_id)) if last else None
    return MemberPage(items=[_view(item) for item in items], next_cursor=next_cursor)


@router.post(
    "/admin/orgs/{org_id}/members/change",
    summary="Make members owners, and owners members",
    responses=responses(400, 404, 409, 413, 422),
)
def change_members(
    org_id: UUID, body: MembershipChanges, call: Annotated[Call, require(Permission.MEMBER_UPDATE)], plane: ThePlane
) -> MemberPage:
    """All of the changes or none. 403 if one is the caller's own, 409 if no owner would be left who can sign in."""
    with plane.database.transaction(org_id=org_id) as db:
        change.held(db, org_id=org_id)
        for one in body.changes:
            before = _found(db, org_id=org_id, user_id=one.user_id)
            _not_oneself(call, one.user_id)
            members.put(db, org_id=org_id, user_id=one.user_id, membership=one.membership, now=call.now)
            facts = ({"membership": before.membership}, {"membership": one.membership})
            change.audited(db, call, org_id=org_id, resource=f"member/{one.user_id}", before=facts[0], after=facts[1])
        _an_owner_stays(db, org_id)
        items = [_view(_found(db, org_id=org_id, user_id=one.user_id)) for one in body.changes]
    return MemberPage(items=items, next_cursor=None)


@router.get(
    "/admin/orgs/{org_id}/members/{user_id}/roles",
    summary="Read a member's roles",
    responses=responses(404),
    dependencies=[require(Permission.MEMBER_LIST)],
)
def read_roles(org_id: UUID, user_id: UUID, plane: ThePlane) -> MemberView:
    with plane.database.transaction(org_id=org_id) as db:
        change.found(db, org_id=org_id)
        return _view(_found(db, org_id=org_id, user_id=user_id))


@router.put(
    "/admin/orgs/{org_id}/members/{user_id}/roles", summary="Set a member's roles", responses=responses(400, 404, 413, 422)
)
def set_roles(
    org_id: UUID,
    user_id: UUID,
    body: Roles,
    call: Annotated[Call, require(Permission.ROLE_ASSIGN, versioned=True, per_workspace=True)],
    plane: ThePlane,
) -> MemberView:
    """For who assigns roles in some workspaces only, `roles` are those in these workspaces. 403 for the caller's own, and for a
    role with a permission that the caller doesn't have there."""
    wanted = {Assignment(role=one.role, workspace_id=one.workspace_id) for one in body.roles}
    with plane.database.transaction(org_id=org_id) as db:
        change.held(db, org_id=org_id)
        before = _found(db, org_id=org_id, user_id=user_id)
        change.expected(call, _view(before))
        _not_oneself(call, user_id)
        had = {one for one in before.roles if call.covers(one.workspace_id)}
        for one in wanted ^ had:
            may_give(call, Role(one.role), workspace_id=one.workspace_id)
        for one in had - wanted:
            members.unassign(db, org_id=org_id, user_id=user_id, assignment=one)
        for one in wanted - had:
            in_workspace(db, org_id=org_id, workspace_id=one.workspace_id)
            members.assign(db, org_id=org_id, user_id=user_id, assignment=one, assignment_id=new_id(), now=call.now)
        after = _found(db, org_id=org_id, user_id=user_id)
        change.audited(db, call, org_id=org_id, resource=f"member/{user_id}", before=_roles(before), after=_roles(after))
    return _view(after)


@router.delete(
    "/admin/orgs/{org_id}/members/{user_id}", status_code=204, summary="Remove a member", responses=responses(404, 409)
)
def remove_member(
    org_id: UUID, user_id: UUID, call: Annotated[Call, require(Permission.MEMBER_REMOVE)], plane: ThePlane
) -> None:
    """With their roles; from the next call on the organization is hidden from them. API keys that they own go on. 409 for the
    last owner."""
    with plane.database.transaction(org_id=org_id) as db:
        change.held(db, org_id=org_id)
        before = _found(db, org_id=org_id, user_id=user_id)
        members.remove(db, org_id=org_id, user_id=user_id)
        if before.membership == "owner":
            _an_owner_stays(db, org_id)
        facts = {"membership": before.membership, **_roles(before)}
        change.audited(db, call, org_id=org_id, resource=f"member/{user_id}", before=facts)


def may_give(call: Call, role: Role, *, workspace_id: UUID | None) -> None:
    """Raise Forbidden for a role with more than the caller has in that workspace, or, without one, in the organization."""
    if not (call.covers(workspace_id) and call.principal.holds(PERMISSIONS[role], workspace_id=workspace_id)):
        raise Forbidden(f"The role {role.value} has permissions that you don't have there.")


def in_workspace(db: Connection, *, org_id: UUID, workspace_id: UUID | None) -> None:
    if workspace_id is not None and workspaces.find(db, org_id=org_id, workspace_id=workspace_id) is None:
        raise Invalid("workspace_id is not the id of a workspace of this organization.")


def _not_oneself(call: Call, user_id: UUID) -> None:
    if call.principal.user_id == user_id:
        raise Forbidden("Nobody changes their own roles: another owner can.")


def _an_owner_stays(db: Connection, org_id: UUID) -> None:
    if not members.owners(db, org_id=org_id):
        raise Conflict("The organization would have no owner who can sign in.")


def _found(db: Connection, *, org_id: UUID, user_id: UUID) -> Member:
    member = members.find(db, org_id=org_id, user_id=user_id)
    if member is None:
        raise NotFound("There is no such member.")
    return member


def _roles(member: Member) -> dict[str, object]:
    return {"roles": [{"role": one.role, "workspace_id": one.workspace_id and str(one.workspace_id)} for one in member.roles]}


def _view(member: Member) -> MemberView:
    shown = {name: getattr(member, name) for name in MemberView.model_fields if name not in ("active", "roles")}
    roles = [RoleView.model_validate(one) for one in member.roles]
    return MemberView(**shown, active=member.deactivated_at is None, roles=roles)
