"""price_overrides: what an organization has agreed with a provider, model by model, each for a span of time."""

from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any
from uuid import UUID

from navplane.model.price import AgreedRates, PriceOverride
from navplane.store.database import Connection
from navplane.store.organizations import Position

_RATES = tuple(field.name for field in fields(AgreedRates))
_COLUMNS = ("id", "provider", "model", "effective_from", "effective_to", "created_at", *_RATES)


def insert(db: Connection, override: PriceOverride, *, org_id: UUID) -> None:
    columns = ("org_id", *_COLUMNS)
    db.run(
        f"INSERT INTO public.price_overrides ({', '.join(columns)})"  # noqa: S608 - names of our own columns
        f" VALUES ({', '.join(f':{name}' for name in columns)})",
        org_id=org_id,
        **{name: getattr(override, name) for name in _COLUMNS if name not in _RATES},
        **{name: getattr(override.rates, name) for name in _RATES},
    )


def end(db: Connection, *, org_id: UUID, override_id: UUID, effective_to: datetime | None) -> None:
    db.run(
        "UPDATE public.price_overrides SET effective_to = :effective_to WHERE org_id = :org_id AND id = :id",
        org_id=org_id,
        id=override_id,
        effective_to=effective_to,
    )


def delete(db: Connection, *, org_id: UUID, override_id: UUID) -> bool:
    """False, and nothing deleted, for one that is or was in force."""
    db.run("DELETE FROM public.price_overrides WHERE org_id = :org_id AND id = :id", org_id=org_id, id=override_id)
    return bool(db.row_count)


def overlapping(db: Connection, override: PriceOverride, *, org_id: UUID) -> PriceOverride | None:
    """Another one for the same provider and model that is in force at a time when `override` would be."""
    rows = db.run(
        f"""
        SELECT {", ".join(_COLUMNS)} FROM public.price_overrides
         WHERE org_id = :org_id AND provider = :provider AND model = :model AND id <> :id
           AND effective_from < coalesce(CAST(:until AS timestamptz), 'infinity')
           AND coalesce(effective_to, 'infinity') > :since
         ORDER BY effective_from LIMIT 1
        """,  # noqa: S608 - names of our own columns
        org_id=org_id,
        provider=override.provider,
        model=override.model,
        id=override.id,
        since=override.effective_from,
        until=override.effective_to,
    )
    return _override(rows[0]) if rows else None


def find(db: Connection, *, org_id: UUID, override_id: UUID) -> PriceOverride | None:
    found = page(db, org_id=org_id, limit=1, after=None, override_id=override_id)
    return found[0] if found else None


def page(
    db: Connection, *, org_id: UUID, limit: int, after: Position | None, override_id: UUID | None = None
) -> list[PriceOverride]:
    """Up to `limit`, newest first; or only the one that is named."""
    rows = db.run(
        f"""
        SELECT {", ".join(_COLUMNS)} FROM public.price_overrides
         WHERE org_id = :org_id AND (:override_id::uuid IS NULL OR id = :override_id::uuid)
           AND (:after_id::uuid IS NULL OR (created_at, id) < (:after_time::timestamptz, :after_id::uuid))
         ORDER BY created_at DESC, id DESC LIMIT :limit
        """,  # noqa: S608 - names of our own columns
        org_id=org_id,
        override_id=override_id,
        after_id=after.id if after else None,
        after_time=after.created_at if after else None,
        limit=limit,
    )
    return [_override(row) for row in rows]


def _override(row: Sequence[Any]) -> PriceOverride:
    values = dict(zip(_COLUMNS, row, strict=True))
    rates = AgreedRates(**{name: values.pop(name) for name in _RATES})
    return PriceOverride(**values, rates=rates)
