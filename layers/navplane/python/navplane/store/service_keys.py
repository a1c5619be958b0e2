"""service_keys: what automation signs in with. Their digests can't be read back."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from navplane.store.database import Connection
from navplane.store.organizations import Position

COLUMNS = "id, org_id, workspace_id, name, role, key_hint, created_by, expires_at, revoked_at, last_used_at, created_at"


@dataclass(frozen=True, slots=True, kw_only=True)
class InForce:
    """Whose a key is that was presented and holds."""

    org_id: UUID
    id: UUID
    role: str
    workspace_id: UUID | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceKey:
    id: UUID
    org_id: UUID
    workspace_id: UUID | None
    name: str
    role: str
    key_hint: str
    created_by: str
    expires_at: datetime
    revoked_at: datetime | None
    last_used_at: datetime | None
    created_at: datetime


def use(db: Connection, *, digest: bytes, now: datetime) -> InForce | None:
    """None for a key that is unknown, revoked or expired alike."""
    rows = db.run("SELECT * FROM public.service_key_use(:digest, :now)", digest=digest, now=now)
    return InForce(org_id=rows[0][0], id=rows[0][1], role=rows[0][2], workspace_id=rows[0][3]) if rows else None


def insert(db: Connection, key: ServiceKey, *, digest: bytes) -> None:
    db.run(
        """
        INSERT INTO public.service_keys
               (org_id, id, workspace_id, name, role, digest, key_hint, created_by, expires_at, created_at)
        VALUES (:org_id, :id, :workspace_id, :name, :role, :digest, :key_hint, :created_by, :expires_at, :created_at)
        """,
        org_id=key.org_id,
        id=key.id,
        workspace_id=key.workspace_id,
        name=key.name,
        role=key.role,
        digest=digest,
        key_hint=key.key_hint,
        created_by=key.created_by,
        expires_at=key.expires_at,
        created_at=key.created_at,
    )


def page(
    db: Connection, *, org_id: UUID, limit: int, after: Position | None, within: Sequence[UUID] | None
) -> list[ServiceKey]:
    """Up to `limit`, newest first; `within` keeps to those of some workspaces."""
    rows = db.run(
        f"""
        SELECT {COLUMNS} FROM public.service_keys
         WHERE org_id = :org_id AND (:within::uuid[] IS NULL OR workspace_id = ANY(:within::uuid[]))
           AND (:after_id::uuid IS NULL OR (created_at, id) < (:after_time::timestamptz, :after_id::uuid))
         ORDER BY created_at DESC, id DESC LIMIT :limit
        """,  # noqa: S608 - what is filled in are names of our own columns
        org_id=org_id,
        within=None if within is None else list(within),
        after_id=after and after.id,
        after_time=after and after.created_at,
        limit=limit,
    )
    return [_key(row) for row in rows]


def find(db: Connection, *, org_id: UUID, key_id: UUID) -> ServiceKey | None:
    sql = f"SELECT {COLUMNS} FROM public.service_keys WHERE org_id = :org_id AND id = :key_id"  # noqa: S608
    rows = db.run(sql, org_id=org_id, key_id=key_id)
    return _key(rows[0]) if rows else None


def revoke(db: Connection, *, org_id: UUID, key_id: UUID, now: datetime) -> None:
    db.run(
        "UPDATE public.service_keys SET revoked_at = :now WHERE org_id = :org_id AND id = :key_id AND revoked_at IS NULL",
        org_id=org_id,
        key_id=key_id,
        now=now,
    )


def _key(row: Sequence[Any]) -> ServiceKey:
    return ServiceKey(
        id=row[0],
        org_id=row[1],
        workspace_id=row[2],
        name=row[3],
        role=row[4],
        key_hint=row[5],
        created_by=row[6],
        expires_at=row[7],
        revoked_at=row[8],
        last_used_at=row[9],
        created_at=row[10],
    )
