"""The ledger's upkeep: sums and entries held against the rows, day by day, and months that are kept no longer dropped."""

from datetime import UTC, datetime

from navplane.errors import DependencyUnavailable
from navplane.store import retention, rollup_checks
from navplane.store.database import Database
from navplane.telemetry import logger

# How often a run asks for a lock that was not to be had at once; the next run asks again.
TRIES = 5


def check_a_day(database: Database, *, now: datetime) -> int:
    """Check the day that is due. How many sums and entries differ from the rows: 0 is the only good answer, and an alarm hangs
    on every other."""
    try:
        with database.transaction() as db:
            day = rollup_checks.due(db, now=now)
            if day is None:
                return 0
            differing = rollup_checks.check(db, day=day, now=now)
    except DependencyUnavailable:
        # A day too large to be checked in a statement's time must not keep the rest of the maintenance from its work.
        logger.warning("rollups.unchecked")
        return 0
    if differing:
        logger.error("rollups.drift", extra={"day": day.date().isoformat(), "differing": differing})
    return differing


def drop_old_months(database: Database, *, now: datetime, keep_months: int) -> int:
    """Drop the months that ended more than `keep_months` months ago; 0 keeps all. One month a run is taken off at most; how
    many were dropped. The sums and the ledger stay."""
    if keep_months == 0:
        return 0
    before = month_before(now, keep_months)
    try:
        _retire(database, before)
        with database.transaction() as db:
            dropped = retention.drop_retired(db, before=before)
    except DependencyUnavailable:
        logger.warning("retention.waits", extra={"reason": "a lock was not to be had at once"})
        return 0
    if dropped:
        logger.info("retention.dropped", extra={"partition": dropped})
    return int(dropped is not None)


def _retire(database: Database, before: datetime) -> None:
    with database.transaction() as db:
        month = retention.next_month(db, before=before)
        unchecked = retention.unchecked_days(db, month=month) if month else 0
    if month is None:
        return
    if unchecked:
        # Once the rows are gone, the sums are all there is: they must be known to be right.
        logger.warning("retention.waits", extra={"reason": f"{unchecked} days of {month:%Y-%m} are not checked, or differ"})
        return
    for attempt in range(1, TRIES + 1):
        try:
            with database.transaction() as db:
                retention.retire(db, before=before)
            return
        except DependencyUnavailable:
            if attempt == TRIES:
                raise


def month_before(now: datetime, months: int) -> datetime:
    """The beginning of the month that lies so many months before that of `now`, in UTC."""
    number = now.astimezone(UTC).year * 12 + now.astimezone(UTC).month - 1 - months
    return datetime(number // 12, number % 12 + 1, 1, tzinfo=UTC)
