"""Budgets as the gate counts them, and what the ledger says of the same window."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from navplane.model.budget import Budget
from navplane.model.limit import LimitKind, LimitMode, LimitScope
from navplane.store.database import Connection
from navplane.store.organizations import Position

COLUMNS = "limit_id, org_id, scope, scope_id, kind, amount, mode, created_at, window_name, starts_at, ends_at, used, reserved"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptBudget:
    """`recorded` is what the ledger's sums say, in tokens or in USD."""

    budget: Budget
    recorded: Decimal


def page(db: Connection, *, org_id: UUID | None, limit: int, after: Position | None, now: datetime) -> list[KeptBudget]:
    """Up to `limit`, the newest first. `org_id` None: of every organization, in a transaction with `platform=True`."""
    source = "budgets_of_organization" if org_id is not None else "budgets_of_everybody"
    owner = {"org_id": org_id} if org_id is not None else {}
    listed = ", ".join(f"b.{name}" for name in COLUMNS.split(", "))
    rows = db.run(
        f"""
        SELECT {listed}, coalesce(CASE WHEN b.kind LIKE 'usd%' THEN recorded.cost_usd ELSE recorded.tokens END, 0)
          FROM (SELECT * FROM public.{source}(:now)
                 WHERE {"org_id = :org_id AND" if owner else ""}
                       (:after_id::uuid IS NULL OR (created_at, limit_id) < (:after_time::timestamptz, :after_id::uuid))
                 ORDER BY created_at DESC, limit_id DESC LIMIT :limit) AS b
          LEFT JOIN LATERAL (
                SELECT sum(u.cost_usd) AS cost_usd, sum(u.input_tokens + u.output_tokens) AS tokens
                  FROM public.usage_daily AS u
                 WHERE u.org_id = b.org_id AND u.starts_at >= b.starts_at AND u.starts_at < b.ends_at
                   AND CASE b.scope WHEN 'key' THEN u.key_id = b.scope_id WHEN 'user' THEN u.user_id = b.scope_id
                                    WHEN 'workspace' THEN u.workspace_id = b.scope_id ELSE true END) AS recorded ON true
         ORDER BY b.created_at DESC, b.limit_id DESC
        """,  # noqa: S608 - what is filled in are names of our own columns
        now=now,
        **owner,
        after_id=after.id if after else None,
        after_time=after.created_at if after else None,
        limit=limit,
    )
    return [KeptBudget(budget=_budget(row[:-1]), recorded=row[-1]) for row in rows]


def of_everybody(db: Connection, *, now: datetime) -> list[Budget]:
    """Every organization's, for who watches them."""
    rows = db.run(f"SELECT {COLUMNS} FROM public.budgets_of_everybody(:now)", now=now)  # noqa: S608
    return [_budget(row) for row in rows]


def _budget(row: Sequence[Any]) -> Budget:
    limit_id, org_id, scope, scope_id, kind, amount, mode, created_at, window_name, starts_at, ends_at, used, reserved = row
    return Budget(
        limit_id=limit_id,
        org_id=org_id,
        scope=LimitScope(scope),
        scope_id=scope_id,
        kind=LimitKind(kind),
        amount=amount,
        mode=LimitMode(mode),
        created_at=created_at,
        window_name=window_name,
        starts_at=starts_at,
        ends_at=ends_at,
        used=used,
        reserved=reserved,
    )
