"""api_keys: what applications present. Only digests are stored."""

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from navplane.store.database import Connection


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
