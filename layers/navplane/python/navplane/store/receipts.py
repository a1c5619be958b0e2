"""Receipts: what one request used and what was charged for it, for whoever holds a key of its workspace."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from navplane.model.ids import RequestId
from navplane.store.database import Connection
from navplane.store.request_rows import RequestRow, find_request


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Whose key it is. `refused`: why it may not ask, `invalid_key` or `organization_disabled`. `pending`: the request that
    was asked about is this workspace's and still open at the gate."""

    org_id: UUID
    workspace_id: UUID
    refused: str | None
    pending: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Charged:
    """One entry of the ledger. Those of one request add up to what its row costs."""

    revision: int
    kind: str
    amount_usd: Decimal
    price_source: str
    price_version: str
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """`attempt_log`: what became of each try at a provider, in order; None where none was written down."""

    row: RequestRow
    route: str | None
    attempt_log: list[dict[str, Any]] | None
    charged: tuple[Charged, ...]


def holder_of(db: Connection, *, digest: bytes, request_id: RequestId, now: datetime) -> Holder | None:
    """None for a key that nobody knows. Needs no `app.org_id`."""
    sql = "SELECT org_id, workspace_id, refused, pending FROM public.receipt_caller(:digest, :request_id, :now)"
    rows = db.run(sql, digest=digest, request_id=request_id, now=now)
    return Holder(org_id=rows[0][0], workspace_id=rows[0][1], refused=rows[0][2], pending=rows[0][3]) if rows else None


def find(db: Connection, *, org_id: UUID, workspace_id: UUID | None, request_id: RequestId) -> Receipt | None:
    """Of a request of that workspace; None: of any of the organization's."""
    row = find_request(db, org_id=org_id, request_id=request_id)
    if row is None or workspace_id not in (None, row.workspace_id):
        return None
    ((route, attempt_log),) = db.run(
        "SELECT route, attempt_log FROM public.request_logs WHERE org_id = :org_id AND request_id = :request_id",
        org_id=org_id,
        request_id=request_id,
    )
    return Receipt(row=row, route=route, attempt_log=attempt_log, charged=_charged(db, org_id, request_id))


def _charged(db: Connection, org_id: UUID, request_id: RequestId) -> tuple[Charged, ...]:
    names = tuple(Charged.__dataclass_fields__)
    rows = db.run(
        f"SELECT {', '.join(names)} FROM public.ledger_entries"  # noqa: S608 - names of our own columns
        " WHERE org_id = :org_id AND request_id = :request_id ORDER BY revision",
        org_id=org_id,
        request_id=request_id,
    )
    return tuple(Charged(**dict(zip(names, row, strict=True))) for row in rows)
