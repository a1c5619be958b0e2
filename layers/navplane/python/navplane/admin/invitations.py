"""Invitations: a member asks somebody in by mail. The token in the mail is good once, for whoever has that address."""

from datetime import datetime, timedelta
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter
from pydantic import Field, StringConstraints

from navplane.admin import change, paging
from navplane.admin.access import Call, Permission, require
from navplane.admin.fields import Body, View
from navplane.admin.invitation_mail import invitation_mail, new_token, token_digest
from navplane.admin.members import MembershipName, RoleGrant, RoleView, in_workspace, may_give
from navplane.admin.plane import Plane, ThePlane
from navplane.admin.problem import responses
from navplane.admin.roles import Role
from navplane.errors import Conflict, NotFound
from navplane.model.ids import new_id
from navplane.model.mail import Mailer
from navplane.store import invitations
from navplane.store.database import Connection
from navplane.store.invitations import Invitation
from navplane.store.members import Assignment
from navplane.store.organizations import Position

router = APIRouter(tags=["invitations"])

Email = Annotated[
    str, StringConstraints(max_length=254, pattern=r"^[^\s@<>()\[\],;:\\\"\x00-\x1f\x7f]+@[^\s@<>]+\.[^\s@<>.]+$")
]
Days = Annotated[int, Field(ge=1, le=30, description="For how long it can be accepted.")]
Status = Literal["open", "accepted", "expired", "revoked"]
USUAL_DAYS = 7


class NewInvitation(Body):
    email: Email = Field(examples=["ada@example.com"])
    membership: MembershipName = "member"
    roles: list[RoleGrant] = Field(default=[], max_length=50)
    days: Days = USUAL_DAYS


class Resending(Body):
    days: Days = USUAL_DAYS


class InvitationView(View):
    """The token is in the mail alone."""

    id: UUID
    email: str
    membership: MembershipName
    roles: list[RoleView]
    status: Status
    invited_by: str
    expires_at: datetime
    accepted_at: datetime | None
    accepted_by: UUID | None
    revoked_at: datetime | None
    created_at: datetime


class InvitationPage(View):
    items: list[InvitationView]
    next_cursor: str | None


@router.get("/admin/orgs/{org_id}/invitations", summary="List invitations, newest first", responses=responses(404, 422))
def list_invitations(
    org_id: UUID,
    call: Annotated[Call, require(Permission.INVITATION_LIST)],
    plane: ThePlane,
    limit: paging.Limit = paging.DEFAULT_LIMIT,
    cursor: paging.Cursor = None,
) -> InvitationPage:
    """Whatever became of them."""
    after = paging.decode(cursor)
    with plane.database.transaction(org_id=org_id) as db:
        change.found(db, org_id=org_id)
        found = invitations.page(db, org_id=org_id, limit=limit + 1, after=after)
    items, last = paging.cut(found, limit=limit)
    next_cursor = paging.encode(Position(created_at=last.created_at, id=last.id)) if last else None
    return InvitationPage(items=[_view(item, call.now) for item in items], next_cursor=next_cursor)


@router.post(
    "/admin/orgs/{org_id}/invitations",
    status_code=201,
    summary="Invite somebody by mail",
    responses=responses(400, 404, 409, 413, 422),
)
def invite(
    org_id: UUID, body: NewInvitation, call: Annotated[Call, require(Permission.INVITATION_CREATE)], plane: ThePlane
) -> InvitationView:
    """403 for a role or a membership with a permission that the caller doesn't have. 409 while another invitation of the same
    address is open. If the mail is not taken, nobody is invited: 503."""
    mailer, token = _mailer(plane), new_token()
    invitation = Invitation(
        id=new_id(),
        org_id=org_id,
        email=body.email,
        membership=body.membership,
        roles=tuple({Assignment(role=one.role, workspace_id=one.workspace_id) for one in body.roles}),
        invited_by=call.principal.subject,
        expires_at=call.now + timedelta(days=body.days),
        accepted_at=None,
        accepted_by=None,
        revoked_at=None,
        created_at=call.now,
    )
    _may_invite(call, invitation)
    with plane.database.transaction(org_id=org_id) as db:
        organization = change.held(db, org_id=org_id)
        for one in invitation.roles:
            in_workspace(db, org_id=org_id, workspace_id=one.workspace_id)
        if invitations.is_open(db, org_id=org_id, email=body.email, now=call.now):
            raise Conflict("There is an open invitation of this address: send it again, or revoke it.")
        invitations.insert(db, invitation, digest=token_digest(token))
        _record(db, call, invitation)
        # Last: if it fails nothing has happened, and if the commit fails the token in the mail is nobody's.
        mailer.send(invitation_mail(invitation, organization=organization.name, token=token))
    return _view(invitation, call.now)


@router.post(
    "/admin/orgs/{org_id}/invitations/{invitation_id}/resend",
    summary="Send an invitation again",
    responses=responses(400, 404, 409, 413, 422),
)
def resend(
    org_id: UUID,
    invitation_id: UUID,
    body: Resending,
    call: Annotated[Call, require(Permission.INVITATION_CREATE)],
    plane: ThePlane,
) -> InvitationView:
    """With another token, and for as long as a new one; the token in the mail before is void. An expired one can be sent again,
    an accepted or revoked one can't: 409."""
    mailer, token, expires_at = _mailer(plane), new_token(), call.now + timedelta(days=body.days)
    with plane.database.transaction(org_id=org_id) as db:
        organization = change.held(db, org_id=org_id)
        before = _found(db, org_id=org_id, invitation_id=invitation_id)
        if _status(before, call.now) in ("accepted", "revoked"):
            raise Conflict(f"The invitation is {_status(before, call.now)}.")
        _may_invite(call, before)
        invitations.renew(db, org_id=org_id, invitation_id=invitation_id, digest=token_digest(token), expires_at=expires_at)
        after = _found(db, org_id=org_id, invitation_id=invitation_id)
        _record(db, call, after)
        mailer.send(invitation_mail(after, organization=organization.name, token=token))
    return _view(after, call.now)


@router.delete(
    "/admin/orgs/{org_id}/invitations/{invitation_id}",
    status_code=204,
    summary="Revoke an invitation",
    responses=responses(404, 409),
)
def revoke(
    org_id: UUID, invitation_id: UUID, call: Annotated[Call, require(Permission.INVITATION_REVOKE)], plane: ThePlane
) -> None:
    """It stays in the list. 409 once it was accepted: remove the member."""
    with plane.database.transaction(org_id=org_id) as db:
        change.held(db, org_id=org_id)
        before = _found(db, org_id=org_id, invitation_id=invitation_id)
        if before.accepted_at is not None:
            raise Conflict("The invitation was accepted: remove the member.")
        if before.revoked_at is None:
            invitations.revoke(db, org_id=org_id, invitation_id=invitation_id, now=call.now)
            change.audited(db, call, org_id=org_id, resource=f"invitation/{invitation_id}", before=_facts(before))


def _mailer(plane: Plane) -> Mailer:
    if plane.mailer is None:
        raise Conflict("This NavPlane sends no mail. Set MAIL_SENDER, and invite then.")
    return plane.mailer


def _may_invite(call: Call, invitation: Invitation) -> None:
    """Nobody gives away by mail what they could not give by hand."""
    may_give(call, Role(invitation.membership), workspace_id=None)
    for one in invitation.roles:
        may_give(call, Role(one.role), workspace_id=one.workspace_id)


def _found(db: Connection, *, org_id: UUID, invitation_id: UUID) -> Invitation:
    invitation = invitations.find(db, org_id=org_id, invitation_id=invitation_id)
    if invitation is None:
        raise NotFound("There is no such invitation.")
    return invitation


def _record(db: Connection, call: Call, invitation: Invitation) -> None:
    resource = f"invitation/{invitation.id}"
    change.audited(db, call, org_id=invitation.org_id, resource=resource, after=_facts(invitation))


def _facts(invitation: Invitation) -> dict[str, object]:
    roles = [{"role": one.role, "workspace_id": one.workspace_id and str(one.workspace_id)} for one in invitation.roles]
    expires_at = invitation.expires_at.isoformat()
    return {"email": invitation.email, "membership": invitation.membership, "roles": roles, "expires_at": expires_at}


def _status(invitation: Invitation, now: datetime) -> Status:
    if invitation.accepted_at is not None:
        return "accepted"
    if invitation.revoked_at is not None:
        return "revoked"
    return "open" if now < invitation.expires_at else "expired"


def _view(invitation: Invitation, now: datetime) -> InvitationView:
    shown = {name: getattr(invitation, name) for name in InvitationView.model_fields if name not in ("roles", "status")}
    roles = [RoleView.model_validate(one) for one in invitation.roles]
    return InvitationView(**shown, roles=roles, status=_status(invitation, now))
