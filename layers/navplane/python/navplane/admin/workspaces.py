"""Workspaces: create, list, read, rename, delete. What is kept of their requests is admin/data_mode.py's."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter
from pydantic import Field

from navplane.admin import change, paging
from navplane.admin.access import NO_SUCH_WORKSPACE, Call, Permission, require
from navplane.admin.fields import Body, Name, View
from navplane.admin.plane import ThePlane
from navplane.admin.problem import responses
from navplane.errors import Conflict, NotFound, RegionMismatch
from navplane.model.ids import new_id
from navplane.model.tenancy import DataMode, Region
from navplane.store import workspaces
from navplane.store.database import Connection
from navplane.store.organizations import Position
from navplane.store.workspaces import Workspace

router = APIRouter(tags=["workspaces"])


class NewWorkspace(Body):
    name: Name = Field(examples=["Production"])
    region: Literal["us", "eu"] | None = Field(
        default=None, description="The organization's home region unless given; it never changes."
    )


class WorkspaceChange(Body):
    name: Name = Field(examples=["Production, renamed"])


class WorkspaceView(View):
    id: UUID
    name: str
    is_default: bool
    region: Region
    data_mode: DataMode
    retention_days: int
    created_at: datetime
    updated_at: datetime


class WorkspacePage(View):
    items: list[WorkspaceView]
    next_cursor: str | None


@router.get("/admin/orgs/{org_id}/workspaces", summary="List workspaces, newest first", responses=responses(404, 422))
def list_workspaces(
    org_id: UUID,
    call: Annotated[Call, require(Permission.WORKSPACE_LIST, per_workspace=True)],
    plane: ThePlane,
    limit: paging.Limit = paging.DEFAULT_LIMIT,
    cursor: paging.Cursor = None,
) -> WorkspacePage:
    """Names and settings of all of them, in whichever region; what is in one is read in its own region."""
    after = paging.decode(cursor)
    within = None if call.workspaces is None else list(call.workspaces)
    with plane.database.transaction(org_id=org_id) as db:
        change.found(db, org_id=org_id)
        found = workspaces.page(db, org_id=org_id, limit=limit + 1, after=after, within=within)
    items, last = paging.cut(found, limit=limit)
    next_cursor = paging.encode(Position(created_at=last.created_at, id=last.id)) if last else None
    return WorkspacePage(items=[_view(item) for item in items], next_cursor=next_cursor)


@router.post(
    "/admin/orgs/{org_id}/workspaces", status_code=201, summary="Create a workspace", responses=responses(400, 404, 413, 422)
)
def create_workspace(
    org_id: UUID, body: NewWorkspace, call: Annotated[Call, require(Permission.WORKSPACE_CREATE)], plane: ThePlane
) -> WorkspaceView:
    with plane.database.transaction(org_id=org_id) as db:
        organization = change.held(db, org_id=org_id)
        workspace = Workspace(
            id=new_id(),
            org_id=org_id,
            name=body.name,
            is_default=False,
            region=Region(body.region or organization.home_region),
            data_mode=DataMode.METADATA_ONLY,
            retention_days=30,
            created_at=call.now,
            updated_at=call.now,
        )
        workspaces.insert(db, workspace)
        _record(db, call, after=workspace)
    return _view(workspace)


@router.get(
    "/admin/orgs/{org_id}/workspaces/{workspace_id}",
    summary="Read a workspace",
    responses=responses(404),
    dependencies=[require(Permission.WORKSPACE_LIST, per_workspace=True)],
)
def read_workspace(org_id: UUID, workspace_id: UUID, plane: ThePlane) -> WorkspaceView:
    """403 `region_mismatch` for one that is pinned to another region than this stack's."""
    with plane.database.transaction(org_id=org_id) as db:
        change.found(db, org_id=org_id)
        return _view(here(db, plane.region, org_id=org_id, workspace_id=workspace_id))


@router.put(
    "/admin/orgs/{org_id}/workspaces/{workspace_id}", summary="Rename a workspace", responses=responses(400, 404, 413, 422)
)
def update_workspace(
    org_id: UUID,
    workspace_id: UUID,
    body: WorkspaceChange,
    call: Annotated[Call, require(Permission.WORKSPACE_UPDATE, versioned=True, per_workspace=True)],
    plane: ThePlane,
) -> WorkspaceView:
    with plane.database.transaction(org_id=org_id) as db:
        change.held(db, org_id=org_id)
        before = here(db, plane.region, org_id=org_id, workspace_id=workspace_id)
        change.expected(call, _view(before))
        workspaces.rename(db, org_id=org_id, workspace_id=workspace_id, name=body.name)
        after = here(db, plane.region, org_id=org_id, workspace_id=workspace_id)
        _record(db, call, before=before, after=after)
    return _view(after)


@router.delete(
    "/admin/orgs/{org_id}/workspaces/{workspace_id}",
    status_code=204,
    summary="Delete a workspace",
    responses=responses(404, 409),
)
def delete_workspace(
    org_id: UUID, workspace_id: UUID, call: Annotated[Call, require(Permission.WORKSPACE_DELETE)], plane: ThePlane
) -> None:
    """The default one stays, and one with keys that are not revoked: 409. Its usage and its audit are kept."""
    with plane.database.transaction(org_id=org_id) as db:
        change.held(db, org_id=org_id)
        before = here(db, plane.region, org_id=org_id, workspace_id=workspace_id)
        if before.is_default:
            raise Conflict("The default workspace can't be deleted.")
        if workspaces.is_in_use(db, org_id=org_id, workspace_id=workspace_id):
            raise Conflict("The workspace has keys: revoke them first.")
        workspaces.mark_deleted(db, org_id=org_id, workspace_id=workspace_id, now=call.now)
        _record(db, call, before=before)


def here(db: Connection, region: Region, *, org_id: UUID, workspace_id: UUID) -> Workspace:
    """Raise NotFound, or RegionMismatch for one of another region."""
    workspace = workspaces.find(db, org_id=org_id, workspace_id=workspace_id)
    if workspace is None:
        raise NotFound(NO_SUCH_WORKSPACE)
    if workspace.region is not region:
        raise RegionMismatch(f"This workspace is pinned to the region {workspace.region.value}, and this is {region.value}.")
    return workspace


def _record(db: Connection, call: Call, *, before: Workspace | None = None, after: Workspace | None = None) -> None:
    subject = after or before
    assert subject is not None
    change.audited(
        db, call, org_id=subject.org_id, resource=f"workspace/{subject.id}", before=_shown(before), after=_shown(after)
    )


def _shown(workspace: Workspace | None) -> dict[str, object] | None:
    return _view(workspace).model_dump(mode="json", exclude={"id", "created_at", "updated_at"}) if workspace else None


def _view(workspace: Workspace) -> WorkspaceView:
    return WorkspaceView.model_validate(workspace)
