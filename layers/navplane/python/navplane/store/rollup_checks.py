"""rollup_checks: when the sums and the ledger of each UTC day were last held against its rows, and what came of it."""

from datetime import datetime, timedelta

from navplane.model.ids import smallest_id_of
from navplane.store import rollups
from navplane.store.database import Connection

# What still moves, and what was found wrong, is looked at often; the rest once a day.
SOON = timedelta(minutes=10)
LATER = timedelta(days=1)
_DUE = """
SELECT midnight
  FROM generate_series(CAST(:first AS timestamptz), CAST(:now AS timestamptz), interval '1 day', 'UTC') AS midnight
  LEFT JOIN public.rollup_checks AS c ON c.day = (midnight AT TIME ZONE 'UTC')::date
 WHERE c.checked_at IS NULL
    OR c.checked_at < CASE WHEN c.differing > 0 OR midnight > CAST(:recent AS timestamptz)
                           THEN CAST(:soon AS timestamptz) ELSE CAST(:later AS timestamptz) END
 ORDER BY midnight > CAST(:recent AS timestamptz) DESC, c.checked_at NULLS FIRST, midnight LIMIT 1
"""
_LEDGER_DRIFT = """
SELECT count(*)
  FROM (SELECT request_id, cost_usd FROM public.request_logs WHERE request_id >= :first AND request_id < :beyond) AS log
  FULL JOIN (SELECT request_id, sum(amount_usd) AS amount FROM public.ledger_entries
              WHERE request_id >= :first AND request_id < :beyond GROUP BY request_id) AS entered USING (request_id)
 WHERE coalesce(log.cost_usd, 0) <> coalesce(entered.amount, 0)
"""


def due(db: Connection, *, now: datetime) -> datetime | None:
    """The UTC day that is to be checked next, of those that have rows; None if all were lately."""
    first = rollups.first_kept_day(db)
    if first is None:
        return None
    moments = {"recent": now - 2 * LATER, "soon": now - SOON, "later": now - LATER}
    rows = db.run(_DUE, first=first, now=now, **moments)
    return rows[0][0] if rows else None


def check(db: Connection, *, day: datetime, now: datetime) -> int:
    """How many sums, and how many requests' entries, of that day are not what its rows say; it is written down."""
    until = day + LATER
    bounds = {"first": smallest_id_of(day), "beyond": smallest_id_of(until)}
    differing = rollups.drift(db, since=day, until=until) + int(db.run(_LEDGER_DRIFT, **bounds)[0][0])
    db.run(
        "INSERT INTO public.rollup_checks (day, checked_at, differing) VALUES (:day, :now, :differing)"
        " ON CONFLICT (day) DO UPDATE SET checked_at = excluded.checked_at, differing = excluded.differing",
        day=day.date(),
        now=now,
        differing=differing,
    )
    return differing


def days_that_differ(db: Connection) -> list[tuple[str, int]]:
    """Each UTC day that differed when it was last checked, and in how many sums and entries."""
    rows = db.run("SELECT day::text, differing FROM public.rollup_checks WHERE differing > 0 ORDER BY day")
    return [(row[0], row[1]) for row in rows]
