"""audit_events: who changed what. Written in the change's own transaction: there is no change without its event."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from navplane.store.database import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEvent:
    """`actor` is the subject who did it, `action` a permission (`organization:update`), `resource` what it was done to
    (`organization/<id>`). `before` and `after` hold what changed, never a secret."""

    id: UUID
    org_id: UUID | None
    actor: str
    action: str
    resource: str
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None
    ip: str | None
    user_agent: str | None
    request_id: str
    occurred_at: datetime


def record(db: Connection, event: AuditEvent) -> None:
    db.run(
        """
        INSERT INTO public.audit_events
            (id, org_id, actor, action, resource, before, after, ip, user_agent, request_id, occurred_at)
        VALUES (:id, :org_id, :actor, :action, :resource, :before::jsonb, :after::jsonb, :ip, :user_agent, :request_id,
            :occurred_at)
        """,
        id=event.id,
        org_id=event.org_id,
        actor=event.actor,
        action=event.action,
        resource=event.resource,
        before=_json(event.before),
        after=_json(event.after),
        ip=event.ip,
        user_agent=event.user_agent,
        request_id=event.request_id,
        occurred_at=event.occurred_at,
    )


def _json(fields: Mapping[str, Any] | None) -> str | None:
    return None if fields is None else json.dumps(fields, default=str)
