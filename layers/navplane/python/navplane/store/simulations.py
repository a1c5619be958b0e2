"""The calls of the past, and what else a simulation of a workflow asks: narrow reads of request_logs and the price list."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from navplane.model.ids import smallest_id_of
from navplane.model.limit import NANO_USD
from navplane.store.database import Connection

# created_at, workspace, key, endpoint, asked model, provider, called model, route, outcome, input, output, cost.
Row = Sequence[Any]


def calls(db: Connection, *, org_id: UUID, workspace_id: UUID | None, since: datetime, limit: int) -> list[Row]:
    """Up to `limit`, newest first."""
    rows: list[Row] = db.run(
        """
        SELECT created_at, workspace_id, key_id, endpoint, model, provider, coalesce(upstream_model, model), route, outcome,
               input_tokens, output_tokens, cost_usd
          FROM public.request_logs
         WHERE org_id = :org_id AND request_id >= :since AND (:workspace_id::uuid IS NULL OR workspace_id = :workspace_id::uuid)
         ORDER BY request_id DESC LIMIT :limit
        """,
        org_id=org_id,
        since=smallest_id_of(since),
        workspace_id=workspace_id,
        limit=limit,
    )
    return rows


def rates(db: Connection, provider: str, model: str) -> tuple[Decimal, Decimal, Decimal] | None:
    """USD per input token, per output token and per request, by the list that admission reads: ceilings."""
    rows = db.run(
        """
        SELECT input_nano_usd, output_nano_usd, request_nano_usd FROM public.model_prices
         WHERE provider = :provider AND :model ~ pattern ORDER BY position LIMIT 1
        """,
        provider=provider,
        model=model,
    )
    if not rows:
        return None
    read, written, each = (Decimal(nano) / NANO_USD for nano in rows[0])
    return read, written, each


def holding(db: Connection, *, org_id: UUID) -> frozenset[str]:
    """The providers that the organization has a key for."""
    rows = db.run(
        "SELECT DISTINCT provider FROM public.provider_keys WHERE org_id = :org_id AND deleted_at IS NULL", org_id=org_id
    )
    return frozenset(row[0] for row in rows)
