"""How destinations of alerts are described, asked for and shown, an organization's and the platform's alike."""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field, StringConstraints

from navplane.admin import paging
from navplane.admin.access import Call, Role
from navplane.admin.fields import PRINTABLE, Body, Name, View
from navplane.errors import Forbidden, Invalid
from navplane.model.alert import AlertKind, PlatformAlertKind
from navplane.model.alert_delivery import Delivery, Destination, DestinationKind
from navplane.store.organizations import Position
from navplane.upstream.webhook import webhook_url

MAIL_ADDRESS = re.compile(r"[A-Za-z0-9._%+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.)+[A-Za-z]{2,63}")
TOPIC_ARN = re.compile(r"arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]{1,256}")
Alert = Annotated[str, StringConstraints(max_length=40)]


class DestinationChange(Body):
    name: Name = Field(examples=["on call"])
    alerts: list[Alert] | None = Field(
        default=None, max_length=20, description="The kinds that are sent there; absent: all there are.", examples=[["budget"]]
    )
    enabled: bool = Field(default=True, description="`false`: nothing is sent there, and what waits is given up.")


class NewDestination(DestinationChange):
    kind: Literal["webhook", "email", "sns"] = Field(description="`sns` is for platform admins.")
    address: Annotated[str, StringConstraints(min_length=1, max_length=1000, pattern=PRINTABLE)] = Field(
        description="`webhook`: an https URL whose name leads to public addresses; `email`: a mail address; `sns`: an ARN.",
        examples=["https://example.com/hooks/navplane"],
    )


class DestinationView(View):
    id: UUID
    name: str
    kind: str
    address: str = Field(description="Of a webhook without its path, which may hold a token.")
    alerts: list[str]
    enabled: bool
    created_at: datetime
    updated_at: datetime


class DestinationCreated(DestinationView):
    secret: str | None = Field(description="What a webhook's signatures are made with. It is never shown again.")


class DestinationPage(View):
    items: list[DestinationView]
    next_cursor: str | None


class DeliveryView(View):
    id: UUID = Field(description="What the receiver knows it by: `webhook-id`.")
    notification_id: UUID | None = Field(description="null for a test.")
    title: str
    state: str = Field(description="`pending`, `delivered`, or `dead`: given up after its last try.")
    attempts: int
    next_at: datetime = Field(description="When a pending one is tried next.")
    last_error: str | None
    created_at: datetime
    finished_at: datetime | None


class DeliveryPage(View):
    items: list[DeliveryView]
    next_cursor: str | None


def address_of(body: NewDestination, call: Call, *, loopback: bool) -> str:
    """Raise Invalid, or Forbidden for a topic: whose it is, our own rights to it don't tell."""
    kind, address = DestinationKind(body.kind), body.address.strip()
    if kind is DestinationKind.WEBHOOK:
        try:
            webhook_url(address, loopback=loopback)
        except ValueError as exc:
            raise Invalid(str(exc)) from exc
    elif kind is DestinationKind.EMAIL and not MAIL_ADDRESS.fullmatch(address):
        raise Invalid("The address is not one mail address.")
    elif kind is DestinationKind.SNS and Role.PLATFORM_ADMIN not in call.principal.roles:
        raise Forbidden("Only a platform admin may name an SNS topic.")
    elif kind is DestinationKind.SNS and not TOPIC_ARN.fullmatch(address):
        raise Invalid("The address is not the ARN of an SNS topic.")
    return address


def alerts_of(body: DestinationChange, *, platform: bool) -> tuple[str, ...]:
    kinds = [kind.value for kind in (PlatformAlertKind if platform else AlertKind)]
    unknown = set(body.alerts or ()) - set(kinds)
    if unknown or body.alerts == []:
        raise Invalid(f"alerts has one or more of: {', '.join(kinds)}.")
    return tuple(kind for kind in kinds if body.alerts is None or kind in body.alerts)


def view(destination: Destination) -> DestinationView:
    return DestinationView.model_validate(_fields(destination))


def created(destination: Destination, *, secret: str | None) -> DestinationCreated:
    return DestinationCreated.model_validate({**_fields(destination), "secret": secret})


def shown(destination: Destination) -> dict[str, object]:
    return view(destination).model_dump(mode="json", exclude={"id", "created_at", "updated_at"})


def page_of_destinations(found: Sequence[Destination], *, limit: int) -> DestinationPage:
    items, last = paging.cut(found, limit=limit)
    cursor = paging.encode(Position(created_at=last.created_at, id=last.id)) if last else None
    return DestinationPage(items=[view(item) for item in items], next_cursor=cursor)


def page_of_deliveries(found: Sequence[Delivery], *, limit: int) -> DeliveryPage:
    items, last = paging.cut(found, limit=limit)
    cursor = paging.encode(Position(created_at=last.created_at, id=last.id)) if last else None
    return DeliveryPage(items=[DeliveryView.model_validate(item) for item in items], next_cursor=cursor)


def _fields(destination: Destination) -> dict[str, object]:
    address = destination.address
    if destination.kind is DestinationKind.WEBHOOK:
        address = f"{webhook_url(address, loopback=True).origin}/…"
    names = ("id", "name", "kind", "enabled", "created_at", "updated_at")
    return {**{name: getattr(destination, name) for name in names}, "address": address, "alerts": list(destination.alerts)}
