"""Routes: where an organization wants to be told."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter

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
from navplane.admin.plane import ThePlane
from navplane.admin.problem import responses

router = APIRouter(tags=["alerts"])


@router.post(
    "/admin/orgs/{org_id}/alert-destinations",
    status_code=201,
    summary="Set up a destination of alerts",
    responses=responses(400, 404, 409, 413, 422),
)
def create_alert_destination(
    org_id: UUID, body: NewDestination, call: Annotated[Call, require(Permission.ALERT_DESTINATION_CREATE)], plane: ThePlane
) -> DestinationCreated:
    """A webhook's signatures are made with `secret`, which is shown this once."""
    return destination_changes.create(plane, call, body, org_id=org_id)


@router.get(
    "/admin/orgs/{org_id}/alert-destinations",
    summary="List the destinations of alerts, newest first",
    responses=responses(404, 422),
    dependencies=[require(Permission.ALERT_DESTINATION_LIST)],
)
def list_alert_destinations(
    org_id: UUID, plane: ThePlane, limit: paging.Limit = paging.DEFAULT_LIMIT, cursor: paging.Cursor = None
) -> DestinationPage:
    return destination_changes.listed(plane, org_id=org_id, limit=limit, cursor=cursor)


@router.get(
    "/admin/orgs/{org_id}/alert-destinations/{destination_id}",
    summary="Read a destination of alerts",
    responses=responses(404),
    dependencies=[require(Permission.ALERT_DESTINATION_LIST)],
)
def read_alert_destination(org_id: UUID, destination_id: UUID, plane: ThePlane) -> DestinationView:
    return destination_changes.read(plane, org_id=org_id, destination_id=destination_id)


@router.put(
    "/admin/orgs/{org_id}/alert-destinations/{destination_id}",
    summary="Change a destination of alerts",
    responses=responses(400, 404, 409, 412, 413, 422),
)
def update_alert_destination(
    org_id: UUID,
    destination_id: UUID,
    body: DestinationChange,
    call: Annotated[Call, require(Permission.ALERT_DESTINATION_UPDATE, versioned=True)],
    plane: ThePlane,
) -> DestinationView:
    """What is absent becomes the default again. Another address is another destination."""
    return destination_changes.update(plane, call, body, org_id=org_id, destination_id=destination_id)


@router.delete(
    "/admin/orgs/{org_id}/alert-destinations/{destination_id}",
    status_code=204,
    summary="Delete a destination of alerts",
    responses=responses(404),
)
def delete_alert_destination(
    org_id: UUID, destination_id: UUID, call: Annotated[Call, require(Permission.ALERT_DESTINATION_DELETE)], plane: ThePlane
) -> None:
    """Its secret is overwritten, and what waits for it is given up."""
    destination_changes.delete(plane, call, org_id=org_id, destination_id=destination_id)


@router.post(
    "/admin/orgs/{org_id}/alert-destinations/{destination_id}/test",
    status_code=202,
    summary="Send a test to a destination of alerts",
    responses=responses(404, 409),
)
def test_alert_destination(
    org_id: UUID, destination_id: UUID, call: Annotated[Call, require(Permission.ALERT_DESTINATION_TEST)], plane: ThePlane
) -> DeliveryView:
    """It is on its way, as an alert would be: what becomes of it is in the destination's deliveries."""
    return destination_changes.test(plane, call, org_id=org_id, destination_id=destination_id)


@router.get(
    "/admin/orgs/{org_id}/alert-destinations/{destination_id}/deliveries",
    summary="List what was sent to a destination of alerts, newest first",
    responses=responses(404, 422),
    dependencies=[require(Permission.ALERT_DESTINATION_LIST)],
)
def list_alert_deliveries(
    org_id: UUID,
    destination_id: UUID,
    plane: ThePlane,
    limit: paging.Limit = paging.DEFAULT_LIMIT,
    cursor: paging.Cursor = None,
) -> DeliveryPage:
    return destination_changes.deliveries(plane, org_id=org_id, destination_id=destination_id, limit=limit, cursor=cursor)
