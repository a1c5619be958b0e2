"""Where a budget is heading."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from navplane.model.budget import Budget
from navplane.model.limit import LimitKind, LimitMode, LimitScope

START = datetime(2026, 11, 21, tzinfo=UTC)
BUDGET = Budget(
    limit_id=UUID(int=1), org_id=UUID(int=2), scope=LimitScope.ORGANIZATION, scope_id=UUID(int=2),
    kind=LimitKind.TOKENS_PER_DAY, amount=1000, mode=LimitMode.NORMAL, created_at=START, window_name="d:2026-11-21",
    starts_at=START, ends_at=START + timedelta(days=1), used=700, reserved=100,
)  # fmt: skip


@pytest.mark.parametrize(("hours", "forecast"), [(0, None), (0.9, None), (1, 14400), (12, 1200), (24, 600)])
def test_the_forecast_follows_the_pace_once_there_is_one(hours: float, forecast: int | None) -> None:
    assert BUDGET.forecast(START + timedelta(hours=hours)) == forecast


def test_what_went_over_leaves_nothing_and_not_less() -> None:
    assert (BUDGET.remaining, BUDGET.spent, BUDGET.percent) == (300, 600, Decimal(60))
    assert replace(BUDGET, used=1200).remaining == 0
