"""Routes: what an organization was told, and what of it was read."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import Field

from navplane.admin import change, paging
from navplane.admin.access import Call, Permission, require
from navplane.admin.fields import View
from navplane.admin.plane import ThePlane
from navplane.admin.problem import responses
from navplane.errors import NotFound
from navplane.store import alerts
from navplane.store.organizations import Position

router = APIRouter(tags=["alerts"])


class NotificationView(View):
    id: UUID
    kind: str = Field(description="`budget`, `spike`, `unpriced` or `reconciliation`.")
    subject: str = Field(description="What it is about, such as `limit/<id>`, `key/<id>` or `model/<provider>/<model>`.")
    window_name: str = Field(description="`d:` and a day or `m:` and a month of UTC.")
    threshold: int = Field(description="Percent of a budget; 0 where there is none.")
    title: str
    facts: dict[str, Any]
    created_at: datetime
    read_at: datetime | None
    read_by: str | None


class NotificationPage(View):
    items: list[NotificationView]
    next_cursor: str | None


@router.get(
    "/admin/orgs/{org_id}/notifications",
    summary="List notifications, newest first",
    responses=responses(404, 422),
    dependencies=[require(Permission.NOTIFICATION_LIST)],
)
def list_notifications(
    org_id: UUID,
    plane: ThePlane,
    unread: Annotated[bool, Query(description="Only those that nobody has read.")] = False,
    limit: paging.Limit = paging.DEFAULT_LIMIT,
    cursor: paging.Cursor = None,
) -> NotificationPage:
    after = paging.decode(cursor)
    with plane.database.transaction(org_id=org_id) as db:
        change.found(db, org_id=org_id)
        found = alerts.page(db, org_id=org_id, limit=limit + 1, after=after, unread=unread)
    items, last = paging.cut(found, limit=limit)
    next_cursor = paging.encode(Position(created_at=last.created_at, id=last.id)) if last else None
    return NotificationPage(items=[NotificationView.model_validate(item) for item in items], next_cursor=next_cursor)


@router.post(
    "/admin/orgs/{org_id}/notifications/{notification_id}/read", summary="Mark a notification as read", responses=responses(404)
)
def read_notification(
    org_id: UUID,
    notification_id: UUID,
    call: Annotated[Call, require(Permission.NOTIFICATION_READ)],
    plane: ThePlane,
) -> NotificationView:
    """Who read it first, and when, stays."""
    with plane.database.transaction(org_id=org_id) as db:
        change.found(db, org_id=org_id)
        found = alerts.mark_read(db, org_id=org_id, notification_id=notification_id, by=call.principal.subject, now=call.now)
        if found is None:
            raise NotFound("There is no such notification.")
        change.audited(db, call, org_id=org_id, resource=f"notification/{notification_id}")
    return NotificationView.model_validate(found)
