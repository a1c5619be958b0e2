"""An organization with an audit, as admins leave it and as the verifier gets it."""

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from navplane.admin import audit_file
from navplane.crypto.audit_chain import canonical
from navplane.model.ids import new_id
from navplane.store import audit, audit_heads
from navplane.store.audit import AuditEvent
from navplane.store.database import Database

from tests.support.postgres import TestDatabase


def event(org_id: UUID | None, number: int, *, now: datetime) -> AuditEvent:
    return AuditEvent(
        id=new_id(),
        org_id=org_id,
        actor="local|admin",
        action="limit:update",
        resource=f"limit/{number}",
        before={"amount": number, "rate": 0.1, "name": "Ä\u2028"},
        after={"amount": number + 1, "list": [1, None, True]},
        ip="192.0.2.1",
        user_agent=None,
        request_id=str(new_id()),
        occurred_at=now + timedelta(milliseconds=number),
    )


def write(database: Database, org_id: UUID | None, count: int, *, now: datetime, first: int = 1) -> None:
    with database.transaction(org_id=org_id) as db:
        for number in range(first, first + count):
            audit.append(db, canonical(event(org_id, number, now=now).entry()))


def exported(database: TestDatabase, org_id: UUID | None, *, first: int = 1, limit: int = 5000) -> dict[str, Any]:
    reader = database.as_role("navplane_reader", size=1)
    with reader.transaction(org_id=org_id, platform=org_id is None) as db:
        links, heads = audit_file.proof(db, org_id=org_id, first=first, limit=limit)
    document: dict[str, Any] = json.loads(bytes(audit_file.as_json(org_id, links, heads, limit=limit).body))
    return document


def public_keys(database: TestDatabase) -> Mapping[UUID, bytes]:
    with database.as_role("navplane_reader", size=1).transaction() as db:
        return {key_id: key for key_id, key, _ in audit_heads.public_keys(db)}
