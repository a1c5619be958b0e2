"""Workflows: policy as code, in versions. This is where they are written and read; workflow_review.py puts them in force."""

from dataclasses import replace
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Query

from navplane.admin import change, paging
from navplane.admin.access import Call, Permission, require
from navplane.admin.plane import ThePlane
from navplane.admin.problem import responses
from navplane.admin.workflow_access import held, people, place, the_version, the_workflow
from navplane.admin.workflow_document import compiled
from navplane.admin.workflow_views import (
    DocumentBody,
    NewWorkflow,
    VersionPage,
    VersionView,
    WorkflowPage,
    WorkflowView,
    digest_of,
    shown,
    view,
    view_of_version,
)
from navplane.errors import Conflict, NotFound
from navplane.model.ids import new_id
from navplane.model.workflow import Move, VersionState, Workflow, WorkflowVersion
from navplane.store import workflows
from navplane.store.database import Connection
from navplane.store.organizations import Position

router = APIRouter(tags=["workflows"])

Number = Annotated[int, Path(ge=1, le=2**31 - 1)]


@router.get("/admin/orgs/{org_id}/workflows", summary="List workflows, newest first", responses=responses(404, 422))
def list_workflows(
    org_id: UUID,
    call: Annotated[Call, require(Permission.WORKFLOW_LIST, per_workspace=True)],
    plane: ThePlane,
    workspace_id: Annotated[UUID | None, Query(description="Of this workspace only.")] = None,
    limit: paging.Limit = paging.DEFAULT_LIMIT,
    cursor: paging.Cursor = None,
) -> WorkflowPage:
    """Of the whole organization and of its workspaces, as far as the caller's roles reach."""
    after = paging.decode(cursor)
    with plane.database.transaction(org_id=org_id) as db:
        change.found(db, org_id=org_id)
        if workspace_id is not None:
            place(db, call, plane.region, org_id=org_id, workspace_id=workspace_id)
        within = None if call.workspaces is None else list(call.workspaces)
        found = workflows.page(db, org_id=org_id, limit=limit + 1, after=after, workspace_id=workspace_id, within=within)
    items, last = paging.cut(found, limit=limit)
    next_cursor = paging.encode(Position(created_at=last.created_at, id=last.id)) if last else None
    return WorkflowPage(items=[view(item) for item in items], next_cursor=next_cursor)


@router.post(
    "/admin/orgs/{org_id}/workflows",
    status_code=201,
    summary="Write a workflow",
    responses=responses(400, 403, 404, 409, 413, 422),
)
def create_workflow(
    org_id: UUID,
    body: NewWorkflow,
    call: Annotated[Call, require(Permission.WORKFLOW_CREATE, per_workspace=True)],
    plane: ThePlane,
) -> VersionView:
    """Its version 1, a draft: nothing is in force. 422 says which line can't be accepted, and why."""
    with plane.database.transaction(org_id=org_id) as db:
        change.held(db, org_id=org_id)
        place(db, call, plane.region, org_id=org_id, workspace_id=body.workspace_id)
        workflow = Workflow(
            id=new_id(),
            org_id=org_id,
            workspace_id=body.workspace_id,
            name=body.name,
            created_by=call.principal.subject,
            created_at=call.now,
        )
        if not workflows.insert(db, workflow):
            raise Conflict(f"There is a workflow {body.name!r} here already: make a new version of it.")
        return _added(db, call, workflow, body.document, number=1)


@router.get("/admin/orgs/{org_id}/workflows/{workflow_id}", summary="Read a workflow", responses=responses(404))
def read_workflow(
    org_id: UUID,
    workflow_id: UUID,
    call: Annotated[Call, require(Permission.WORKFLOW_READ, per_workspace=True)],
    plane: ThePlane,
) -> WorkflowView:
    with plane.database.transaction(org_id=org_id) as db:
        change.found(db, org_id=org_id)
        return view(the_workflow(db, call, plane.region, org_id=org_id, workflow_id=workflow_id))


@router.get(
    "/admin/orgs/{org_id}/workflows/{workflow_id}/versions",
    summary="List a workflow's versions, newest first",
    responses=responses(404, 422),
)
def list_versions(
    org_id: UUID,
    workflow_id: UUID,
    call: Annotated[Call, require(Permission.WORKFLOW_READ, per_workspace=True)],
    plane: ThePlane,
    limit: paging.Limit = paging.DEFAULT_LIMIT,
    cursor: Annotated[int | None, Query(ge=1, le=2**31 - 1, description="`next_cursor` of the page before.")] = None,
) -> VersionPage:
    with plane.database.transaction(org_id=org_id) as db:
        change.found(db, org_id=org_id)
        workflow = the_workflow(db, call, plane.region, org_id=org_id, workflow_id=workflow_id)
        found = workflows.versions(db, org_id=org_id, workflow_id=workflow.id, limit=limit + 1, before=cursor)
    items, last = paging.cut(found, limit=limit)
    return VersionPage(items=[view_of_version(item) for item in items], next_cursor=str(last.number) if last else None)


@router.post(
    "/admin/orgs/{org_id}/workflows/{workflow_id}/versions",
    status_code=201,
    summary="Begin a workflow's next version",
    responses=responses(400, 403, 404, 409, 413, 422),
)
def create_version(
    org_id: UUID,
    workflow_id: UUID,
    body: DocumentBody,
    call: Annotated[Call, require(Permission.WORKFLOW_UPDATE, per_workspace=True)],
    plane: ThePlane,
) -> VersionView:
    """A draft. 409 while there is one that isn't published yet: change that."""
    with plane.database.transaction(org_id=org_id) as db:
        change.held(db, org_id=org_id)
        workflow = the_workflow(db, call, plane.region, org_id=org_id, workflow_id=workflow_id)
        if workflow.opened is not None:
            raise Conflict(f"Version {workflow.opened} is not published yet: change that one.")
        (newest,) = workflows.versions(db, org_id=org_id, workflow_id=workflow_id, limit=1)
        return _added(db, call, workflow, body.document, number=newest.number + 1)


@router.get(
    "/admin/orgs/{org_id}/workflows/{workflow_id}/versions/{number}",
    summary="Read a version of a workflow",
    responses=responses(404),
)
def read_version(
    org_id: UUID,
    workflow_id: UUID,
    number: Number,
    call: Annotated[Call, require(Permission.WORKFLOW_READ, per_workspace=True)],
    plane: ThePlane,
) -> VersionView:
    with plane.database.transaction(org_id=org_id) as db:
        change.found(db, org_id=org_id)
        workflow = the_workflow(db, call, plane.region, org_id=org_id, workflow_id=workflow_id)
        return view_of_version(the_version(db, workflow, number))


@router.put(
    "/admin/orgs/{org_id}/workflows/{workflow_id}/versions/{number}",
    summary="Change a version that isn't published",
    responses=responses(400, 403, 404, 409, 413, 422),
)
def update_version(
    org_id: UUID,
    workflow_id: UUID,
    number: Number,
    body: DocumentBody,
    call: Annotated[Call, require(Permission.WORKFLOW_UPDATE, versioned=True, per_workspace=True)],
    plane: ThePlane,
) -> VersionView:
    """It is a draft then, whatever had been submitted or approved. A published version never changes: 409."""
    with plane.database.transaction(org_id=org_id) as db:
        workflow, before = held(db, call, plane.region, org_id=org_id, workflow_id=workflow_id, number=number)
        change.expected(call, view_of_version(before))
        state = before.after(Move.EDIT)
        compiled(body.document, org_id=org_id, workspace_id=workflow.workspace_id, version_id=before.id)
        after = replace(
            reopened(before, state),
            document=body.document,
            sha256=digest_of(body.document),
            authors=joined(before, people(db, call, org_id=org_id)),
        )
        return record(db, call, before=before, after=after)


def _added(db: Connection, call: Call, workflow: Workflow, document: str, *, number: int) -> VersionView:
    version = WorkflowVersion(
        id=new_id(),
        org_id=workflow.org_id,
        workflow_id=workflow.id,
        workspace_id=workflow.workspace_id,
        number=number,
        state=VersionState.DRAFT,
        document=document,
        sha256=digest_of(document),
        authors=tuple(sorted(people(db, call, org_id=workflow.org_id))),
        created_by=call.principal.subject,
        created_at=call.now,
    )
    compiled(document, org_id=workflow.org_id, workspace_id=workflow.workspace_id, version_id=version.id)
    return record(db, call, before=None, after=version)


def reopened(version: WorkflowVersion, state: VersionState) -> WorkflowVersion:
    """Without what was said of what it was."""
    return replace(version, state=state, submitted_by=None, submitted_at=None, approved_by=None, approved_at=None)


def joined(version: WorkflowVersion, people: frozenset[str]) -> tuple[str, ...]:
    return tuple(sorted({*version.authors, *people}))


def record(db: Connection, call: Call, *, before: WorkflowVersion | None, after: WorkflowVersion) -> VersionView:
    """Keep the version as it now is, with its audit event."""
    workflows.save(db, after)
    kept = workflows.version(db, org_id=after.org_id, workflow_id=after.workflow_id, number=after.number)
    if kept is None:
        raise NotFound("The version is gone.")
    resource = f"workflow/{after.workflow_id}/versions/{after.number}"
    change.audited(db, call, org_id=after.org_id, resource=resource, before=shown(before), after=shown(kept))
    return view_of_version(kept)
