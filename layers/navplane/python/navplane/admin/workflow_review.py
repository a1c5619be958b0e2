"""The way of a workflow's version from a draft to what is in force: submitted, approved by somebody else, published."""

from dataclasses import replace
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter

from navplane.admin import change
from navplane.admin.access import Call, Permission, require
from navplane.admin.plane import ThePlane
from navplane.admin.problem import responses
from navplane.admin.workflow_access import held, people, the_version, the_workflow
from navplane.admin.workflow_publish import put_in_force, withdraw
from navplane.admin.workflow_views import Approval, VersionView
from navplane.admin.workflows import Number, joined, record, reopened
from navplane.errors import Conflict, Forbidden
from navplane.model.workflow import Move
from navplane.store.outbox import Aggregate

router = APIRouter(tags=["workflows"])

VERSION = "/admin/orgs/{org_id}/workflows/{workflow_id}/versions/{number}"


@router.post(f"{VERSION}/submit", summary="Submit a version for review", responses=responses(403, 404, 409))
def submit_version(
    org_id: UUID,
    workflow_id: UUID,
    number: Number,
    call: Annotated[Call, require(Permission.WORKFLOW_SUBMIT, per_workspace=True)],
    plane: ThePlane,
) -> VersionView:
    with plane.database.transaction(org_id=org_id) as db:
        _, before = held(db, call, plane.region, org_id=org_id, workflow_id=workflow_id, number=number)
        after = replace(
            before,
            state=before.after(Move.SUBMIT),
            authors=joined(before, people(db, call, org_id=org_id)),
            submitted_by=call.principal.subject,
            submitted_at=call.now,
        )
        return record(db, call, before=before, after=after)


@router.post(f"{VERSION}/approve", summary="Approve a version", responses=responses(403, 404, 409, 413, 422))
def approve_version(
    org_id: UUID,
    workflow_id: UUID,
    number: Number,
    body: Approval,
    call: Annotated[Call, require(Permission.WORKFLOW_APPROVE, per_workspace=True)],
    plane: ThePlane,
) -> VersionView:
    """By a person, and not one who made, changed or submitted it: 403. 409 when it was changed since it was read."""
    with plane.database.transaction(org_id=org_id) as db:
        _, before = held(db, call, plane.region, org_id=org_id, workflow_id=workflow_id, number=number)
        state = before.after(Move.APPROVE)
        if call.principal.key_org_id is not None:
            raise Forbidden("A service key approves nothing: a person must.")
        before.approvable_by(people(db, call, org_id=org_id))
        if body.sha256 != before.sha256:
            raise Conflict("It was changed since it was read: read it again, and approve what it is now.")
        after = replace(before, state=state, approved_by=call.principal.subject, approved_at=call.now)
        return record(db, call, before=before, after=after)


@router.post(f"{VERSION}/reject", summary="Send a version back", responses=responses(403, 404, 409))
def reject_version(
    org_id: UUID,
    workflow_id: UUID,
    number: Number,
    call: Annotated[Call, require(Permission.WORKFLOW_APPROVE, per_workspace=True)],
    plane: ThePlane,
) -> VersionView:
    """It is a draft again."""
    with plane.database.transaction(org_id=org_id) as db:
        _, before = held(db, call, plane.region, org_id=org_id, workflow_id=workflow_id, number=number)
        return record(db, call, before=before, after=reopened(before, before.after(Move.REJECT)))


@router.post(f"{VERSION}/publish", summary="Put an approved version in force", responses=responses(403, 404, 409, 422))
def publish_version(
    org_id: UUID,
    workflow_id: UUID,
    number: Number,
    call: Annotated[Call, require(Permission.WORKFLOW_PUBLISH, per_workspace=True)],
    plane: ThePlane,
) -> VersionView:
    """For the next call once this has answered, in place of the version before, all of it or nothing."""
    with plane.database.transaction(org_id=org_id) as db:
        workflow, before = held(db, call, plane.region, org_id=org_id, workflow_id=workflow_id, number=number)
        state = before.after(Move.PUBLISH)
        put_in_force(db, call, workflow, before)
        change.told(db, call, org_id=org_id, aggregate=Aggregate.ORGANIZATION, aggregate_id=org_id)
        after = replace(before, state=state, published_by=call.principal.subject, published_at=call.now)
        return record(db, call, before=before, after=after)


@router.post(
    "/admin/orgs/{org_id}/workflows/{workflow_id}/withdraw",
    summary="Take a workflow out of force",
    responses=responses(403, 404, 409),
)
def withdraw_workflow(
    org_id: UUID,
    workflow_id: UUID,
    call: Annotated[Call, require(Permission.WORKFLOW_PUBLISH, per_workspace=True)],
    plane: ThePlane,
) -> VersionView:
    """Its routes, limits and policy are gone once this has answered; its versions stay."""
    with plane.database.transaction(org_id=org_id) as db:
        change.held(db, org_id=org_id)
        workflow = the_workflow(db, call, plane.region, org_id=org_id, workflow_id=workflow_id)
        if workflow.published is None:
            raise Conflict("Nothing of this workflow is in force.")
        before = the_version(db, workflow, workflow.published)
        withdraw(db, call, workflow)
        change.told(db, call, org_id=org_id, aggregate=Aggregate.ORGANIZATION, aggregate_id=org_id)
        return record(db, call, before=before, after=the_version(db, workflow, before.number))
