"""request_logs as their organization reads them: row by row."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from navplane.model.ids import RequestId
from navplane.model.usage import Outcome, PriceQuality, Usage, UsageQuality
from navplane.store.database import Connection
from navplane.store.request_bounds import bounded
from navplane.store.request_filter import EVERYTHING, Wanted

_COUNTS = tuple(Usage.__dataclass_fields__)


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRow:
    """One request as its organization may see it."""

    request_id: RequestId
    created_at: datetime
    org_id: UUID
    workspace_id: UUID
    key_id: UUID
    user_id: UUID | None
    provider: str | None
    provider_key_id: UUID | None
    model: str | None
    response_model: str | None
    endpoint: str
    region: str
    stream: bool
    demo: bool
    status: int
    error_code: str | None
    outcome: Outcome
    usage_quality: UsageQuality
    price_quality: PriceQuality
    cost_usd: Decimal | None
    price_version: str | None
    raw_usage: dict[str, Any] | None
    service_tier: str | None
    provider_request_id: str | None
    finish_reason: str | None
    attempts: int
    first_byte_ms: int | None
    duration_ms: int
    request_bytes: int
    response_bytes: int
    client: str | None
    route: str | None
    workflow_version_id: UUID | None
    upstream_model: str | None
    attempt_log: list[dict[str, Any]] | None
    started_at: datetime
    recorded_at: datetime
    revision: int
    usage: Usage


# No UUIDv7 is as large.
_BEYOND = UUID(int=2**128 - 1)
_ROW = tuple(name for name in RequestRow.__dataclass_fields__ if name != "usage")


def list_requests(
    db: Connection, *, org_id: UUID | None, limit: int, cursor: RequestId | None = None, wanted: Wanted = EVERYTHING
) -> list[RequestRow]:
    """Up to `limit` of the requests that are wanted, newest first; with a `cursor`, those older than that request. `org_id`
    None: of every organization, in a transaction with `platform=True`."""
    within = bounded(db, org_id=org_id, wanted=wanted)
    if within is None:
        return []
    owner = {"org_id": org_id} if org_id is not None else {}
    rows = db.run(
        f"""
        SELECT {", ".join((*_ROW, *_COUNTS))} FROM public.request_logs
         WHERE {"org_id = :org_id AND" if owner else ""} request_id < :cursor AND {within.condition()}
         ORDER BY request_id DESC LIMIT :limit
        """,  # noqa: S608 - what is filled in are names of our own columns
        cursor=cursor or _BEYOND,
        limit=limit,
        **owner,
        **within.arguments(),
    )
    return [_row(row) for row in rows]


def find_request(db: Connection, *, org_id: UUID, request_id: RequestId) -> RequestRow | None:
    columns = ", ".join((*_ROW, *_COUNTS))
    rows = db.run(
        f"SELECT {columns} FROM public.request_logs WHERE org_id = :org_id AND request_id = :request_id",  # noqa: S608 - as above
        org_id=org_id,
        request_id=request_id,
    )
    return _row(rows[0]) if rows else None


def _row(values: Sequence[Any]) -> RequestRow:
    fields = dict(zip(_ROW, values, strict=False))
    fields["outcome"] = Outcome(fields["outcome"])
    fields["usage_quality"] = UsageQuality(fields["usage_quality"])
    fields["price_quality"] = PriceQuality(fields["price_quality"])
    usage = Usage(**dict(zip(_COUNTS, values[len(_ROW) :], strict=True)))
    return RequestRow(**fields, usage=usage)
