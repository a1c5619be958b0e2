"""Watches budgets, costs and prices of every organization, and tells each of what it crossed, once."""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from uuid import UUID

from navplane.errors import DependencyUnavailable
from navplane.model.alert import AlertKind, AlertTerms, Crossing, budget_crossings, reconciliation, spike, unpriced
from navplane.model.reconciliation import DRIFT_PERCENT
from navplane.store import alerts, budgets, daily_costs, reconciliations
from navplane.store.database import Connection, Database
from navplane.telemetry import logger

# Days change slowly, and looking at four weeks of them is work.
MINUTES_BETWEEN_DAYS = 15
USUAL = AlertTerms()
Rules = Mapping[tuple[UUID, AlertKind], AlertTerms]
Look = Callable[[Connection, Rules, datetime], Iterator[Crossing]]


def watch(database: Database, *, now: datetime) -> int:
    """How many notifications were left. What is seen and what is told is one transaction: cut short, nothing was told, and the
    next run sees the same."""
    told = _tell(database, now, _budgets)
    if now.minute % MINUTES_BETWEEN_DAYS == 0:
        told += _tell(database, now, _spikes) + _tell(database, now, _unpriced) + _tell(database, now, _drifting)
    return told


def _tell(database: Database, now: datetime, look: Look) -> int:
    try:
        with database.transaction() as db:
            crossings = list(look(db, alerts.all_rules(db), now))
            return alerts.tell(db, crossings, now=now) if crossings else 0
    except DependencyUnavailable:
        # What takes too long to look at must not keep the rest of the maintenance from its work.
        logger.warning("alerts.unwatched", extra={"watching": look.__name__.strip("_")})
        return 0


def _budgets(db: Connection, rules: Rules, now: datetime) -> Iterator[Crossing]:
    for budget in budgets.of_everybody(db, now=now):
        yield from budget_crossings(budget, rules.get((budget.org_id, AlertKind.BUDGET), USUAL))


def _spikes(db: Connection, rules: Rules, now: datetime) -> Iterator[Crossing]:
    for daily in daily_costs.of_keys_and_users(db, day=_day(now)):
        found = spike(daily, rules.get((daily.org_id, AlertKind.SPIKE), USUAL))
        if found:
            yield found


def _unpriced(db: Connection, rules: Rules, now: datetime) -> Iterator[Crossing]:
    for org_id, provider, model in daily_costs.unpriced_models(db, day=_day(now)):
        if rules.get((org_id, AlertKind.UNPRICED), USUAL).enabled:
            yield unpriced(org_id=org_id, provider=provider, model=model, month=f"{now.astimezone(UTC):%Y-%m}")


def _drifting(db: Connection, rules: Rules, now: datetime) -> Iterator[Crossing]:
    for org_id, provider, model, day, drift in reconciliations.drifting(db, since=now - timedelta(days=1)):
        if rules.get((org_id, AlertKind.RECONCILIATION), USUAL).enabled:
            yield reconciliation(org_id=org_id, provider=provider, model=model, day=day, drift=drift, least=DRIFT_PERCENT)


def _day(now: datetime) -> datetime:
    return now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
