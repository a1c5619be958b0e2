"""The sums by hour and by UTC day: kept by the statement that records rows, rebuilt and checked from the rows."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from navplane.model.ids import smallest_id_of
from navplane.store.database import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollup:
    """A table of sums by hour or by UTC day. `finest` knows key and user; the others are smaller and know neither."""

    table: str
    span: Literal["hour", "day"]
    finest: bool

    @property
    def dimensions(self) -> tuple[str, ...]:
        return ("workspace_id", *(("key_id", "user_id") if self.finest else ()), "provider", "model", "endpoint")

    @property
    def key(self) -> str:
        return ", ".join(("org_id", *self.dimensions, "demo", "starts_at"))

    @property
    def key_of_row(self) -> str:
        """The same, of a row. A model's name is the caller's choice, and an index takes only so much."""
        row = (name if name != "model" else "left(model, 200)" for name in self.dimensions)
        return ", ".join(("org_id", *row, "demo", f"date_trunc('{self.span}', created_at, 'UTC')"))

    @property
    def key_of_hour(self) -> str:
        """The same, of the finest sum by hour."""
        return ", ".join(("org_id", *self.dimensions, "demo", f"date_trunc('{self.span}', starts_at, 'UTC')"))

    @property
    def groups(self) -> str:
        return ", ".join(str(n) for n in range(1, len(self.dimensions) + 4))


# In the order in which every writer locks them.
ROLLUPS = (
    Rollup(table="public.usage_hourly", span="hour", finest=True),
    Rollup(table="public.usage_daily", span="day", finest=True),
    Rollup(table="public.org_usage_hourly", span="hour", finest=False),
    Rollup(table="public.org_usage_daily", span="day", finest=False),
)

SUMS = {
    "requests": "sum(sign)",
    "failed_requests": "sum(sign) FILTER (WHERE outcome <> 'ok')",
    "unpriced_requests": "sum(sign) FILTER (WHERE price_quality = 'unpriced')",
    "inexact_requests": "sum(sign) FILTER (WHERE usage_quality <> 'exact')",
    "input_tokens": "sum(sign * input_tokens::numeric)",
    "cached_input_tokens": "sum(sign * cached_input_tokens::numeric)",
    "cache_write_tokens": "sum(sign * (cache_write_5m_tokens::numeric + cache_write_1h_tokens))",
    "output_tokens": "sum(sign * output_tokens::numeric)",
    "reasoning_tokens": "sum(sign * reasoning_tokens::numeric)",
    "cost_usd": "sum(sign * coalesce(cost_usd, 0))",
}

# What a sum is made of.
_MOVED = (
    "org_id", "workspace_id", "key_id", "user_id", "provider", "model", "endpoint", "demo", "created_at", "outcome",
    "price_quality", "usage_quality", "input_tokens", "cached_input_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens",
    "output_tokens", "reasoning_tokens", "cost_usd",
)  # fmt: skip
# What a statement that changes rows returns as `changed`: each row as it stands, and as it stood. Column by column, for to take
# a whole row apart costs Postgres as much as to insert it.
CHANGES = f"""
RETURNING new.request_id, new.revision, {", ".join(f"new.{name}" for name in _MOVED)},
          old.request_id IS NOT NULL AS was_there, {", ".join(f"old.{name} AS was_{name}" for name in _MOVED)}
"""
# Each row of `changed` as it stands, and taken away again as it stood before.
MOVES = f"""
SELECT 1 AS sign, {", ".join(_MOVED)} FROM changed
UNION ALL SELECT -1, {", ".join(f"was_{name}" for name in _MOVED)} FROM changed WHERE was_there
"""  # noqa: S608 - names of our own columns


_COUNTED = ", ".join(f"coalesce({expression}, 0)" for expression in SUMS.values())


def add_up(rollup: Rollup, source: str) -> str:
    """Add the rows of `source`, in the shape of MOVES, to their sums."""
    return _add(rollup, f"SELECT {rollup.key_of_row}, {_COUNTED} FROM {source}")  # noqa: S608 - names of our own columns


def adding_up() -> str:
    """Common table expressions that add `moved` to every table of sums. The rows are gone through once; all sums are made of
    what came of that."""
    finest, counts = ROLLUPS[0], ", ".join(f"sum({name})" for name in SUMS)
    by_hour = f"SELECT {finest.key_of_row}, {_COUNTED} FROM moved GROUP BY {finest.groups}"  # noqa: S608
    added = (
        f"summed_{number} AS ({_add(rollup, f'SELECT {rollup.key_of_hour}, {counts} FROM by_hour')})"  # noqa: S608
        for number, rollup in enumerate(ROLLUPS)
    )
    return ", ".join((f"by_hour ({finest.key}, {', '.join(SUMS)}) AS ({by_hour})", *added))


def _add(rollup: Rollup, select: str) -> str:
    """In order, so that no two writers wait for each other."""
    return f"""
        INSERT INTO {rollup.table} AS total ({rollup.key}, {", ".join(SUMS)})
        {select} GROUP BY {rollup.groups} ORDER BY {rollup.groups}
        ON CONFLICT ({rollup.key}) DO UPDATE
           SET {", ".join(f"{name} = total.{name} + excluded.{name}" for name in SUMS)}
    """  # noqa: S608 - what is filled in are names of our own columns


# A sum that was moved away from is left over as zeros.
_COUNTS_SOMETHING = "(requests, input_tokens, output_tokens, cost_usd) <> (0, 0, 0, 0)"
_RAW = "(SELECT 1 AS sign, * FROM public.request_logs WHERE request_id >= :first AND request_id < :beyond) AS raw"
_RAW_OF_ONE = _RAW.replace("WHERE", "WHERE org_id = :org_id AND", 1)
_LAST = UUID(int=2**128 - 1)


# Since which day there are rows: the oldest month that was not dropped.
_FIRST_KEPT = """
SELECT min(to_timestamp(right(c.relname, 7), 'YYYY_MM')) FROM pg_catalog.pg_inherits AS i
  JOIN pg_catalog.pg_class AS c ON c.oid = i.inhrelid WHERE i.inhparent = 'public.request_logs'::regclass
"""
# How long a rebuild may hold up those who wait for its locks behind it.
_PATIENCE = "SET LOCAL lock_timeout = '500ms'"


def drift(db: Connection, *, since: datetime, until: datetime | None = None) -> int:
    """How many sums of whole UTC days from `since` on, and before `until`, are not those of the rows, in one snapshot. 0 is the
    only good one."""
    return sum(_differing(db, rollup, since=since, until=until) for rollup in ROLLUPS)


def _differing(db: Connection, rollup: Rollup, *, since: datetime, until: datetime | None) -> int:
    kept = (
        f"SELECT {rollup.key}, {', '.join(SUMS)} FROM {rollup.table}"  # noqa: S608 - names of our own columns
        " WHERE starts_at >= :since AND starts_at < coalesce(CAST(:until AS timestamptz), 'infinity')"
        f" AND {_COUNTS_SOMETHING}"
    )
    true = f"SELECT {rollup.key_of_row}, {_COUNTED} FROM {_RAW} GROUP BY {rollup.groups}"  # noqa: S608
    both = f"SELECT count(*) FROM (({kept} EXCEPT {true}) UNION ALL ({true} EXCEPT {kept})) AS differing"  # noqa: S608
    beyond = smallest_id_of(until) if until else _LAST
    return int(db.run(both, since=since, until=until, first=smallest_id_of(since), beyond=beyond)[0][0])


def first_kept_day(db: Connection) -> datetime | None:
    """The first UTC day that may still have rows. The sums of earlier ones can neither be checked nor made anew."""
    found: datetime | None = db.run(_FIRST_KEPT)[0][0]
    return found


def rebuild(db: Connection, *, since: datetime) -> None:
    """Make the sums of whole UTC days from `since` on anew. Until the caller's transaction ends, writers wait: whoever has
    written rows that are not seen here adds them up afterwards."""
    _keep_writers_out(db)
    for rollup in ROLLUPS:
        db.run(f"DELETE FROM {rollup.table} WHERE starts_at >= :since", since=since)  # noqa: S608 - the name is one of ours
        db.run(add_up(rollup, _RAW), first=smallest_id_of(since), beyond=_LAST)


def rebuild_day(db: Connection, *, org_id: UUID, day: datetime) -> int:
    """The same for one organization and one UTC day, which holds writers up for as long as that takes; how many rows it has.
    A day before `first_kept_day` must not be asked for."""
    db.run(_PATIENCE)
    _keep_writers_out(db)
    following = day + timedelta(days=1)
    arguments = {"org_id": org_id, "first": smallest_id_of(day), "beyond": smallest_id_of(following)}
    for rollup in ROLLUPS:
        db.run(
            f"DELETE FROM {rollup.table} WHERE org_id = :org_id AND starts_at >= :day AND starts_at < :following",  # noqa: S608
            org_id=org_id,
            day=day,
            following=following,
        )
        db.run(add_up(rollup, _RAW_OF_ONE), **arguments)
    return int(db.run(f"SELECT count(*) FROM {_RAW_OF_ONE}", **arguments)[0][0])  # noqa: S608


def _keep_writers_out(db: Connection) -> None:
    for rollup in ROLLUPS:
        db.run(f"LOCK TABLE {rollup.table} IN SHARE ROW EXCLUSIVE MODE")
