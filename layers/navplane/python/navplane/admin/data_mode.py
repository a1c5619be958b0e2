"""A workspace's data mode: whether only facts about its requests are kept, or what was asked and answered as well."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter
from pydantic import Field

from navplane.admin import change
from navplane.admin.access import Call, Permission, require
from navplane.admin.fields import Body, View
from navplane.admin.plane import ThePlane
from navplane.admin.problem import responses
from navplane.errors import NotFound
from navplane.model.tenancy import DataMode
from navplane.store import workspaces
from navplane.store.workspaces import DataModeSetting

router = APIRouter(tags=["workspaces"])

NO_SUCH_WORKSPACE = "There is no such workspace."


class NewDataMode(Body):
    data_mode: Annotated[DataMode, Field(strict=False)] = Field(
        description="`full`: what is asked and answered is kept, up to 88 KiB each. `metadata_only`: nothing of it ever is."
    )
    retention_days: int = Field(default=30, ge=1, le=365, description="How long content is kept, where any is.")


class DataModeView(View):
    workspace_id: UUID
    data_mode: DataMode
    retention_days: int


@router.get(
    "/admin/orgs/{org_id}/workspaces/{workspace_id}/data-mode",
    summary="Read what is kept of a workspace's requests",
    responses=responses(404),
    dependencies=[require(Permission.DATA_MODE_READ, per_workspace=True)],
)
def read_data_mode(org_id: UUID, workspace_id: UUID, plane: ThePlane) -> DataModeView:
    with plane.database.transaction(org_id=org_id) as db:
        change.found(db, org_id=org_id)
        setting = workspaces.data_mode(db, org_id=org_id, workspace_id=workspace_id)
    if setting is None:
        raise NotFound(NO_SUCH_WORKSPACE)
    return _view(workspace_id, setting)


@router.put(
    "/admin/orgs/{org_id}/workspaces/{workspace_id}/data-mode",
    summary="Decide what is kept of a workspace's requests",
    responses=responses(400, 404, 413, 422),
)
def set_data_mode(
    org_id: UUID,
    workspace_id: UUID,
    body: NewDataMode,
    call: Annotated[Call, require(Permission.DATA_MODE_UPDATE, versioned=True, per_workspace=True)],
    plane: ThePlane,
) -> DataModeView:
    """Nothing is stored any more from the moment that `metadata_only` is set, and what was is deleted within minutes."""
    after = DataModeSetting(data_mode=body.data_mode, retention_days=body.retention_days)
    with plane.database.transaction(org_id=org_id) as db:
        change.held(db, org_id=org_id)
        before = workspaces.data_mode(db, org_id=org_id, workspace_id=workspace_id, hold=True)
        if before is None:
            raise NotFound(NO_SUCH_WORKSPACE)
        change.expected(call, _view(workspace_id, before))
        workspaces.set_data_mode(db, after, org_id=org_id, workspace_id=workspace_id)
        resource = f"workspace/{workspace_id}"
        change.audited(db, call, org_id=org_id, resource=resource, before=_facts(before), after=_facts(after))
    return _view(workspace_id, after)


def _facts(setting: DataModeSetting) -> dict[str, object]:
    return {"data_mode": setting.data_mode.value, "retention_days": setting.retention_days}


def _view(workspace_id: UUID, setting: DataModeSetting) -> DataModeView:
    return DataModeView(workspace_id=workspace_id, data_mode=setting.data_mode, retention_days=setting.retention_days)
