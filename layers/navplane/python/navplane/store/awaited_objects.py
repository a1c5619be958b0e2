"""Objects at providers that will tell what the call that made them used, until that is known. The gate's functions alone see
the table (0061_awaited_objects.sql)."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from navplane.model.tenancy import Region
from navplane.store.database import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class AwaitedObject:
    """`event` is the usage event to complete, `asked` how often its provider has been asked."""

    provider: str
    object_id: str
    org_id: UUID
    provider_key_id: UUID
    event: str
    asked: int


def forget_closed(db: Connection, *, now: datetime, limit: int) -> int:
    """Of those that are due, forget up to `limit` whose request has been closed, by whomever; how many."""
    return int(db.run("SELECT public.gate_forget_awaited(:now, :limit)", now=now, limit=limit)[0][0])


def take(db: Connection, *, region: Region, now: datetime, limit: int) -> list[AwaitedObject]:
    """Up to `limit` of a region that are due, organizations in turn and of each the one that has waited longest. Nobody else is
    given them for two minutes, after which those come back that nobody has spoken of."""
    rows = db.run(
        "SELECT provider, object_id, org_id, provider_key_id, event, asked"
        " FROM public.gate_take_awaited(:region, :now, :limit)",
        region=region.value,
        now=now,
        limit=limit,
    )
    return [
        AwaitedObject(provider=row[0], object_id=row[1], org_id=row[2], provider_key_id=row[3], event=row[4], asked=row[5])
        for row in rows
    ]


def put_off(db: Connection, awaited: AwaitedObject, *, until: datetime | None) -> None:
    """It was asked, and is to be asked again; None for never."""
    db.run(
        "SELECT public.gate_put_off_awaited(:provider, :object_id, :until)",
        provider=awaited.provider,
        object_id=awaited.object_id,
        until=until,
    )
