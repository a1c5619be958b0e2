"""platform_notifications: what platform admins were told, each crossing once."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from json import dumps
from typing import Any
from uuid import UUID

from navplane.model.alert import PlatformCrossing
from navplane.model.ids import new_id
from navplane.store import alert_deliveries
from navplane.store.alert_deliveries import Told
from navplane.store.database import Connection
from navplane.store.organizations import Position

COLUMNS = "id, kind, subject, window_name, threshold, title, facts, created_at"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformNotification:
    id: UUID
    kind: str
    subject: str
    window_name: str
    threshold: int
    title: str
    facts: dict[str, Any]
    created_at: datetime


def tell(db: Connection, crossings: Sequence[PlatformCrossing], *, now: datetime) -> int:
    """Leave a notification of each crossing that nobody was told of yet, and a delivery to each destination; how many."""
    told = [one for crossing in sorted(crossings, key=lambda c: (c.kind, c.subject)) if (one := _tell(db, crossing, now))]
    if told:
        alert_deliveries.enqueue(db, told, now=now)
    return len(told)


def _tell(db: Connection, crossing: PlatformCrossing, now: datetime) -> Told | None:
    told = Told(
        id=new_id(),
        org_id=None,
        kind=crossing.kind.value,
        subject=crossing.subject,
        window_name=crossing.window_name,
        threshold=0,
        title=crossing.title,
        facts=dict(crossing.facts),
    )
    rows = db.run(
        """
        INSERT INTO public.platform_notifications (id, kind, subject, window_name, threshold, title, facts, created_at)
        VALUES (:id, :kind, :subject, :window_name, :threshold, :title, :facts::jsonb, :now)
        ON CONFLICT ON CONSTRAINT platform_notifications_once DO NOTHING
        RETURNING id
        """,
        id=told.id,
        kind=told.kind,
        subject=told.subject,
        window_name=told.window_name,
        threshold=told.threshold,
        title=told.title,
        facts=dumps(told.facts),
        now=now,
    )
    return told if rows else None


def page(db: Connection, *, limit: int, after: Position | None) -> list[PlatformNotification]:
    """Up to `limit`, newest first."""
    rows = db.run(
        f"""
        SELECT {COLUMNS} FROM public.platform_notifications
         WHERE :after_id::uuid IS NULL OR (created_at, id) < (:after_time::timestamptz, :after_id::uuid)
         ORDER BY created_at DESC, id DESC LIMIT :limit
        """,  # noqa: S608 - what is filled in are names of our own columns
        after_id=after and after.id,
        after_time=after and after.created_at,
        limit=limit,
    )
    return [PlatformNotification(**dict(zip(COLUMNS.split(", "), row, strict=True))) for row in rows]
