"""What is worth telling, and what is not."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from navplane.model.alert import AlertTerms, DailyCost, budget_crossings, spike, spike_bound
from navplane.model.budget import Budget
from navplane.model.limit import LimitKind, LimitMode, LimitScope

START = datetime(2026, 11, 1, tzinfo=UTC)
BUDGET = Budget(
    limit_id=UUID(int=1), org_id=UUID(int=2), scope=LimitScope.ORGANIZATION, scope_id=UUID(int=2),
    kind=LimitKind.USD_PER_MONTH, amount=10**11, mode=LimitMode.STRICT, created_at=START, window_name="m:2026-11",
    starts_at=START, ends_at=START + timedelta(days=30), used=0, reserved=0,
)  # fmt: skip
USUAL = AlertTerms()


@pytest.mark.parametrize(
    ("spent", "told"),
    [(0, []), (5 * 10**10 - 1, []), (5 * 10**10, [50]), (8 * 10**10, [50, 80]), (10**11, [50, 80, 100]),
     (3 * 10**11, [50, 80, 100])],
)  # fmt: skip
def test_a_threshold_is_reached_exactly_at_its_percent(spent: int, told: list[int]) -> None:
    assert [found.threshold for found in budget_crossings(replace(BUDGET, used=spent), USUAL)] == told


def test_what_is_only_reserved_reaches_no_threshold() -> None:
    held = replace(BUDGET, used=10**11, reserved=10**11)
    assert budget_crossings(held, USUAL) == []
    assert budget_crossings(replace(BUDGET, amount=0, used=10), USUAL) == []
    assert budget_crossings(replace(BUDGET, used=10**11), replace(USUAL, enabled=False)) == []


def days(*costs: int) -> tuple[Decimal, ...]:
    return tuple(Decimal(cost) for cost in costs)


@pytest.mark.parametrize(
    ("before", "bound"),
    [
        (days(*[10] * 6), None),
        (days(*[10] * 28), Decimal(10)),
        (days(*[0] * 28), Decimal(1)),
        # The spike of last week moves neither the median nor the deviation.
        (days(*[10] * 27, 10_000), Decimal(10)),
        # Median 12, MAD 2: 12 + 6 · 1.4826 · 2.
        (days(8, 10, 10, 12, 14, 14, 16), Decimal("29.7912")),
    ],
)
def test_the_bound_of_a_spike(before: tuple[Decimal, ...], bound: Decimal | None) -> None:
    assert spike_bound(before, USUAL) == bound


def test_a_day_at_its_bound_is_usual_and_one_above_is_told() -> None:
    at_bound = DailyCost(
        org_id=UUID(int=2), scope="key", scope_id=UUID(int=3), day="2026-11-21", cost_usd=Decimal(10), before=days(*[10] * 28)
    )
    assert spike(at_bound, USUAL) is None
    above = spike(replace(at_bound, cost_usd=Decimal("10.01")), USUAL)
    assert above is not None
    assert (above.subject, above.window_name) == (f"key/{UUID(int=3)}", "d:2026-11-21")
