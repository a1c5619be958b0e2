"""Routes: where platform admins want to be told, and what they were told."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter
from pydantic import Field

from navplane.admin import destination_changes, paging
from navplane.admin.access import Call, Permission, require
from navplane.admin.destination_views import (
    DeliveryPage,
    DeliveryView,
    DestinationChange,
    DestinationCreated,
    DestinationPage,
    DestinationView,
    NewDestination,
)
from navplane.admin.fields import View
from navplane.admin.plane import ThePlane
from navplane.admin.problem import responses
from navplane.store import platform_notifications
from navplane.store.organizations import Position

router = APIRouter(tags=["alerts"])


@router.post(
    "/admin/alert-destinations",
    status_code=201,
    summary="Set up a destination of the platform's alerts",
    responses=responses(400, 409, 413, 422),
)
def create_platform_alert_destination(
    body: NewDestination, call: Annotated[Call, require(Permission.PLATFORM_ALERT_CREATE)], plane: ThePlane
) -> DestinationCreated:
    """A webhook's signatures are made with `secret`, which is shown this once."""
    return destination_changes.create(plane, call, body, org_id=None)


@router.get(
    "/admin/alert-destinations",
    summary="List the destinations of the platform's alerts, newest first",
    responses=responses(422),
    dependencies=[require(Permission.PLATFORM_ALERT_LIST)],
)
def list_platform_alert_destinations(
    plane: ThePlane, limit: paging.Limit = paging.DEFAULT_LIMIT, cursor: paging.Cursor = None
) -> DestinationPage:
    return destination_changes.listed(plane, org_id=None, limit=limit, cursor=cursor)


@router.get(
    "/admin/alert-destinations/{destination_id}",
    summary="Read a destination of the platform's alerts",
    responses=responses(404),
    dependencies=[require(Permission.PLATFORM_ALERT_LIST)],
)
def read_platform_alert_destination(destination_id: UUID, plane: ThePlane) -> DestinationView:
    return destination_changes.read(plane, org_id=None, destination_id=destination_id)


@router.put(
    "/admin/alert-destinations/{destination_id}",
    summary="Change a destination of the platform's alerts",
    responses=responses(400, 404, 409, 412, 413, 422),
)
def update_platform_alert_destination(
    destination_id: UUID,
    body: DestinationChange,
    call: Annotated[Call, require(Permission.PLATFORM_ALERT_UPDATE, versioned=True)],
    plane: ThePlane,
) -> DestinationView:
    """What is absent becomes the default again. Another address is another destination."""
    return destination_changes.update(plane, call, body, org_id=None, destination_id=destination_id)


@router.delete(
    "/admin/alert-destinations/{destination_id}",
    status_code=204,
    summary="Delete a destination of the platform's alerts",
    responses=responses(404),
)
def delete_platform_alert_destination(
    destination_id: UUID, call: Annotated[Call, require(Permission.PLATFORM_ALERT_DELETE)], plane: ThePlane
) -> None:
    """Its secret is overwritten, and what waits for it is given up."""
    destination_changes.delete(plane, call, org_id=None, destination_id=destination_id)


@router.post(
    "/admin/alert-destinations/{destination_id}/test",
    status_code=202,
    summary="Send a test to a destination of the platform's alerts",
    responses=responses(404, 409),
)
def test_platform_alert_destination(
    destination_id: UUID, call: Annotated[Call, require(Permission.PLATFORM_ALERT_TEST)], plane: ThePlane
) -> DeliveryView:
    """It is on its way, as an alert would be: what becomes of it is in the destination's deliveries."""
    return destination_changes.test(plane, call, org_id=None, destination_id=destination_id)


@router.get(
    "/admin/alert-destinations/{destination_id}/deliveries",
    summary="List what was sent to a destination of the platform's alerts, newest first",
    responses=responses(404, 422),
    dependencies=[require(Permission.PLATFORM_ALERT_LIST)],
)
def list_platform_alert_deliveries(
    destination_id: UUID, plane: ThePlane, limit: paging.Limit = paging.DEFAULT_LIMIT, cursor: paging.Cursor = None
) -> DeliveryPage:
    return destination_changes.deliveries(plane, org_id=None, destination_id=destination_id, limit=limit, cursor=cursor)


class PlatformNotificationView(View):
    id: UUID
    kind: str = Field(description="`dead_letters`, `drift` or `unpriced`.")
    subject: str
    window_name: str = Field(description="`d:` and a day or `m:` and a month of UTC.")
    threshold: int
    title: str
    facts: dict[str, Any]
    created_at: datetime


class PlatformNotificationPage(View):
    items: list[PlatformNotificationView]
    next_cursor: str | None


@router.get(
    "/admin/notifications",
    summary="List the platform's notifications, newest first",
    responses=responses(422),
    dependencies=[require(Permission.PLATFORM_ALERT_LIST)],
)
def list_platform_notifications(
    plane: ThePlane, limit: paging.Limit = paging.DEFAULT_LIMIT, cursor: paging.Cursor = None
) -> PlatformNotificationPage:
    after = paging.decode(cursor)
    with plane.database.transaction() as db:
        found = platform_notifications.page(db, limit=limit + 1, after=after)
    items, last = paging.cut(found, limit=limit)
    next_cursor = paging.encode(Position(created_at=last.created_at, id=last.id)) if last else None
    return PlatformNotificationPage(
        items=[PlatformNotificationView.model_validate(item) for item in items], next_cursor=next_cursor
    )
