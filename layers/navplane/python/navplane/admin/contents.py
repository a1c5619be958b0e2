"""What was asked and answered, of workspaces that keep it. Every look at it is an audit event."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter
from pydantic import Field

from navplane.admin import change
from navplane.admin.access import Call, Permission, require
from navplane.admin.fields import View
from navplane.admin.plane import ThePlane
from navplane.admin.problem import responses
from navplane.admin.requests import served_here
from navplane.errors import NotFound
from navplane.store import request_contents

router = APIRouter(tags=["requests"])

NOT_KEPT = "Nothing of this request's content is kept: its workspace keeps none, or no longer, or there is no such request."


class ContentView(View):
    """Bytes that are no UTF-8 are shown as replacement characters."""

    request_id: UUID
    created_at: datetime
    request: str
    response: str
    request_truncated: bool = Field(description="There was more than is kept.")
    response_truncated: bool = Field(description="There was more than is kept.")


@router.get(
    "/admin/orgs/{org_id}/requests/{request_id}/content",
    summary="Read what one request asked and was answered",
    responses=responses(404),
)
def read_content(
    org_id: UUID, request_id: UUID, call: Annotated[Call, require(Permission.REQUEST_CONTENT_READ)], plane: ThePlane
) -> ContentView:
    """Only of workspaces whose data mode is `full`. Who read it is written down before it is shown."""
    with plane.database.transaction(org_id=org_id) as db:
        change.found(db, org_id=org_id)
        found = request_contents.find(db, org_id=org_id, request_id=request_id)
        if found is None:
            raise NotFound(NOT_KEPT)
        served_here(plane.region, found.region)
        change.audited(db, call, org_id=org_id, resource=f"request/{request_id}")
    return ContentView(
        request_id=request_id,
        created_at=found.created_at,
        request=found.request.decode("utf-8", "replace"),
        response=found.response.decode("utf-8", "replace"),
        request_truncated=found.request_truncated,
        response_truncated=found.response_truncated,
    )
