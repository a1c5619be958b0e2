"""What an organization used and what it cost, summed: from the sums by the hour where the question falls on whole hours, else
from the rows themselves. Both answer the same."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any, Self
from uuid import UUID

from pg8000.exceptions import DatabaseError

from navplane.model.ids import smallest_id_of
from navplane.store.database import Connection, sqlstate
from navplane.store.rollups import SUMS


class Dimension(StrEnum):
    WORKSPACE = "workspace_id"
    KEY = "key_id"
    PROVIDER = "provider"
    MODEL = "model"
    ENDPOINT = "endpoint"


class Interval(StrEnum):
    HOUR = "hour"
    DAY = "day"
    MONTH = "month"


class UnknownTimezone(ValueError):
    """Postgres knows no such zone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """From `start` on and before `end`, both aware; of real calls, or of those that the demo upstream answered."""

    start: datetime
    end: datetime
    demo: bool = False

    @property
    def in_whole_hours(self) -> bool:
        return all(moment.timestamp() % 3600 == 0 for moment in (self.start, self.end))


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Requests that are unpriced have no part in `cost_usd`. Cached and cache-writing tokens are parts of the input."""

    requests: int
    failed_requests: int
    unpriced_requests: int
    inexact_requests: int
    input_tokens: int
    cached_input_tokens: int
    cache_write_tokens: int
    output_tokens: int
    reasoning_tokens: int
    cost_usd: Decimal

    @classmethod
    def of(cls, values: Sequence[Any]) -> Self:
        *counts, cost = values
        return cls(**dict(zip(SUMS, [*map(int, counts), cost], strict=True)))

    def without(self, others: "Sequence[Totals]") -> "Totals":
        rest = {name: getattr(self, name) - sum(getattr(other, name) for other in others) for name in SUMS}
        return Totals(**rest)


_SUMMED = ", ".join(f"coalesce(sum({name}), 0)" for name in SUMS)
_HOURLY = """
SELECT * FROM public.usage_hourly
 WHERE org_id = :org_id AND demo = :demo AND starts_at >= :start AND starts_at < :end
"""
# One row, in the shape of an hour.
_ROWS = """
SELECT workspace_id, key_id, provider, left(model, 200) AS model, endpoint, created_at AS starts_at, 1 AS requests,
       (outcome <> 'ok')::integer AS failed_requests, (price_quality = 'unpriced')::integer AS unpriced_requests,
       (usage_quality <> 'exact')::integer AS inexact_requests, input_tokens::numeric, cached_input_tokens::numeric,
       cache_write_5m_tokens::numeric + cache_write_1h_tokens AS cache_write_tokens, output_tokens::numeric,
       reasoning_tokens::numeric, cost_usd
  FROM public.request_logs
 WHERE org_id = :org_id AND demo = :demo AND request_id >= :first AND request_id < :beyond
"""
# Whether an hour of UTC is always within one hour, and so within one day, of the zone.
_WHOLE_HOURS = """
SELECT coalesce(bool_and(extract(epoch FROM (t AT TIME ZONE :zone) - (t AT TIME ZONE 'UTC'))::integer % 3600 = 0), true)
  FROM generate_series(:start::timestamptz, :end::timestamptz, interval '1 day') AS t
"""
INVALID_PARAMETER = "22023"


def summary(db: Connection, *, org_id: UUID, span: Span) -> Totals:
    source, arguments = _source(org_id, span, in_whole_hours=span.in_whole_hours)
    return Totals.of(db.run(f"SELECT {_SUMMED} FROM ({source}) AS used", **arguments)[0])  # noqa: S608


def breakdown(
    db: Connection, *, org_id: UUID, span: Span, by: Sequence[Dimension], limit: int
) -> tuple[Totals, list[tuple[dict[Dimension, Any], Totals]]]:
    """The total, and up to `limit` groups, the dearest first; in one snapshot, so that what is beyond is the difference."""
    source, arguments = _source(org_id, span, in_whole_hours=span.in_whole_hours)
    columns = ", ".join(by)
    total, *groups = db.run(
        f"""
        SELECT {columns}, {_SUMMED} FROM ({source}) AS used
         GROUP BY GROUPING SETS (({columns}), ()) HAVING sum(requests) > 0 OR grouping({by[0]}) = 1
         ORDER BY grouping({by[0]}) DESC, sum(cost_usd) DESC NULLS LAST, sum(requests) DESC, {columns} LIMIT :limit
        """,  # noqa: S608 - what is filled in are names of our own columns
        **arguments,
        limit=limit + 1,
    )
    return Totals.of(total[len(by) :]), [(dict(zip(by, row, strict=False)), Totals.of(row[len(by) :])) for row in groups]


def timeseries(db: Connection, *, org_id: UUID, span: Span, interval: Interval, zone: str) -> list[tuple[datetime, Totals]]:
    """Every interval of the zone's clock and calendar that the span touches, by its beginning; those without a call, too. The
    first and the last hold only what is within the span. Raise UnknownTimezone."""
    try:
        whole = db.run(_WHOLE_HOURS, start=span.start, end=span.end, zone=zone)[0][0]
    except DatabaseError as exc:
        if sqlstate(exc) == INVALID_PARAMETER:
            raise UnknownTimezone(zone) from exc
        raise
    source, arguments = _source(org_id, span, in_whole_hours=span.in_whole_hours and whole)
    rows = db.run(
        f"""
        SELECT bucket, {_SUMMED}
          FROM generate_series(date_trunc('{interval}', CAST(:start AS timestamptz), :zone), CAST(:last AS timestamptz),
                               interval '1 {interval}', :zone) AS bucket
          LEFT JOIN ({source}) AS used ON date_trunc('{interval}', starts_at, :zone) = bucket
         GROUP BY bucket ORDER BY bucket
        """,  # noqa: S608 - what is filled in is one of our own words
        **{**arguments, "start": span.start},
        last=span.end - timedelta(microseconds=1),
        zone=zone,
    )
    return [(row[0], Totals.of(row[1:])) for row in rows]


def _source(org_id: UUID, span: Span, *, in_whole_hours: bool) -> tuple[str, dict[str, Any]]:
    arguments: dict[str, Any] = {"org_id": org_id, "demo": span.demo}
    if in_whole_hours:
        return _HOURLY, arguments | {"start": span.start, "end": span.end}
    return _ROWS, arguments | {"first": smallest_id_of(span.start), "beyond": smallest_id_of(span.end)}
