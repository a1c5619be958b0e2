"""What became of a workflow's versions: how two of them differ, which calls ran under one, and the way back to an old one."""

from difflib import unified_diff
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import Field

from navplane.admin import change, paging
from navplane.admin.access import Call, Permission, require
from navplane.admin.fields import View
from navplane.admin.plane import ThePlane
from navplane.admin.problem import responses
from navplane.admin.requests import RequestCursor, RequestPage, view_of
from navplane.admin.workflow_access import held, people, the_version, the_workflow
from navplane.admin.workflow_publish import put_in_force
from navplane.admin.workflow_views import VersionView
from navplane.admin.workflows import Number, record
from navplane.errors import Conflict
from navplane.model.ids import new_id
from navplane.model.workflow import VersionState, WorkflowVersion
from navplane.store import request_rows, workflows
from navplane.store.completeness import complete_to
from navplane.store.outbox import Aggregate
from navplane.store.request_filter import Wanted

router = APIRouter(tags=["workflows"])

VERSION = "/admin/orgs/{org_id}/workflows/{workflow_id}/versions/{number}"
PAST = (VersionState.SUPERSEDED, VersionState.WITHDRAWN)
Compared = Annotated[int, Query(ge=1, le=2**31 - 1, description="The number of a version.")]


class DiffView(View):
    before: int
    after: int
    diff: str = Field(description="Lines of the documents, as `diff -u` shows them; empty where they are the same.")


@router.get(
    "/admin/orgs/{org_id}/workflows/{workflow_id}/diff",
    summary="Compare two versions of a workflow",
    responses=responses(404, 422),
)
def diff_versions(
    org_id: UUID,
    workflow_id: UUID,
    before: Compared,
    after: Compared,
    call: Annotated[Call, require(Permission.WORKFLOW_READ, per_workspace=True)],
    plane: ThePlane,
) -> DiffView:
    with plane.database.transaction(org_id=org_id) as db:
        change.found(db, org_id=org_id)
        workflow = the_workflow(db, call, plane.region, org_id=org_id, workflow_id=workflow_id)
        one, other = the_version(db, workflow, before), the_version(db, workflow, after)
    return DiffView(before=before, after=after, diff=_diff(one, other))


@router.get(f"{VERSION}/runs", summary="List the calls that ran under a version", responses=responses(404, 422))
def list_runs(
    org_id: UUID,
    workflow_id: UUID,
    number: Number,
    call: Annotated[Call, require(Permission.REQUEST_LIST, per_workspace=True)],
    plane: ThePlane,
    limit: paging.Limit = paging.DEFAULT_LIMIT,
    cursor: RequestCursor = None,
) -> RequestPage:
    """Newest first, refused ones too."""
    with plane.database.transaction(org_id=org_id) as db:
        change.found(db, org_id=org_id)
        workflow = the_workflow(db, call, plane.region, org_id=org_id, workflow_id=workflow_id)
        version = the_version(db, workflow, number)
        wanted = Wanted(values={"workflow_version_id": version.id})
        complete = complete_to(db, org_id=org_id)
        found = request_rows.list_requests(db, org_id=org_id, limit=limit + 1, cursor=cursor, wanted=wanted)
    items, last = paging.cut(found, limit=limit)
    next_cursor = str(last.request_id) if last else None
    return RequestPage(items=[view_of(item) for item in items], next_cursor=next_cursor, complete_to=complete)


@router.post(
    f"{VERSION}/rollback", status_code=201, summary="Go back to a version", responses=responses(400, 403, 404, 409, 422)
)
def roll_back(
    org_id: UUID,
    workflow_id: UUID,
    number: Number,
    call: Annotated[Call, require(Permission.WORKFLOW_ROLLBACK, per_workspace=True)],
    plane: ThePlane,
) -> VersionView:
    """A new version that is equal to it, in force at once: what was approved and published before is not reviewed again."""
    with plane.database.transaction(org_id=org_id) as db:
        workflow, old = held(db, call, plane.region, org_id=org_id, workflow_id=workflow_id, number=number)
        if old.state not in PAST:
            raise Conflict(f"Version {number} is {old.state.value}: only what was in force before can be gone back to.")
        (newest,) = workflows.versions(db, org_id=org_id, workflow_id=workflow_id, limit=1)
        version = _repeated(old, call, number=newest.number + 1, by=people(db, call, org_id=org_id))
        put_in_force(db, call, workflow, version)
        change.told(db, call, org_id=org_id, aggregate=Aggregate.ORGANIZATION, aggregate_id=org_id)
        return record(db, call, before=None, after=version)


def _repeated(old: WorkflowVersion, call: Call, *, number: int, by: frozenset[str]) -> WorkflowVersion:
    return WorkflowVersion(
        id=new_id(),
        org_id=old.org_id,
        workflow_id=old.workflow_id,
        workspace_id=old.workspace_id,
        number=number,
        state=VersionState.PUBLISHED,
        document=old.document,
        sha256=old.sha256,
        authors=tuple(sorted({*old.authors, *by})),
        created_by=call.principal.subject,
        created_at=call.now,
        submitted_by=old.submitted_by,
        submitted_at=old.submitted_at,
        approved_by=old.approved_by,
        approved_at=old.approved_at,
        published_by=call.principal.subject,
        published_at=call.now,
        equal_to=old.number,
    )


def _diff(before: WorkflowVersion, after: WorkflowVersion) -> str:
    lines = unified_diff(
        before.document.splitlines(),
        after.document.splitlines(),
        fromfile=f"version {before.number}",
        tofile=f"version {after.number}",
        lineterm="",
    )
    return "".join(f"{line}\n" for line in lines)
