"""alert_destinations: where an organization, or the platform (None), wants to be told. Deleting one overwrites its secret."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from navplane.model.alert_delivery import Destination, DestinationKind
from navplane.store.database import Connection
from navplane.store.organizations import Position

COLUMNS = "id, org_id, name, kind, address, alerts, enabled, region, created_at, updated_at"


def insert(db: Connection, destination: Destination, *, sealed: bytes, kek_id: str) -> bool:
    """False, and nothing stored, when there is one of this name. `sealed` is empty where there is no secret."""
    rows = db.run(
        """
        INSERT INTO public.alert_destinations
            (id, org_id, name, kind, address, alerts, enabled, region, sealed, kek_id, created_at, updated_at)
        VALUES (:id, :org_id::uuid, :name, :kind, :address, :alerts::text[], :enabled, :region, :sealed, :kek_id, :now, :now)
        ON CONFLICT (org_id, name) WHERE deleted_at IS NULL DO NOTHING
        RETURNING id
        """,
        id=destination.id,
        org_id=destination.org_id,
        name=destination.name,
        kind=destination.kind.value,
        address=destination.address,
        alerts=list(destination.alerts),
        enabled=destination.enabled,
        region=destination.region,
        sealed=sealed,
        kek_id=kek_id,
        now=destination.created_at,
    )
    return bool(rows)


def is_taken(db: Connection, *, org_id: UUID | None, name: str) -> bool:
    rows = db.run(
        """
        SELECT 1 FROM public.alert_destinations
         WHERE org_id IS NOT DISTINCT FROM :org_id::uuid AND name = :name AND deleted_at IS NULL
        """,
        org_id=org_id,
        name=name,
    )
    return bool(rows)


def update(db: Connection, destination: Destination) -> None:
    """Its name, what goes there, and whether anything does. Where it is stays."""
    db.run(
        """
        UPDATE public.alert_destinations SET name = :name, alerts = :alerts::text[], enabled = :enabled
         WHERE org_id IS NOT DISTINCT FROM :org_id::uuid AND id = :id
        """,
        org_id=destination.org_id,
        id=destination.id,
        name=destination.name,
        alerts=list(destination.alerts),
        enabled=destination.enabled,
    )


def delete(db: Connection, *, org_id: UUID | None, destination_id: UUID, now: datetime) -> None:
    db.run(
        """
        UPDATE public.alert_destinations SET deleted_at = :now, sealed = ''::bytea
         WHERE org_id IS NOT DISTINCT FROM :org_id::uuid AND id = :id
        """,
        org_id=org_id,
        id=destination_id,
        now=now,
    )


def find(db: Connection, *, org_id: UUID | None, destination_id: UUID) -> Destination | None:
    rows = db.run(
        f"""
        SELECT {COLUMNS} FROM public.alert_destinations
         WHERE org_id IS NOT DISTINCT FROM :org_id::uuid AND id = :id AND deleted_at IS NULL
        """,  # noqa: S608 - what is filled in are names of our own columns
        org_id=org_id,
        id=destination_id,
    )
    return _destination(rows[0]) if rows else None


def page(db: Connection, *, org_id: UUID | None, limit: int, after: Position | None) -> list[Destination]:
    """Up to `limit`, newest first."""
    rows = db.run(
        f"""
        SELECT {COLUMNS} FROM public.alert_destinations
         WHERE org_id IS NOT DISTINCT FROM :org_id::uuid AND deleted_at IS NULL
           AND (:after_id::uuid IS NULL OR (created_at, id) < (:after_time::timestamptz, :after_id::uuid))
         ORDER BY created_at DESC, id DESC LIMIT :limit
        """,  # noqa: S608 - what is filled in are names of our own columns
        org_id=org_id,
        after_id=after and after.id,
        after_time=after and after.created_at,
        limit=limit,
    )
    return [_destination(row) for row in rows]


def _destination(row: Sequence[Any]) -> Destination:
    found = dict(zip(COLUMNS.split(", "), row, strict=True))
    return Destination(**{**found, "kind": DestinationKind(found["kind"]), "alerts": tuple(found["alerts"])})
