"""alert_deliveries: the outbox of what is to be told. Written with what it tells of, sent by who holds its lease."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from json import dumps
from typing import Any
from uuid import UUID

from navplane.model.alert_delivery import Delivery, DeliveryState, DestinationKind, Parcel
from navplane.model.ids import new_id
from navplane.store.database import Connection
from navplane.store.organizations import Position

COLUMNS = "id, destination_id, notification_id, title, state, attempts, next_at, last_error, created_at, finished_at"


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A notification that was just written; `org_id` is None for the platform's."""

    id: UUID
    org_id: UUID | None
    kind: str
    subject: str
    window_name: str
    threshold: int
    title: str
    facts: dict[str, Any]


def enqueue(db: Connection, told: Sequence[Told], *, now: datetime) -> None:
    """Leave each notification for every destination that wants its kind, in the transaction that wrote it."""
    destinations = db.run(
        """
        SELECT id, org_id, alerts FROM public.alert_destinations
         WHERE enabled AND deleted_at IS NULL AND (org_id = ANY (:org_ids::uuid[]) OR org_id IS NULL AND :platform::boolean)
         ORDER BY id
        """,
        org_ids=[one.org_id for one in told if one.org_id],
        platform=any(one.org_id is None for one in told),
    )
    for destination_id, org_id, alerts in destinations:
        for one in told:
            if one.org_id == org_id and one.kind in alerts:
                insert(db, _due(one, destination_id, now), org_id=org_id, body=body_of(one, now=now))


def insert(db: Connection, delivery: Delivery, *, org_id: UUID | None, body: str) -> None:
    db.run(
        """
        INSERT INTO public.alert_deliveries
            (id, org_id, destination_id, notification_id, title, body, next_at, created_at)
        VALUES (:id, :org_id::uuid, :destination_id, :notification_id::uuid, :title, :body, :next_at, :now)
        """,
        id=delivery.id,
        org_id=org_id,
        destination_id=delivery.destination_id,
        notification_id=delivery.notification_id,
        title=delivery.title,
        body=body,
        next_at=delivery.next_at,
        now=delivery.created_at,
    )


def body_of(told: Told, *, now: datetime) -> str:
    # Wire form v1 of what receivers get. Fields are never renamed or reused; new ones go last.
    data = {
        "notification_id": str(told.id), "organization_id": str(told.org_id) if told.org_id else None, "kind": told.kind,
        "subject": told.subject, "window": told.window_name, "threshold": told.threshold, "title": told.title,
        "facts": told.facts,
    }  # fmt: skip
    return dumps({"type": f"alert.{told.kind}", "timestamp": now.isoformat(), "data": data})


def new_delivery(*, destination_id: UUID, notification_id: UUID | None, title: str, now: datetime) -> Delivery:
    """One that is due at once."""
    return Delivery(
        id=new_id(),
        destination_id=destination_id,
        notification_id=notification_id,
        title=title,
        state=DeliveryState.PENDING,
        attempts=0,
        next_at=now,
        last_error=None,
        created_at=now,
        finished_at=None,
    )


def claim(db: Connection, *, now: datetime, lease: timedelta) -> Parcel | None:
    """The delivery that is due for the longest and that nobody holds, held from now on for as long as `lease`. One at a time to
    each destination, so that a slow one keeps nobody else waiting."""
    rows = db.run(
        """
        UPDATE public.alert_deliveries AS d SET leased_until = :until
          FROM (SELECT w.id FROM public.alert_deliveries AS w
                 WHERE w.state = 'pending' AND w.next_at <= :now AND (w.leased_until IS NULL OR w.leased_until <= :now)
                   AND NOT EXISTS (SELECT FROM public.alert_deliveries AS held
                                    WHERE held.destination_id = w.destination_id AND held.state = 'pending'
                                      AND held.leased_until > :now)
                 ORDER BY w.next_at, w.id LIMIT 1 FOR UPDATE SKIP LOCKED) AS due,
               public.alert_destinations AS t
         WHERE d.id = due.id AND t.id = d.destination_id
        RETURNING d.id, t.org_id, t.id, t.kind, t.address, t.region, t.enabled AND t.deleted_at IS NULL, d.title, d.body,
                  d.attempts, t.sealed
        """,
        now=now,
        until=now + lease,
    )
    return _parcel(rows[0]) if rows else None


def delivered(db: Connection, *, delivery_id: UUID, now: datetime) -> None:
    db.run(
        """
        UPDATE public.alert_deliveries
           SET state = 'delivered', attempts = attempts + 1, finished_at = :now, leased_until = NULL, last_error = NULL
         WHERE id = :id AND state = 'pending'
        """,
        id=delivery_id,
        now=now,
    )


def failed(db: Connection, *, delivery_id: UUID, error: str, now: datetime, next_at: datetime, tries: int) -> None:
    """To be tried again at `next_at`, or dead when that was the last of `tries`. Who was only slow, and whose delivery another
    one has finished meanwhile, changes nothing."""
    db.run(
        """
        UPDATE public.alert_deliveries
           SET attempts = attempts + 1, last_error = :error, next_at = :next_at, leased_until = NULL,
               state = CASE WHEN attempts + 1 >= :tries THEN 'dead' ELSE state END,
               finished_at = CASE WHEN attempts + 1 >= :tries THEN :now::timestamptz END
         WHERE id = :id AND state = 'pending'
        """,
        id=delivery_id,
        error=error,
        now=now,
        next_at=next_at,
        tries=tries,
    )


def forget(db: Connection, *, before: datetime) -> int:
    """Delete what was finished before then; how many."""
    db.run("DELETE FROM public.alert_deliveries WHERE state <> 'pending' AND finished_at < :before", before=before)
    return int(db.row_count)


def page(db: Connection, *, org_id: UUID | None, destination_id: UUID, limit: int, after: Position | None) -> list[Delivery]:
    """Up to `limit`, newest first."""
    rows = db.run(
        f"""
        SELECT {COLUMNS} FROM public.alert_deliveries
         WHERE org_id IS NOT DISTINCT FROM :org_id::uuid AND destination_id = :destination_id
           AND (:after_id::uuid IS NULL OR (created_at, id) < (:after_time::timestamptz, :after_id::uuid))
         ORDER BY created_at DESC, id DESC LIMIT :limit
        """,  # noqa: S608 - what is filled in are names of our own columns
        org_id=org_id,
        destination_id=destination_id,
        after_id=after and after.id,
        after_time=after and after.created_at,
        limit=limit,
    )
    return [_delivery(row) for row in rows]


def _due(told: Told, destination_id: UUID, now: datetime) -> Delivery:
    return new_delivery(destination_id=destination_id, notification_id=told.id, title=told.title, now=now)


def _delivery(row: Sequence[Any]) -> Delivery:
    found = dict(zip(COLUMNS.split(", "), row, strict=True))
    return Delivery(**{**found, "state": DeliveryState(found["state"])})


def _parcel(row: Sequence[Any]) -> Parcel:
    delivery_id, org_id, destination_id, kind, address, region, wanted, title, body, attempts, sealed = row
    return Parcel(
        id=delivery_id,
        org_id=org_id,
        destination_id=destination_id,
        kind=DestinationKind(kind),
        address=address,
        region=region,
        wanted=wanted,
        title=title,
        body=body,
        attempts=attempts,
        sealed=bytes(sealed),
    )
