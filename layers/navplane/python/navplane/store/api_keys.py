"""api_keys: what applications present. Only digests are stored."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from navplane.model.api_key import ApiKey
from navplane.store.database import Connection
from navplane.store.organizations import Position

_SELECT = """
SELECT k.id, k.org_id, k.workspace_id, k.name, k.is_default, k.key_prefix, k.key_hint, k.expires_at, k.revoked_at, k.replaces,
       u.last_used_at, k.created_at, k.owner_user_id, coalesce(p.allow_models, '{}')
  FROM public.api_keys AS k LEFT JOIN public.api_key_uses AS u ON u.org_id = k.org_id AND u.key_id = k.id
  LEFT JOIN public.policies AS p ON p.org_id = k.org_id AND p.scope_id = k.id
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewApiKey:
    """`digest` is the SHA-256 of the whole key, `hint` its last four characters."""

    id: UUID
    prefix: str
    digest: bytes = field(repr=False)
    hint: str


def insert_default(db: Connection, key: NewApiKey, *, org_id: UUID, now: datetime) -> None:
    """Give the organization its default key, in its default workspace. It must have no other in force."""
    rows = db.run(
        """
        INSERT INTO public.api_keys
            (org_id, id, workspace_id, name, is_default, digest, key_prefix, key_hint, created_at, updated_at)
        SELECT :org_id, :key_id, w.id, 'default', true, :digest, :prefix, :hint, :now, :now
          FROM public.workspaces w WHERE w.org_id = :org_id AND w.is_default
        RETURNING id
        """,
        org_id=org_id,
        key_id=key.id,
        digest=key.digest,
        prefix=key.prefix,
        hint=key.hint,
        now=now,
    )
    assert rows, "every organization has a default workspace"


def revoke_default(db: Connection, *, org_id: UUID, now: datetime) -> UUID | None:
    """Revoke the default key in force and return its id. Waits for the admissions that hold the row; none follows the
    commit."""
    rows = db.run(
        """
        UPDATE public.api_keys SET revoked_at = :now
         WHERE org_id = :org_id AND is_default AND revoked_at IS NULL RETURNING id
        """,
        org_id=org_id,
        now=now,
    )
    return rows[0][0] if rows else None


def revoke_all(db: Connection, *, org_id: UUID, now: datetime) -> list[UUID]:
    rows = db.run(
        "UPDATE public.api_keys SET revoked_at = :now WHERE org_id = :org_id AND revoked_at IS NULL RETURNING id",
        org_id=org_id,
        now=now,
    )
    return [row[0] for row in rows]


def insert(db: Connection, key: ApiKey, *, digest: bytes) -> bool:
    """False, and nothing stored, when the organization has no such workspace."""
    rows = db.run(
        """
        INSERT INTO public.api_keys (org_id, id, workspace_id, name, is_default, digest, key_prefix, key_hint, expires_at,
            replaces, owner_user_id, created_at, updated_at)
        SELECT :org_id, :id, w.id, :name, :is_default, :digest, :key_prefix, :key_hint, :expires_at::timestamptz,
               :replaces::uuid, :owner_user_id::uuid, :now, :now
          FROM public.workspaces AS w WHERE w.org_id = :org_id AND w.id = :workspace_id
        RETURNING id
        """,
        org_id=key.org_id,
        id=key.id,
        workspace_id=key.workspace_id,
        name=key.name,
        is_default=key.is_default,
        digest=digest,
        key_prefix=key.key_prefix,
        key_hint=key.key_hint,
        expires_at=key.expires_at,
        replaces=key.replaces,
        owner_user_id=key.owner_user_id,
        now=key.created_at,
    )
    return bool(rows)


def find(db: Connection, *, org_id: UUID, key_id: UUID) -> ApiKey | None:
    rows = db.run(_SELECT + " WHERE k.org_id = :org_id AND k.id = :key_id", org_id=org_id, key_id=key_id)
    return _api_key(rows[0]) if rows else None


def page(db: Connection, *, org_id: UUID, limit: int, after: Position | None, workspace_id: UUID | None = None) -> list[ApiKey]:
    """Up to `limit`, newest first, revoked and expired ones too."""
    rows = db.run(
        _SELECT
        + """
         WHERE k.org_id = :org_id AND (:workspace_id::uuid IS NULL OR k.workspace_id = :workspace_id::uuid)
           AND (:after_id::uuid IS NULL OR (k.created_at, k.id) < (:after_time::timestamptz, :after_id::uuid))
         ORDER BY k.created_at DESC, k.id DESC LIMIT :limit
        """,
        org_id=org_id,
        workspace_id=workspace_id,
        after_id=after and after.id,
        after_time=after and after.created_at,
        limit=limit,
    )
    return [_api_key(row) for row in rows]


def update(db: Connection, key: ApiKey) -> None:
    """Its name, its owner and its end, and whether it is the default one. Waits for the admissions that hold the row."""
    db.run(
        """
        UPDATE public.api_keys SET name = :name, expires_at = :expires_at::timestamptz, is_default = :is_default,
            owner_user_id = :owner_user_id::uuid
         WHERE org_id = :org_id AND id = :id
        """,
        org_id=key.org_id,
        id=key.id,
        name=key.name,
        expires_at=key.expires_at,
        is_default=key.is_default,
        owner_user_id=key.owner_user_id,
    )


def revoke(db: Connection, *, org_id: UUID, key_id: UUID, now: datetime) -> None:
    """Waits for the admissions that hold the row; none follows the commit. One that is revoked stays so since then."""
    db.run(
        "UPDATE public.api_keys SET revoked_at = :now WHERE org_id = :org_id AND id = :id AND revoked_at IS NULL",
        org_id=org_id,
        id=key_id,
        now=now,
    )


def _api_key(row: Sequence[Any]) -> ApiKey:
    return ApiKey(
        id=row[0],
        org_id=row[1],
        workspace_id=row[2],
        name=row[3],
        is_default=row[4],
        key_prefix=row[5],
        key_hint=row[6],
        expires_at=row[7],
        revoked_at=row[8],
        replaces=row[9],
        last_used_at=row[10],
        created_at=row[11],
        owner_user_id=row[12],
        allowed_models=tuple(row[13]),
    )
