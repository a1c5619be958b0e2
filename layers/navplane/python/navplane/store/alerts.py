"""alert_rules and notifications: what to watch, and what was told."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from json import dumps
from typing import Any
from uuid import UUID

from navplane.model.alert import AlertKind, AlertRule, AlertTerms, Crossing
from navplane.model.ids import new_id
from navplane.store import alert_deliveries
from navplane.store.alert_deliveries import Told
from navplane.store.database import Connection
from navplane.store.organizations import Position

RULE = "id, org_id, kind, enabled, thresholds, sensitivity, floor_usd, created_at"
NOTIFICATION = "id, kind, subject, window_name, threshold, title, facts, created_at, read_at, read_by"


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    id: UUID
    kind: str
    subject: str
    window_name: str
    threshold: int
    title: str
    facts: dict[str, Any]
    created_at: datetime
    read_at: datetime | None
    read_by: str | None


def rules(db: Connection, *, org_id: UUID) -> list[AlertRule]:
    rows = db.run(f"SELECT {RULE} FROM public.alert_rules WHERE org_id = :org_id ORDER BY kind", org_id=org_id)  # noqa: S608
    return [_rule(row) for row in rows]


def all_rules(db: Connection) -> dict[tuple[UUID, AlertKind], AlertTerms]:
    """Of every organization, for who watches them."""
    found = (_rule(row) for row in db.run(f"SELECT {RULE} FROM public.alert_rules"))  # noqa: S608
    return {(rule.org_id, rule.kind): rule.terms for rule in found}


def find_rule(db: Connection, *, org_id: UUID, rule_id: UUID) -> AlertRule | None:
    rows = db.run(
        f"SELECT {RULE} FROM public.alert_rules WHERE org_id = :org_id AND id = :id",  # noqa: S608
        org_id=org_id,
        id=rule_id,
    )
    return _rule(rows[0]) if rows else None


def insert_rule(db: Connection, rule: AlertRule) -> bool:
    """False, and nothing stored, when there is one of this kind."""
    rows = db.run(
        """
        INSERT INTO public.alert_rules (org_id, id, kind, enabled, thresholds, sensitivity, floor_usd, created_at)
        VALUES (:org_id, :id, :kind, :enabled, :thresholds::integer[], :sensitivity, :floor_usd, :now)
        ON CONFLICT (org_id, kind) DO NOTHING RETURNING id
        """,
        org_id=rule.org_id,
        id=rule.id,
        kind=rule.kind.value,
        enabled=rule.terms.enabled,
        thresholds=list(rule.terms.thresholds),
        sensitivity=rule.terms.sensitivity,
        floor_usd=rule.terms.floor_usd,
        now=rule.created_at,
    )
    return bool(rows)


def update_rule(db: Connection, *, org_id: UUID, rule_id: UUID, terms: AlertTerms) -> None:
    db.run(
        """
        UPDATE public.alert_rules
           SET enabled = :enabled, thresholds = :thresholds::integer[], sensitivity = :sensitivity, floor_usd = :floor_usd
         WHERE org_id = :org_id AND id = :id
        """,
        org_id=org_id,
        id=rule_id,
        enabled=terms.enabled,
        thresholds=list(terms.thresholds),
        sensitivity=terms.sensitivity,
        floor_usd=terms.floor_usd,
    )


def delete_rule(db: Connection, *, org_id: UUID, rule_id: UUID) -> None:
    db.run("DELETE FROM public.alert_rules WHERE org_id = :org_id AND id = :id", org_id=org_id, id=rule_id)


def tell(db: Connection, crossings: Sequence[Crossing], *, now: datetime) -> int:
    """Leave a notification of each crossing that nobody was told of yet, and a delivery of it for each destination that wants
    it; how many notifications. Two who see the same crossing at once wait for each other here, and one of them tells."""
    # In one order, so that two who tell of the same things never wait for each other both ways.
    ordered = sorted(crossings, key=lambda c: (c.org_id, c.kind, c.subject, c.window_name, c.threshold))
    rows = db.run(
        """
        INSERT INTO public.notifications (org_id, id, kind, subject, window_name, threshold, title, facts, created_at)
        SELECT c.org_id, c.id, c.kind, c.subject, c.window_name, c.threshold, c.title, c.facts::jsonb, :now
          FROM unnest(:org_ids::uuid[], :ids::uuid[], :kinds::text[], :subjects::text[], :windows::text[],
                      :thresholds::integer[], :titles::text[], :facts::text[])
               WITH ORDINALITY AS c (org_id, id, kind, subject, window_name, threshold, title, facts, place)
         ORDER BY c.place
        ON CONFLICT ON CONSTRAINT notifications_once DO NOTHING
        RETURNING id, org_id, kind, subject, window_name, threshold, title, facts
        """,
        org_ids=[c.org_id for c in ordered],
        ids=[new_id() for _ in ordered],
        kinds=[c.kind.value for c in ordered],
        subjects=[c.subject for c in ordered],
        windows=[c.window_name for c in ordered],
        thresholds=[c.threshold for c in ordered],
        titles=[c.title for c in ordered],
        facts=[dumps(dict(c.facts)) for c in ordered],
        now=now,
    )
    if rows:
        alert_deliveries.enqueue(db, [_told(row) for row in rows], now=now)
    return len(rows)


def page(db: Connection, *, org_id: UUID, limit: int, after: Position | None, unread: bool) -> list[Notification]:
    """Up to `limit`, newest first; `unread` leaves out what was read."""
    rows = db.run(
        f"""
        SELECT {NOTIFICATION} FROM public.notifications
         WHERE org_id = :org_id AND (NOT :unread::boolean OR read_at IS NULL)
           AND (:after_id::uuid IS NULL OR (created_at, id) < (:after_time::timestamptz, :after_id::uuid))
         ORDER BY created_at DESC, id DESC LIMIT :limit
        """,  # noqa: S608 - what is filled in are names of our own columns
        org_id=org_id,
        unread=unread,
        after_id=after.id if after else None,
        after_time=after.created_at if after else None,
        limit=limit,
    )
    return [_notification(row) for row in rows]


def mark_read(db: Connection, *, org_id: UUID, notification_id: UUID, by: str, now: datetime) -> Notification | None:
    """None when there is none. Who read it first stays."""
    rows = db.run(
        f"""
        UPDATE public.notifications SET read_by = coalesce(read_by, :by), read_at = coalesce(read_at, :now)
         WHERE org_id = :org_id AND id = :id RETURNING {NOTIFICATION}
        """,  # noqa: S608 - what is filled in are names of our own columns
        org_id=org_id,
        id=notification_id,
        by=by,
        now=now,
    )
    return _notification(rows[0]) if rows else None


def _rule(row: Sequence[Any]) -> AlertRule:
    rule_id, org_id, kind, enabled, thresholds, sensitivity, floor_usd, created_at = row
    terms = AlertTerms(enabled=enabled, thresholds=tuple(thresholds), sensitivity=sensitivity, floor_usd=floor_usd)
    return AlertRule(id=rule_id, org_id=org_id, kind=AlertKind(kind), terms=terms, created_at=created_at)


def _told(row: Sequence[Any]) -> Told:
    notification_id, org_id, kind, subject, window_name, threshold, title, facts = row
    return Told(
        id=notification_id,
        org_id=org_id,
        kind=kind,
        subject=subject,
        window_name=window_name,
        threshold=threshold,
        title=title,
        facts=facts,
    )


def _notification(row: Sequence[Any]) -> Notification:
    names = NOTIFICATION.split(", ")
    return Notification(**dict(zip(names, row, strict=True)))
