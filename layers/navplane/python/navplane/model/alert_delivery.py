"""Where alerts go, what is on its way there, and when a delivery that failed is tried again. docs/reference/alerts.md."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from navplane.model.provider_key import SealedFor, SealingContext

# In place of an organization's id, in what is sealed for the platform.
NOBODY = UUID(int=0)
# With the pauses between them about twelve hours: then a delivery is dead.
TRIES = 12
FIRST_PAUSE = timedelta(seconds=30)
LONGEST_PAUSE = timedelta(hours=4)


class DestinationKind(StrEnum):
    """The value is stored: never rename one."""

    WEBHOOK = "webhook"
    EMAIL = "email"
    SNS = "sns"


class DeliveryState(StrEnum):
    """The value is stored: never rename one."""

    PENDING = "pending"
    DELIVERED = "delivered"
    DEAD = "dead"


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """What may be shown of one. `org_id` is None for the platform's; `alerts` are the kinds that go there."""

    id: UUID
    org_id: UUID | None
    name: str
    kind: DestinationKind
    address: str
    alerts: tuple[str, ...]
    enabled: bool
    region: str
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One notification, or a test, on its way to one destination. `id` stays the same however often it is tried."""

    id: UUID
    destination_id: UUID
    notification_id: UUID | None
    title: str
    state: DeliveryState
    attempts: int
    next_at: datetime
    last_error: str | None
    created_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """A delivery in the sender's hands. `sealed` is empty for kinds without a secret; `wanted` is False once the destination
    was deleted or switched off."""

    id: UUID
    org_id: UUID | None
    destination_id: UUID
    kind: DestinationKind
    address: str
    region: str
    wanted: bool
    title: str
    body: str
    attempts: int
    sealed: bytes = field(repr=False)

    @property
    def context(self) -> SealingContext:
        return secret_place(org_id=self.org_id, destination_id=self.destination_id, region=self.region)


def secret_place(*, org_id: UUID | None, destination_id: UUID, region: str) -> SealingContext:
    """What a webhook's secret is bound to."""
    return SealingContext(
        org_id=org_id or NOBODY,
        provider_key_id=destination_id,
        provider="none",
        region=region,
        kind=SealedFor.WEBHOOK_SECRET,
    )


def pause(attempts: int, *, chance: float) -> timedelta:
    """How long to wait after so many failures, `chance` being from 0 to 1: between half of a doubling pause and all of it, so
    that what failed together does not come back together."""
    longest: timedelta = min(FIRST_PAUSE * 2 ** (attempts - 1), LONGEST_PAUSE)
    return longest * (0.5 + chance / 2)
