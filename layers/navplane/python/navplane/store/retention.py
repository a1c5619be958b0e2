"""Retention of request logs: whole months go, and never one whose sums and entries were not found to be those of its rows."""

from datetime import datetime

from navplane.store.database import Connection

# The oldest month that has rows and is over before the bound, if there is one.
_NEXT = """
SELECT to_timestamp(min(right(c.relname, 7)), 'YYYY_MM') FROM pg_catalog.pg_inherits AS i
  JOIN pg_catalog.pg_class AS c ON c.oid = i.inhrelid
 WHERE i.inhparent = 'public.request_logs'::regclass
   AND to_timestamp(right(c.relname, 7), 'YYYY_MM') + interval '1 month' <= :before
"""
_UNCHECKED = """
SELECT count(*)
  FROM generate_series(CAST(:month AS timestamptz), CAST(:month AS timestamptz) + interval '1 month' - interval '1 day',
                       interval '1 day', 'UTC') AS midnight
  LEFT JOIN public.rollup_checks AS c ON c.day = (midnight AT TIME ZONE 'UTC')::date
 WHERE c.differing IS DISTINCT FROM 0
"""


def next_month(db: Connection, *, before: datetime) -> datetime | None:
    """The oldest month that is to go, by its beginning."""
    found: datetime | None = db.run(_NEXT, before=before)[0][0]
    return found


def unchecked_days(db: Connection, *, month: datetime) -> int:
    """Of how many of the month's days it is not known that the sums and entries are those of the rows."""
    return int(db.run(_UNCHECKED, month=month)[0][0])


def retire(db: Connection, *, before: datetime) -> str | None:
    """Take the oldest month off; its name, None where there is none. Raise DependencyUnavailable where the lock was not to be
    had at once: nobody waits behind this."""
    name: str | None = db.run("SELECT public.retire_request_log_partition(:before)", before=before)[0][0]
    return name


def drop_retired(db: Connection, *, before: datetime) -> str | None:
    """Drop a month that was taken off; its name, None where there is none."""
    name: str | None = db.run("SELECT public.drop_retired_request_logs(:before)", before=before)[0][0]
    return name
