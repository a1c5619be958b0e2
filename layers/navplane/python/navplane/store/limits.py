"""limits: what an organization's keys, workspaces and itself may use, and what they have used in the current windows."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from navplane.model.limit import Limit, LimitKind, LimitMode, LimitScope, window_of
from navplane.store.database import Connection
from navplane.store.organizations import Position

# Whose id a limit of a scope may name.
OWNERS = {
    LimitScope.ORGANIZATION: "SELECT FROM public.organizations WHERE id = :org_id AND id = :id",
    LimitScope.WORKSPACE: "SELECT FROM public.workspaces WHERE org_id = :org_id AND id = :id",
    LimitScope.USER: (
        "SELECT FROM public.org_members WHERE org_id = :org_id AND user_id = :id"
        " UNION ALL SELECT FROM public.api_keys WHERE org_id = :org_id AND owner_user_id = :id"
    ),
    LimitScope.KEY: "SELECT FROM public.api_keys WHERE org_id = :org_id AND id = :id AND revoked_at IS NULL",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptLimit:
    """`used` is spent and reserved in the window of the question, in the limit's own unit. `workflow_version`: None for one
    that was made by hand."""

    limit: Limit
    used: int
    created_at: datetime
    workflow_version: UUID | None = None


def names_somebody(db: Connection, *, org_id: UUID, scope: LimitScope, scope_id: UUID) -> bool:
    return bool(db.run(OWNERS[scope], org_id=org_id, id=scope_id))


def insert(db: Connection, limit: Limit, *, org_id: UUID, now: datetime, workflow_version: UUID | None = None) -> bool:
    """False, and nothing stored, when there is one of this scope and kind."""
    rows = db.run(
        """
        INSERT INTO public.limits
            (org_id, id, scope, scope_id, kind, amount, mode, allow_unpriced, workflow_version_id, created_at, updated_at)
        VALUES (:org_id, :id, :scope, :scope_id, :kind, :amount, :mode, :allow_unpriced, :workflow_version, :now, :now)
        ON CONFLICT (org_id, scope_id, kind) DO NOTHING
        RETURNING id
        """,
        org_id=org_id,
        id=limit.id,
        scope=limit.scope.value,
        scope_id=limit.scope_id,
        kind=limit.kind.value,
        amount=limit.amount,
        mode=limit.mode.value,
        allow_unpriced=limit.allow_unpriced,
        workflow_version=workflow_version,
        now=now,
    )
    return bool(rows)


def update(db: Connection, limit: Limit, *, org_id: UUID) -> None:
    """Its amount and how it is enforced; whose and what it is stays."""
    db.run(
        """
        UPDATE public.limits SET amount = :amount, mode = :mode, allow_unpriced = :allow_unpriced
         WHERE org_id = :org_id AND id = :id
        """,
        org_id=org_id,
        id=limit.id,
        amount=limit.amount,
        mode=limit.mode.value,
        allow_unpriced=limit.allow_unpriced,
    )


def delete(db: Connection, *, org_id: UUID, limit_id: UUID) -> None:
    db.run("DELETE FROM public.limits WHERE org_id = :org_id AND id = :id", org_id=org_id, id=limit_id)


def hand_over(db: Connection, *, org_id: UUID, old_key_id: UUID, new_key_id: UUID) -> None:
    """The limits of a key that is rotated are those of its successor."""
    db.run(
        "UPDATE public.limits SET scope_id = :new WHERE org_id = :org_id AND scope_id = :old",
        org_id=org_id,
        old=old_key_id,
        new=new_key_id,
    )


def copy(db: Connection, *, org_id: UUID, old_key_id: UUID, new_key_id: UUID, now: datetime) -> None:
    """While both keys are good, each has the limits of the one."""
    db.run(
        """
        INSERT INTO public.limits (org_id, id, scope, scope_id, kind, amount, mode, allow_unpriced, created_at, updated_at)
        SELECT org_id, gen_random_uuid(), scope, :new, kind, amount, mode, allow_unpriced, :now, :now
          FROM public.limits WHERE org_id = :org_id AND scope_id = :old
        """,
        org_id=org_id,
        old=old_key_id,
        new=new_key_id,
        now=now,
    )


def find(db: Connection, *, org_id: UUID, limit_id: UUID, now: datetime) -> KeptLimit | None:
    found = page(db, org_id=org_id, limit=1, after=None, now=now, limit_id=limit_id)
    return found[0] if found else None


def page(
    db: Connection, *, org_id: UUID, limit: int, after: Position | None, now: datetime, limit_id: UUID | None = None
) -> list[KeptLimit]:
    """Up to `limit`, newest first; or only the one that is named."""
    rows = db.run(
        """
        SELECT l.id, l.scope, l.scope_id, l.kind, l.amount, l.mode, l.allow_unpriced, coalesce(c.used, 0), l.created_at,
               l.workflow_version_id
          FROM public.limits AS l
          LEFT JOIN public.limit_counters AS c
            ON c.org_id = l.org_id AND c.scope_id = l.scope_id AND c.kind = l.kind
               AND c.window_name = ANY (:windows::text[])
         WHERE l.org_id = :org_id AND (:limit_id::uuid IS NULL OR l.id = :limit_id::uuid)
           AND (:after_id::uuid IS NULL OR (l.created_at, l.id) < (:after_time::timestamptz, :after_id::uuid))
         ORDER BY l.created_at DESC, l.id DESC LIMIT :limit
        """,
        org_id=org_id,
        limit_id=limit_id,
        windows=sorted({window_of(kind, now).name for kind in LimitKind}),
        after_id=after.id if after else None,
        after_time=after.created_at if after else None,
        limit=limit,
    )
    return [_kept(row) for row in rows]


def _kept(row: Sequence[Any]) -> KeptLimit:
    limit_id, scope, scope_id, kind, amount, mode, allow_unpriced, used, created_at, workflow_version = row
    limit = Limit(
        id=limit_id,
        scope=LimitScope(scope),
        scope_id=scope_id,
        kind=LimitKind(kind),
        amount=amount,
        mode=LimitMode(mode),
        allow_unpriced=allow_unpriced,
    )
    return KeptLimit(limit=limit, used=used, created_at=created_at, workflow_version=workflow_version)
