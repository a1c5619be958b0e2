"""What was used and what it cost, summed: in total, by dimension, over time. `org_id` None asks about every organization, in a
transaction with `platform=True`."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any, Self
from uuid import UUID

from pg8000.exceptions import DatabaseError

from navplane.store.database import Connection, sqlstate
from navplane.store.rollups import SUMS, first_kept_day
from navplane.store.usage_source import DAY, HOUR, Dimension, Piece, Selection, pieces, source

__all__ = ["Dimension", "Interval", "Measure", "Selection", "Totals", "UnknownTimezone", "breakdown", "summary", "timeseries"]


class Interval(StrEnum):
    HOUR = "hour"
    DAY = "day"
    MONTH = "month"


class Measure(StrEnum):
    """What groups are ranked by."""

    COST = "cost_usd"
    REQUESTS = "requests"
    FAILED_REQUESTS = "failed_requests"
    INPUT_TOKENS = "input_tokens"
    OUTPUT_TOKENS = "output_tokens"


class UnknownTimezone(ValueError):
    """Postgres knows no such zone."""


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
# Whether an hour of UTC is always within one hour of the zone, and whether its days are always those of UTC.
_ZONE = """
SELECT coalesce(bool_and(ahead % 3600 = 0), true), coalesce(bool_and(ahead = 0), true)
  FROM (SELECT extract(epoch FROM (t AT TIME ZONE :zone) - (t AT TIME ZONE 'UTC'))::integer AS ahead
          FROM (SELECT generate_series(:start::timestamptz, :end::timestamptz, interval '1 day')
                UNION ALL SELECT :end::timestamptz) AS sampled (t)) AS days
"""
INVALID_PARAMETER = "22023"


# Where clocks are moved by half an hour, an hour of the wall has a half more, or a half less: then a point begins where the
# clocks were moved. That is always at a quarter of an hour.
_HOURS = """
SELECT date_trunc('hour', t, :zone) AS bucket, min(t) AS began
  FROM generate_series(date_trunc('hour', CAST(:first AS timestamptz), :zone), CAST(:last AS timestamptz),
                       interval '15 minutes') AS t
 GROUP BY 1 HAVING date_trunc('hour', t, :zone) >= date_trunc('hour', CAST(:first AS timestamptz), :zone)
"""


def _buckets(interval: Interval) -> str:
    """Days and months are counted on the calendar: a midnight that clocks skip would move all that are counted from it. Of one
    that is there twice, the first is the beginning."""
    if interval is Interval.HOUR:
        return _HOURS
    return f"""
SELECT bucket, CASE WHEN (began - interval '1 hour') AT TIME ZONE :zone = bucket THEN began - interval '1 hour' ELSE began END
       AS began
  FROM (SELECT bucket, bucket AT TIME ZONE :zone AS began
          FROM generate_series(date_trunc('{interval}', CAST(:first AS timestamptz) AT TIME ZONE :zone),
                               CAST(:last AS timestamptz) AT TIME ZONE :zone, interval '1 {interval}') AS bucket) AS counted
"""  # noqa: S608 - what is filled in is one of our own words


def _bucket(interval: Interval, column: str) -> str:
    if interval is Interval.HOUR:
        return f"date_trunc('hour', {column}, :zone)"
    return f"date_trunc('{interval}', {column} AT TIME ZONE :zone)"


def summary(db: Connection, *, org_id: UUID | None, selection: Selection) -> Totals:
    used, arguments = source(_pieces(db, selection, DAY), selection, org_id=org_id, by=frozenset())
    return Totals.of(db.run(f"SELECT {_SUMMED} FROM ({used}) AS used", **arguments)[0])  # noqa: S608


def breakdown(
    db: Connection,
    *,
    org_id: UUID | None,
    selection: Selection,
    by: Sequence[Dimension],
    limit: int,
    measure: Measure = Measure.COST,
) -> tuple[Totals, list[tuple[dict[Dimension, Any], Totals]]]:
    """The total, and up to `limit` groups, those with the most first; in one snapshot: what is beyond is the difference."""
    used, arguments = source(_pieces(db, selection, DAY), selection, org_id=org_id, by=frozenset(by))
    columns = ", ".join(by)
    total, *groups = db.run(
        f"""
        SELECT {columns}, {_SUMMED} FROM ({used}) AS used
         GROUP BY GROUPING SETS (({columns}), ()) HAVING sum(requests) > 0 OR grouping({by[0]}) = 1
         ORDER BY grouping({by[0]}) DESC, sum({measure}) DESC NULLS LAST, sum(requests) DESC, {columns} LIMIT :limit
        """,  # noqa: S608 - what is filled in are names of our own columns
        **arguments,
        limit=limit + 1,
    )
    return Totals.of(total[len(by) :]), [(dict(zip(by, row, strict=False)), Totals.of(row[len(by) :])) for row in groups]


def timeseries(
    db: Connection, *, org_id: UUID | None, selection: Selection, interval: Interval, zone: str
) -> list[tuple[datetime, Totals]]:
    """Every interval of the zone's clock and calendar that the selection touches, by its beginning; those without a call, too.
    The first and the last hold only what is within the selection. Raise UnknownTimezone."""
    found = _pieces(db, selection, _coarsest(db, selection, interval, zone))
    used, arguments = source(found, selection, org_id=org_id, by=frozenset())
    rows = db.run(
        f"""
        WITH summed AS (
            SELECT {_bucket(interval, "starts_at")} AS bucket, {", ".join(f"sum({name}) AS {name}" for name in SUMS)}
              FROM ({used}) AS used GROUP BY 1)
        SELECT began, {", ".join(f"coalesce({name}, 0)" for name in SUMS)}
          FROM ({_buckets(interval)}) AS buckets LEFT JOIN summed USING (bucket) ORDER BY 1
        """,  # noqa: S608 - what is filled in is one of our own words
        **arguments,
        first=found[0].start,
        last=found[-1].end - timedelta(microseconds=1),
        zone=zone,
    )
    return [(row[0], Totals.of(row[1:])) for row in rows]


def _coarsest(db: Connection, selection: Selection, interval: Interval, zone: str) -> timedelta | None:
    """The longest time that always lies within one interval of the zone; None where an hour may not."""
    try:
        whole_hours, same_days = db.run(_ZONE, start=selection.start, end=selection.end, zone=zone)[0]
    except DatabaseError as exc:
        if sqlstate(exc) == INVALID_PARAMETER:
            raise UnknownTimezone(zone) from exc
        raise
    if interval is not Interval.HOUR and same_days:
        return DAY
    return HOUR if whole_hours else None


def _pieces(db: Connection, selection: Selection, coarsest: timedelta | None) -> list[Piece]:
    kept_from = first_kept_day(db) or datetime.max.replace(tzinfo=UTC)
    return pieces(selection, coarsest=coarsest, kept_from=kept_from)
