"""What is worth telling: budgets that reach a threshold, days that cost far more than usual, models without a price.

docs/reference/alerts.md says the same to who is told.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from statistics import median
from typing import Any
from uuid import UUID

from navplane.model.budget import Budget

# Days before the one that is looked at; fewer than these tell nothing of what is usual.
TRAILING_DAYS = 28
LEAST_DAYS = 7
# What makes the median absolute deviation comparable with a standard deviation.
NORMAL_MAD = Decimal("1.4826")


class AlertKind(StrEnum):
    """The value is stored: never rename one."""

    BUDGET = "budget"
    SPIKE = "spike"
    UNPRICED = "unpriced"
    RECONCILIATION = "reconciliation"


class PlatformAlertKind(StrEnum):
    """What only platform admins are told. The value is stored: never rename one."""

    DEAD_LETTERS = "dead_letters"
    DRIFT = "drift"
    UNPRICED = "unpriced"


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertTerms:
    """`thresholds` are percent of a budget. A day is a spike above `floor_usd` and above the usual day by `sensitivity` times
    the usual deviation. Each kind looks at its own."""

    enabled: bool = True
    thresholds: tuple[int, ...] = (50, 80, 100)
    sensitivity: Decimal = Decimal(6)
    floor_usd: Decimal = Decimal(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertRule:
    id: UUID
    org_id: UUID
    kind: AlertKind
    terms: AlertTerms
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossing:
    """Something to tell, once per organization, kind, `subject`, `window_name` and `threshold`. `facts` is JSON."""

    org_id: UUID
    kind: AlertKind
    subject: str
    window_name: str
    threshold: int
    title: str
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformCrossing:
    """The same for the platform, once per kind, `subject` and `window_name`."""

    kind: PlatformAlertKind
    subject: str
    window_name: str
    title: str
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class DailyCost:
    """What a key or a user cost on one UTC day, and on the days before it that it was in use, idle ones included."""

    org_id: UUID
    scope: str
    scope_id: UUID
    day: str
    cost_usd: Decimal
    before: tuple[Decimal, ...]


def budget_crossings(budget: Budget, terms: AlertTerms) -> list[Crossing]:
    """One for each threshold that what is spent has reached. What is only reserved does not count: much of it comes back."""
    if not terms.enabled or not budget.amount:
        return []
    reached = [percent for percent in terms.thresholds if budget.spent * 100 >= budget.amount * percent]
    return [_of_budget(budget, percent) for percent in reached]


def _of_budget(budget: Budget, percent: int) -> Crossing:
    spent, amount = (format(budget.in_unit(value), "f") for value in (budget.spent, budget.amount))
    unit = "USD" if budget.kind.measure == "usd" else "tokens"
    return Crossing(
        org_id=budget.org_id,
        kind=AlertKind.BUDGET,
        subject=f"limit/{budget.limit_id}",
        window_name=budget.window_name,
        threshold=percent,
        title=f"{percent}% of a {budget.scope.value}'s budget of {amount} {unit} is spent",
        facts={
            "limit_id": str(budget.limit_id), "scope": budget.scope.value, "scope_id": str(budget.scope_id),
            "limit_kind": budget.kind.value, "spent": spent, "amount": amount, "resets_at": budget.ends_at.isoformat(),
        },
    )  # fmt: skip


def spike_bound(before: Sequence[Decimal], terms: AlertTerms) -> Decimal | None:
    """Above it a day's cost is a spike; None where there are too few days to tell. Median and MAD, so that a spike of last week
    does not hide the one of today."""
    if len(before) < LEAST_DAYS:
        return None
    usual = median(before)
    deviation = NORMAL_MAD * median(abs(cost - usual) for cost in before)
    return max(terms.floor_usd, usual + terms.sensitivity * deviation)


def spike(daily: DailyCost, terms: AlertTerms) -> Crossing | None:
    bound = spike_bound(daily.before, terms) if terms.enabled else None
    if bound is None or daily.cost_usd <= bound:
        return None
    return Crossing(
        org_id=daily.org_id,
        kind=AlertKind.SPIKE,
        subject=f"{daily.scope}/{daily.scope_id}",
        window_name=f"d:{daily.day}",
        threshold=0,
        title=f"A {daily.scope} costs far more than usual on {daily.day}",
        facts={
            "scope": daily.scope, "scope_id": str(daily.scope_id), "cost_usd": format(daily.cost_usd, "f"),
            "bound_usd": format(bound, ".9f"), "usual_usd": format(median(daily.before), "f"),
        },
    )  # fmt: skip


def unpriced(*, org_id: UUID, provider: str | None, model: str | None, month: str) -> Crossing:
    """Once per model and month."""
    name = f"{provider or 'unknown'}/{model or 'unknown'}"
    return Crossing(
        org_id=org_id,
        kind=AlertKind.UNPRICED,
        subject=f"model/{name}",
        window_name=f"m:{month}",
        threshold=0,
        title=f"The price of {name} is not known, and its requests are not in the costs",
        facts={"provider": provider, "model": model},
    )


def dead_letters(count: int, *, day: str) -> PlatformCrossing:
    """Once per day on which there are any."""
    return PlatformCrossing(
        kind=PlatformAlertKind.DEAD_LETTERS,
        subject="queue/usage",
        window_name=f"d:{day}",
        title=f"{count} usage events can't be recorded and wait as dead letters",
        facts={"dead_letters": count},
    )


def drift(differing: int, *, day: str) -> PlatformCrossing:
    """Once per day whose sums differ."""
    return PlatformCrossing(
        kind=PlatformAlertKind.DRIFT,
        subject=f"day/{day}",
        window_name=f"d:{day}",
        title=f"{differing} sums or ledger entries of {day} are not those of the request logs",
        facts={"day": day, "differing": differing},
    )


def unpriced_anywhere(*, provider: str | None, model: str | None, month: str) -> PlatformCrossing:
    """Once per model and month, however many organizations use it."""
    name = f"{provider or 'unknown'}/{model or 'unknown'}"
    return PlatformCrossing(
        kind=PlatformAlertKind.UNPRICED,
        subject=f"model/{name}",
        window_name=f"m:{month}",
        title=f"The price of {name} is not known, and its requests are in nobody's costs",
        facts={"provider": provider, "model": model},
    )


def reconciliation(*, org_id: UUID, provider: str, model: str, day: str, drift: Decimal, least: int) -> Crossing:
    """Once per provider, model and day."""
    return Crossing(
        org_id=org_id,
        kind=AlertKind.RECONCILIATION,
        subject=f"model/{provider}/{model}",
        window_name=f"d:{day}",
        threshold=least,
        title=f"What {provider} reports of {model} on {day} is {drift} % away from the ledger",
        facts={"provider": provider, "model": model, "day": day, "drift_percent": str(drift)},
    )
