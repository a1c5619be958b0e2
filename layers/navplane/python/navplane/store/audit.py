"""audit_events: who changed what, in a chain for each organization. Written in the change's own transaction: there is no change
without its event."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from navplane.store.database import Connection
from navplane.store.organizations import Position


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEvent:
    """`actor` is the subject who did it, `action` a permission (`organization:update`), `resource` what it was done to
    (`organization/<id>`). `before` and `after` hold what changed, never a secret. Without `org_id` it is the platform's."""

    id: UUID
    org_id: UUID | None
    actor: str
    action: str
    resource: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    ip: str | None
    user_agent: str | None
    request_id: str | None
    occurred_at: datetime

    def entry(self) -> dict[str, Any]:
        """What the chain keeps of it. Fields are never renamed or reused."""
        return {
            "id": str(self.id),
            "organization": str(self.org_id) if self.org_id else None,
            "actor": self.actor,
            "action": self.action,
            "resource": self.resource,
            "before": self.before,
            "after": self.after,
            "ip": self.ip,
            "user_agent": self.user_agent,
            "request_id": self.request_id,
            "occurred_at": self.occurred_at.astimezone(UTC).isoformat(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """An event as it is kept; one from before the chain has no sequence."""

    event: AuditEvent
    sequence: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One link of a chain: `entry` is the text that was hashed."""

    sequence: int
    previous_hash: bytes
    hash: bytes
    entry: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which events: None is any. `resource` is a whole one or, ending in `/`, all of a kind."""

    actor: str | None = None
    action: str | None = None
    resource: str | None = None
    since: datetime | None = None
    until: datetime | None = None


def append(db: Connection, entry: str) -> int:
    """Add an event, as canonical JSON, to the chain of the transaction's organization; its place in it."""
    place: int = db.run("SELECT public.audit_append(:entry)", entry=entry)[0][0]
    return place


def page(db: Connection, *, org_id: UUID | None, wanted: Wanted, limit: int, after: Position | None) -> list[Kept]:
    """Up to `limit`, newest first. Without `org_id` those of all organizations: in a transaction with `platform=True` only."""
    rows = db.run(
        """
        SELECT id, org_id, actor, action, resource, before, after, ip, user_agent, request_id, occurred_at, sequence
          FROM public.audit_events
         WHERE (:org_id::uuid IS NULL OR org_id = :org_id::uuid)
           AND (:actor::text IS NULL OR actor = :actor::text)
           AND (:action::text IS NULL OR action = :action::text)
           AND (:resource::text IS NULL OR resource = :resource::text
                OR right(:resource::text, 1) = '/' AND starts_with(resource, :resource::text))
           AND (:since::timestamptz IS NULL OR occurred_at >= :since::timestamptz)
           AND (:until::timestamptz IS NULL OR occurred_at < :until::timestamptz)
           AND (:after_id::uuid IS NULL OR (occurred_at, id) < (:after_time::timestamptz, :after_id::uuid))
         ORDER BY occurred_at DESC, id DESC LIMIT :limit
        """,
        org_id=org_id,
        actor=wanted.actor,
        action=wanted.action,
        resource=wanted.resource,
        since=wanted.since,
        until=wanted.until,
        after_id=after and after.id,
        after_time=after and after.created_at,
        limit=limit,
    )
    return [_kept(row) for row in rows]


def links(db: Connection, *, org_id: UUID | None, first: int, limit: int) -> list[Link]:
    """Up to `limit` from the sequence `first` on; without `org_id` of the platform's chain."""
    whose = "org_id IS NULL" if org_id is None else "org_id = :org_id"
    rows = db.run(
        f"""
        SELECT sequence, previous_hash, hash, entry FROM public.audit_events
         WHERE {whose} AND sequence >= :first ORDER BY sequence LIMIT :limit
        """,  # noqa: S608 - one of the two texts above
        first=first,
        limit=limit,
        **({} if org_id is None else {"org_id": org_id}),
    )
    return [Link(sequence=row[0], previous_hash=bytes(row[1]), hash=bytes(row[2]), entry=row[3]) for row in rows]


def _kept(row: Sequence[Any]) -> Kept:
    event = AuditEvent(
        id=row[0],
        org_id=row[1],
        actor=row[2],
        action=row[3],
        resource=row[4],
        before=_fields(row[5]),
        after=_fields(row[6]),
        ip=row[7],
        user_agent=row[8],
        request_id=row[9],
        occurred_at=row[10],
    )
    return Kept(event=event, sequence=row[11])


def _fields(value: Any) -> dict[str, Any] | None:
    found: dict[str, Any] | None = json.loads(value) if isinstance(value, str) else value
    return found
