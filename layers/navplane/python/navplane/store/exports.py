"""What is exported: rows of requests, and what each day cost, by all that is known of it."""

from datetime import datetime
from typing import Any
from uuid import UUID

from navplane.model.ids import RequestId
from navplane.store.database import Connection
from navplane.store.request_bounds import bounded
from navplane.store.request_filter import Wanted

# As they are called in the file; ids and names are text there.
REQUEST_COLUMNS = (
    "request_id", "created_at", "workspace_id", "key_id", "user_id", "endpoint", "provider", "model", "response_model",
    "route", "region", "stream", "demo", "status", "outcome", "error_code", "usage_quality", "price_quality",
    "price_version", "cost_usd", "input_tokens", "cached_input_tokens", "cache_write_5m_tokens",
    "cache_write_1h_tokens", "output_tokens", "reasoning_tokens", "audio_input_tokens", "audio_output_tokens",
    "web_searches", "service_tier", "attempts", "first_byte_ms", "duration_ms", "revision",
)  # fmt: skip
_IDS = frozenset({"request_id", "workspace_id", "key_id", "user_id"})


def requests(db: Connection, *, org_id: UUID | None, wanted: Wanted, limit: int, cursor: RequestId | None) -> list[list[Any]]:
    """Rows of REQUEST_COLUMNS, newest first; with a `cursor`, those older than that request. `org_id` None: of every
    organization, with whose it is at the end."""
    within = bounded(db, org_id=org_id, wanted=wanted)
    if within is None:
        return []
    columns = ", ".join(f"{name}::text" if name in _IDS else name for name in REQUEST_COLUMNS)
    whose, owner = ("", {"org_id": org_id}) if org_id is not None else (", org_id::text", {})
    found = db.run(
        f"""
        SELECT {columns}{whose} FROM public.request_logs
         WHERE {"org_id = :org_id AND" if owner else ""} request_id < :cursor AND {within.condition()}
         ORDER BY request_logs.request_id DESC LIMIT :limit
        """,  # noqa: S608 - what is filled in are names of our own columns
        cursor=cursor or UUID(int=2**128 - 1),
        limit=limit,
        **owner,
        **within.arguments(),
    )
    return list(found)


DAILY_COLUMNS = (
    "org_id", "day", "workspace_id", "key_id", "user_id", "provider", "model", "endpoint", "requests",
    "unpriced_requests", "input_tokens", "cached_input_tokens", "output_tokens", "cost_usd",
)  # fmt: skip


def daily(db: Connection, *, org_id: UUID | None, start: datetime, end: datetime, limit: int) -> list[list[Any]]:
    """Rows of DAILY_COLUMNS of real calls: one for each UTC day, workspace, key, user, provider, model and endpoint of the
    organization; None: of every one."""
    owner = {"org_id": org_id} if org_id is not None else {}
    found = db.run(
        f"""
        SELECT d.org_id, d.starts_at, d.workspace_id, d.key_id, d.user_id, d.provider, d.model, d.endpoint, d.requests,
               d.unpriced_requests, trunc(d.input_tokens), trunc(d.cached_input_tokens), trunc(d.output_tokens), d.cost_usd
          FROM public.usage_daily AS d
         WHERE {"d.org_id = :org_id AND" if owner else ""} NOT d.demo AND d.starts_at >= :start AND d.starts_at < :end
           AND d.requests > 0
         ORDER BY d.starts_at, d.org_id, d.workspace_id, d.key_id, d.provider, d.model, d.endpoint, d.user_id LIMIT :limit
        """,  # noqa: S608 - what is filled in are our own words
        start=start,
        end=end,
        limit=limit,
        **owner,
    )
    return list(found)


def first_day(db: Connection, *, org_id: UUID, start: datetime, end: datetime) -> datetime | None:
    """The first UTC day from `start` on and before `end` that `daily` has rows of."""
    found: datetime | None = db.run(
        """
        SELECT min(starts_at) FROM public.usage_daily
         WHERE org_id = :org_id AND NOT demo AND starts_at >= :start AND starts_at < :end AND requests > 0
        """,
        org_id=org_id,
        start=start,
        end=end,
    )[0][0]
    return found
