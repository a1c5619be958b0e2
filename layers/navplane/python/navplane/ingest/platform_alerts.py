"""Watches what is nobody's own: dead letters, sums that differ from their rows, models without a price. Told once."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from navplane.errors import DependencyUnavailable
from navplane.ingest.alerts import MINUTES_BETWEEN_DAYS
from navplane.model.alert import PlatformCrossing, dead_letters, drift, unpriced_anywhere
from navplane.queue.postgres import PostgresMessages
from navplane.store import daily_costs, platform_notifications, rollup_checks
from navplane.store.database import Connection, Database
from navplane.telemetry import logger

# How many dead letters a queue outside of the database holds; None when that can't be told.
DeadLetterCount = Callable[[], int | None]


def no_queue() -> int | None:
    """Where events wait in the database only."""
    return 0


def watch_platform(database: Database, count: DeadLetterCount, *, now: datetime) -> int:
    """How many notifications were left. Each is written in one transaction with its deliveries."""
    try:
        buried = (count() or 0) + PostgresMessages(database).dead_letters()
        with database.transaction() as db:
            return platform_notifications.tell(db, list(_crossings(db, buried, now)), now=now)
    except DependencyUnavailable:
        logger.warning("alerts.unwatched", extra={"watching": "platform"})
        return 0


def _crossings(db: Connection, buried: int, now: datetime) -> Iterator[PlatformCrossing]:
    today = now.astimezone(UTC)
    if buried:
        yield dead_letters(buried, day=f"{today:%Y-%m-%d}")
    for day, differing in rollup_checks.days_that_differ(db):
        yield drift(differing, day=day)
    if now.minute % MINUTES_BETWEEN_DAYS == 0:
        midnight = today.replace(hour=0, minute=0, second=0, microsecond=0)
        for provider, model in sorted({found[1:] for found in daily_costs.unpriced_models(db, day=midnight)}, key=str):
            yield unpriced_anywhere(provider=provider, model=model, month=f"{today:%Y-%m}")
