"""platform_limits: what everybody together may use. The table belongs to no organization."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from navplane.model.limit import PLATFORM_ID, Limit, LimitKind, LimitMode, LimitScope, window_of
from navplane.store.database import Connection
from navplane.store.limits import KeptLimit


def insert(db: Connection, limit: Limit, *, now: datetime) -> bool:
    """False, and nothing stored, when there is one of this kind."""
    rows = db.run(
        """
        INSERT INTO public.platform_limits (id, kind, amount, mode, allow_unpriced, created_at, updated_at)
        VALUES (:id, :kind, :amount, :mode, :allow_unpriced, :now, :now)
        ON CONFLICT (kind) DO NOTHING
        RETURNING id
        """,
        id=limit.id,
        kind=limit.kind.value,
        amount=limit.amount,
        mode=limit.mode.value,
        allow_unpriced=limit.allow_unpriced,
        now=now,
    )
    return bool(rows)


def update(db: Connection, limit: Limit) -> None:
    """Its amount and how it is enforced; what it is stays."""
    db.run(
        "UPDATE public.platform_limits SET amount = :amount, mode = :mode, allow_unpriced = :allow_unpriced WHERE id = :id",
        id=limit.id,
        amount=limit.amount,
        mode=limit.mode.value,
        allow_unpriced=limit.allow_unpriced,
    )


def delete(db: Connection, *, limit_id: UUID) -> None:
    db.run("DELETE FROM public.platform_limits WHERE id = :id", id=limit_id)


def find(db: Connection, *, limit_id: UUID, now: datetime) -> KeptLimit | None:
    """Held back from other changes."""
    db.run("SELECT FROM public.platform_limits WHERE id = :id FOR UPDATE", id=limit_id)
    return next((kept for kept in every(db, now=now) if kept.limit.id == limit_id), None)


def every(db: Connection, *, now: datetime) -> list[KeptLimit]:
    """In the order in which they are checked; there is one of a kind at most."""
    rows = db.run(
        """
        SELECT l.id, l.kind, l.amount, l.mode, l.allow_unpriced, coalesce(c.used, 0), l.created_at
          FROM public.platform_limits AS l
          LEFT JOIN public.limit_counters AS c
            ON c.org_id IS NULL AND c.scope_id = :platform AND c.kind = l.kind AND c.window_name = ANY (:windows::text[])
        """,
        platform=PLATFORM_ID,
        windows=sorted({window_of(kind, now).name for kind in LimitKind}),
    )
    return sorted((_kept(row) for row in rows), key=lambda kept: list(LimitKind).index(kept.limit.kind))


def _kept(row: Sequence[Any]) -> KeptLimit:
    limit_id, kind, amount, mode, allow_unpriced, used, created_at = row
    limit = Limit(
        id=limit_id,
        scope=LimitScope.PLATFORM,
        scope_id=PLATFORM_ID,
        kind=LimitKind(kind),
        amount=amount,
        mode=LimitMode(mode),
        allow_unpriced=allow_unpriced,
    )
    return KeptLimit(limit=limit, used=used, created_at=created_at)
