"""Accepting an invitation: whoever holds its token and signs in with its address, verified, becomes a member."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter
from pydantic import Field, StringConstraints

from navplane.admin import change
from navplane.admin.access import Call, Permission, require
from navplane.admin.fields import Body, View
from navplane.admin.invitation_mail import TOKEN_PATTERN, token_digest
from navplane.admin.members import MembershipName, RoleView
from navplane.admin.plane import ThePlane
from navplane.admin.problem import responses
from navplane.errors import Conflict, Forbidden, Gone, NotFound
from navplane.model.ids import new_id
from navplane.store import invitations, members, workspaces
from navplane.store.database import Connection
from navplane.store.invitations import Invitation
from navplane.store.members import Assignment

router = APIRouter(tags=["invitations"])

NO_SUCH_INVITATION = "There is no invitation with this token. If it was sent again, the newest mail has the one that is good."


class Acceptance(Body):
    token: Annotated[str, StringConstraints(pattern=TOKEN_PATTERN)] = Field(description="From the mail.")


class Joined(View):
    org_id: UUID
    membership: MembershipName
    roles: list[RoleView]


@router.post("/admin/invitations/accept", summary="Accept an invitation", responses=responses(400, 404, 409, 410, 413, 422))
def accept(body: Acceptance, call: Annotated[Call, require(Permission.INVITATION_ACCEPT)], plane: ThePlane) -> Joined:
    """403 unless the caller's token has the invited address in a verified e-mail claim; 409 for who is a member already; 410
    once it was accepted or revoked, or has expired."""
    with plane.database.transaction() as db:
        place = invitations.named_by(db, digest=token_digest(body.token))
    if place is None:
        raise NotFound(NO_SUCH_INVITATION)
    org_id, invitation_id = place
    with plane.database.transaction(org_id=org_id) as db:
        change.held(db, org_id=org_id)
        invitation = invitations.find(db, org_id=org_id, invitation_id=invitation_id)
        if invitation is None:
            raise NotFound(NO_SUCH_INVITATION)
        user_id = _invited(call, invitation)
        _still_open(invitation, call.now)
        if members.find(db, org_id=org_id, user_id=user_id) is not None:
            raise Conflict("You are a member already; an owner can change your roles.")
        roles = _join(db, invitation, user_id=user_id, now=call.now)
        joined = Joined.model_validate({"org_id": org_id, "membership": invitation.membership, "roles": roles})
        change.audited(
            db,
            call,
            org_id=org_id,
            resource=f"invitation/{invitation_id}",
            after={"user_id": str(user_id), **joined.model_dump(mode="json", exclude={"org_id"})},
        )
    return joined


def _invited(call: Call, invitation: Invitation) -> UUID:
    """The caller, if it is them who was invited, by somebody else."""
    principal = call.principal
    if principal.user_id is None:
        raise Forbidden("An invitation is accepted by a person who signs in.")
    if principal.email is None:
        raise Forbidden("Your access token has no verified e-mail address: docs/security.md says which claims count.")
    if principal.email.lower() != invitation.email.lower():
        raise Forbidden("The invitation is for another e-mail address than the one that you signed in with.")
    if principal.subject == invitation.invited_by:
        raise Forbidden("Nobody accepts an invitation of their own.")
    return principal.user_id


def _still_open(invitation: Invitation, now: datetime) -> None:
    if invitation.accepted_at is not None:
        raise Gone("The invitation was accepted already.")
    if invitation.revoked_at is not None or invitation.expires_at <= now:
        raise Gone("The invitation was revoked, or has expired: ask for another.")


def _join(db: Connection, invitation: Invitation, *, user_id: UUID, now: datetime) -> list[RoleView]:
    """Roles in a workspace that was deleted meanwhile are left out."""
    org_id = invitation.org_id
    invitations.accept(db, org_id=org_id, invitation_id=invitation.id, user_id=user_id, now=now)
    members.put(db, org_id=org_id, user_id=user_id, membership=invitation.membership, now=now)
    given = [one for one in invitation.roles if _is_there(db, org_id, one)]
    for one in given:
        members.assign(db, org_id=org_id, user_id=user_id, assignment=one, assignment_id=new_id(), now=now)
    return [RoleView.model_validate(one) for one in given]


def _is_there(db: Connection, org_id: UUID, one: Assignment) -> bool:
    return one.workspace_id is None or workspaces.find(db, org_id=org_id, workspace_id=one.workspace_id) is not None
