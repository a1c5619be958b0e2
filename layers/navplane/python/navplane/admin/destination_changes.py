"""What becomes of destinations of alerts. `org_id` is None for the platform's; each change is written with its audit event."""

from dataclasses import replace
from uuid import UUID

from navplane.admin import change
from navplane.admin.access import Call
from navplane.admin.destination_views import (
    DeliveryPage,
    DeliveryView,
    DestinationChange,
    DestinationCreated,
    DestinationPage,
    DestinationView,
    NewDestination,
    address_of,
    alerts_of,
    created,
    page_of_deliveries,
    page_of_destinations,
    shown,
    view,
)
from navplane.admin.paging import decode
from navplane.admin.plane import Plane
from navplane.admin.sealing import store_sealed
from navplane.crypto.envelope import kek_id_of
from navplane.crypto.webhook_signature import new_secret
from navplane.errors import Conflict, NotFound, RegionMismatch
from navplane.model.alert_delivery import Destination, DestinationKind, secret_place
from navplane.model.ids import new_id
from navplane.store import alert_deliveries, alert_destinations
from navplane.store.alert_deliveries import Told
from navplane.store.database import Connection

TEST_TITLE = "This is a test"


def create(plane: Plane, call: Call, body: NewDestination, *, org_id: UUID | None) -> DestinationCreated:
    """The secret is made here, sealed, and shown this once."""
    desk = plane.key_desk
    assert desk is not None, "an application with these routes has a key desk"
    destination = Destination(
        id=new_id(),
        org_id=org_id,
        name=body.name,
        kind=DestinationKind(body.kind),
        address=address_of(body, call, loopback=desk.loopback),
        alerts=alerts_of(body, platform=org_id is None),
        enabled=body.enabled,
        region=plane.region.value,
        created_at=call.now,
        updated_at=call.now,
    )
    _ready_for(plane, destination)
    if destination.kind is not DestinationKind.WEBHOOK:
        _store(plane, call, destination, sealed=b"")
        return created(destination, secret=None)
    secret = new_secret()
    # The KEK is asked outside the transaction: it may not hold a database connection.
    store_sealed(
        lambda sealed: _store(plane, call, destination, sealed=sealed),
        secret,
        context=secret_place(org_id=org_id, destination_id=destination.id, region=destination.region),
        kek=desk.kek,
        successor=desk.successor,
    )
    return created(destination, secret=secret.reveal().decode())


def listed(plane: Plane, *, org_id: UUID | None, limit: int, cursor: str | None) -> DestinationPage:
    after = decode(cursor)
    with plane.database.transaction(org_id=org_id) as db:
        _organization(db, org_id)
        found = alert_destinations.page(db, org_id=org_id, limit=limit + 1, after=after)
    return page_of_destinations(found, limit=limit)


def read(plane: Plane, *, org_id: UUID | None, destination_id: UUID) -> DestinationView:
    with plane.database.transaction(org_id=org_id) as db:
        _organization(db, org_id)
        return view(_found(db, org_id, destination_id))


def update(plane: Plane, call: Call, body: DestinationChange, *, org_id: UUID | None, destination_id: UUID) -> DestinationView:
    with plane.database.transaction(org_id=org_id) as db:
        _hold(db, org_id)
        before = _found(db, org_id, destination_id)
        change.expected(call, view(before))
        alerts = alerts_of(body, platform=org_id is None)
        after = replace(before, name=body.name, alerts=alerts, enabled=body.enabled)
        if after.name != before.name and alert_destinations.is_taken(db, org_id=org_id, name=after.name):
            raise _name_taken()
        alert_destinations.update(db, after)
        after = _found(db, org_id, destination_id)
        resource = f"alert_destination/{destination_id}"
        change.audited(db, call, org_id=org_id, resource=resource, before=shown(before), after=shown(after))
    return view(after)


def delete(plane: Plane, call: Call, *, org_id: UUID | None, destination_id: UUID) -> None:
    with plane.database.transaction(org_id=org_id) as db:
        _hold(db, org_id)
        before = _found(db, org_id, destination_id)
        alert_destinations.delete(db, org_id=org_id, destination_id=destination_id, now=call.now)
        change.audited(db, call, org_id=org_id, resource=f"alert_destination/{destination_id}", before=shown(before))


def test(plane: Plane, call: Call, *, org_id: UUID | None, destination_id: UUID) -> DeliveryView:
    """Left for the sender, which has it within a minute."""
    with plane.database.transaction(org_id=org_id) as db:
        _hold(db, org_id)
        destination = _found(db, org_id, destination_id)
        if not destination.enabled:
            raise Conflict("The destination is switched off: enable it first.")
        told = Told(
            id=new_id(), org_id=org_id, kind="test", subject=f"alert_destination/{destination_id}", window_name="", threshold=0,
            title=TEST_TITLE, facts={},
        )  # fmt: skip
        delivery = alert_deliveries.new_delivery(
            destination_id=destination_id, notification_id=None, title=TEST_TITLE, now=call.now
        )
        alert_deliveries.insert(db, delivery, org_id=org_id, body=alert_deliveries.body_of(told, now=call.now))
        change.audited(db, call, org_id=org_id, resource=f"alert_destination/{destination_id}")
    return DeliveryView.model_validate(delivery)


def deliveries(plane: Plane, *, org_id: UUID | None, destination_id: UUID, limit: int, cursor: str | None) -> DeliveryPage:
    after = decode(cursor)
    with plane.database.transaction(org_id=org_id) as db:
        _organization(db, org_id)
        _found(db, org_id, destination_id)
        found = alert_deliveries.page(db, org_id=org_id, destination_id=destination_id, limit=limit + 1, after=after)
    return page_of_deliveries(found, limit=limit)


def _ready_for(plane: Plane, destination: Destination) -> None:
    with plane.database.transaction(org_id=destination.org_id) as db:
        organization = change.found(db, org_id=destination.org_id) if destination.org_id else None
        taken = alert_destinations.is_taken(db, org_id=destination.org_id, name=destination.name)
    if organization and organization.home_region is not plane.region:
        raise RegionMismatch(f"This organization is at home in {organization.home_region.value}: set it up there.")
    if taken:
        raise _name_taken()


def _store(plane: Plane, call: Call, destination: Destination, *, sealed: bytes) -> None:
    with plane.database.transaction(org_id=destination.org_id) as db:
        _hold(db, destination.org_id)
        kek_id = kek_id_of(sealed) if sealed else ""
        if not alert_destinations.insert(db, destination, sealed=sealed, kek_id=kek_id):
            raise _name_taken()
        resource = f"alert_destination/{destination.id}"
        change.audited(db, call, org_id=destination.org_id, resource=resource, after=shown(destination))


def _organization(db: Connection, org_id: UUID | None) -> None:
    if org_id:
        change.found(db, org_id=org_id)


def _hold(db: Connection, org_id: UUID | None) -> None:
    if org_id:
        change.held(db, org_id=org_id)


def _found(db: Connection, org_id: UUID | None, destination_id: UUID) -> Destination:
    found = alert_destinations.find(db, org_id=org_id, destination_id=destination_id)
    if found is None:
        raise NotFound("There is no such destination.")
    return found


def _name_taken() -> Conflict:
    return Conflict("There is a destination of this name: choose another, or delete that one first.")
