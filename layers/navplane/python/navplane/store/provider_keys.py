"""provider_keys: what we hold for an organization, sealed. Deleting one also overwrites what was sealed."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from navplane.model.provider_key import ProviderKey, SealedProviderKey, SealingContext
from navplane.store.database import Connection
from navplane.store.organizations import Position

COLUMNS = "id, org_id, provider, label, key_hint, base_url, demo, created_at, is_default, replaces, weight"


def insert(db: Connection, key: ProviderKey, *, region: str, sealed: bytes, kek_id: str) -> bool:
    """False, and nothing stored, when the organization has a key of this provider and label."""
    rows = db.run(
        """
        INSERT INTO public.provider_keys
            (org_id, id, provider, label, key_hint, base_url, region, demo, sealed, kek_id, is_default, replaces, weight,
            created_at, updated_at)
        VALUES (:org_id, :id, :provider, :label, :key_hint, :base_url, :region, :demo, :sealed, :kek_id, :is_default,
            :replaces::uuid, :weight, :now, :now)
        ON CONFLICT (org_id, provider, label) WHERE deleted_at IS NULL DO NOTHING
        RETURNING id
        """,
        org_id=key.org_id,
        id=key.id,
        provider=key.provider,
        label=key.label,
        key_hint=key.key_hint,
        base_url=key.base_url,
        region=region,
        demo=key.demo,
        sealed=sealed,
        kek_id=kek_id,
        is_default=key.is_default,
        replaces=key.replaces,
        weight=key.weight,
        now=key.created_at,
    )
    _settle(db, org_id=key.org_id, provider=key.provider)
    return bool(rows)


def is_taken(db: Connection, *, org_id: UUID, provider: str, label: str) -> bool:
    rows = db.run(
        """
        SELECT 1 FROM public.provider_keys
         WHERE org_id = :org_id AND provider = :provider AND label = :label AND deleted_at IS NULL
        """,
        org_id=org_id,
        provider=provider,
        label=label,
    )
    return bool(rows)


def is_there(db: Connection, *, org_id: UUID, provider_key_id: UUID) -> bool:
    rows = db.run(
        "SELECT 1 FROM public.provider_keys WHERE org_id = :org_id AND id = :id AND deleted_at IS NULL",
        org_id=org_id,
        id=provider_key_id,
    )
    return bool(rows)


def sealed(db: Connection, *, org_id: UUID, provider_key_id: UUID) -> SealedProviderKey | None:
    """What a key is sealed as and where it belongs. For the role that may open it; no other can read it."""
    rows = db.run(
        """
        SELECT provider, region, base_url, demo, sealed FROM public.provider_keys
         WHERE org_id = :org_id AND id = :id AND deleted_at IS NULL AND length(sealed) > 0
        """,
        org_id=org_id,
        id=provider_key_id,
    )
    if not rows:
        return None
    provider, region, base_url, demo, value = rows[0]
    context = SealingContext(org_id=org_id, provider_key_id=provider_key_id, provider=provider, region=region)
    return SealedProviderKey(context=context, base_url=base_url, demo=demo, sealed=bytes(value))


def page(db: Connection, *, org_id: UUID, limit: int, after: Position | None) -> list[ProviderKey]:
    """Up to `limit`, newest first."""
    rows = db.run(
        f"""
        SELECT {COLUMNS} FROM public.provider_keys
         WHERE org_id = :org_id AND deleted_at IS NULL
           AND (:after_id::uuid IS NULL OR (created_at, id) < (:after_time::timestamptz, :after_id::uuid))
         ORDER BY created_at DESC, id DESC LIMIT :limit
        """,  # noqa: S608 - what is filled in are names of our own columns
        org_id=org_id,
        after_id=after and after.id,
        after_time=after and after.created_at,
        limit=limit,
    )
    return [_provider_key(row) for row in rows]


def find(db: Connection, *, org_id: UUID, provider_key_id: UUID) -> ProviderKey | None:
    sql = f"SELECT {COLUMNS} FROM public.provider_keys WHERE org_id = :org_id AND id = :id AND deleted_at IS NULL"  # noqa: S608
    rows = db.run(sql, org_id=org_id, id=provider_key_id)
    return _provider_key(rows[0]) if rows else None


def region_of(db: Connection, *, org_id: UUID, provider_key_id: UUID) -> str:
    """What its sealed value is bound to, beside its ids and its provider."""
    sql = "SELECT region FROM public.provider_keys WHERE org_id = :org_id AND id = :id"
    return str(db.run(sql, org_id=org_id, id=provider_key_id)[0][0])


def update(db: Connection, key: ProviderKey) -> None:
    """Its label, its weight, and whether it is the default one of its provider: then no other is."""
    if key.is_default:
        db.run(
            """
            UPDATE public.provider_keys SET is_default = false
             WHERE org_id = :org_id AND provider = :provider AND is_default AND id <> :id
            """,
            org_id=key.org_id,
            provider=key.provider,
            id=key.id,
        )
    db.run(
        """
        UPDATE public.provider_keys SET label = :label, is_default = :is_default, weight = :weight
         WHERE org_id = :org_id AND id = :id
        """,
        org_id=key.org_id,
        id=key.id,
        label=key.label,
        is_default=key.is_default,
        weight=key.weight,
    )
    _settle(db, org_id=key.org_id, provider=key.provider)


def delete(db: Connection, *, org_id: UUID, provider_key_id: UUID, now: datetime) -> ProviderKey | None:
    """The key as it was, or None when there is none. Rows of past requests keep naming its id."""
    rows = db.run(
        f"""
        UPDATE public.provider_keys SET deleted_at = :now, sealed = ''::bytea
         WHERE org_id = :org_id AND id = :id AND deleted_at IS NULL RETURNING {COLUMNS}
        """,  # noqa: S608 - what is filled in are names of our own columns
        org_id=org_id,
        id=provider_key_id,
        now=now,
    )
    if not rows:
        return None
    deleted = _provider_key(rows[0])
    _settle(db, org_id=org_id, provider=deleted.provider)
    return deleted


def delete_all(db: Connection, *, org_id: UUID, now: datetime) -> list[UUID]:
    rows = db.run(
        """
        UPDATE public.provider_keys SET deleted_at = :now, sealed = ''::bytea
         WHERE org_id = :org_id AND deleted_at IS NULL RETURNING id
        """,
        org_id=org_id,
        now=now,
    )
    return [row[0] for row in rows]


def _settle(db: Connection, *, org_id: UUID, provider: str) -> None:
    """Whoever is not the provider's default stands by while there is one. After every change of either."""
    db.run(
        """
        UPDATE public.provider_keys AS k SET stands_by = NOT k.stands_by
         WHERE k.org_id = :org_id AND k.provider = :provider AND k.deleted_at IS NULL
           AND k.stands_by <> (NOT k.is_default AND EXISTS (
               SELECT FROM public.provider_keys AS d
                WHERE d.org_id = :org_id AND d.provider = :provider AND d.is_default AND d.deleted_at IS NULL))
        """,
        org_id=org_id,
        provider=provider,
    )


def _provider_key(row: Sequence[Any]) -> ProviderKey:
    return ProviderKey(
        id=row[0],
        org_id=row[1],
        provider=row[2],
        label=row[3],
        key_hint=row[4],
        base_url=row[5],
        demo=row[6],
        created_at=row[7],
        is_default=row[8],
        replaces=row[9],
        weight=row[10],
    )
