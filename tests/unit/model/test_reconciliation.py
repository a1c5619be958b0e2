"""How far two accounts of the same day are apart, and which models are one."""

from datetime import date
from decimal import Decimal

import pytest
from navplane.model.reconciliation import Figures, compared, drift_of, family, gathered

DAY = date(2026, 11, 20)


@pytest.mark.parametrize(
    ("model", "same"),
    [
        ("gpt-5-2025-08-07", "gpt-5"),
        ("claude-sonnet-4-20250514", "claude-sonnet-4"),
        ("gpt-5", "gpt-5"),
        ("gpt-4-0613", "gpt-4-0613"),
        ("2025-08-07", "2025-08-07"),
    ],
)
def test_a_snapshot_is_its_model(model: str, same: str) -> None:
    assert family(model) == same


def figures(tokens: int, usd: str = "0") -> Figures:
    return Figures(requests=1, input_tokens=tokens, usd=Decimal(usd))


@pytest.mark.parametrize(
    ("ours", "theirs", "drift"),
    [
        (figures(100, "1"), figures(100, "1"), "0"),
        (figures(90, "1"), figures(100, "1"), "10"),
        (figures(100, "1"), figures(90, "1"), "10"),
        (figures(100, "1"), figures(100, "2"), "50"),
        (figures(0), figures(100), "100"),
        (figures(100, "1"), figures(0), "100"),
        (figures(0), figures(0), "0"),
        # Who says nothing of cost is not apart in cost.
        (figures(100, "1"), figures(100, "0"), "0"),
    ],
)
def test_drift_is_the_worse_of_tokens_and_cost_in_percent_of_the_larger(ours: Figures, theirs: Figures, drift: str) -> None:
    assert drift_of(ours, theirs) == Decimal(drift)


def test_what_only_one_of_them_knows_is_compared_too() -> None:
    found = compared({(DAY, "a"): figures(1)}, {(DAY, "b"): figures(2)})
    assert [(one.model, one.ledger.input_tokens, one.provider.input_tokens, one.drift) for one in found] == [
        ("a", 1, 0, Decimal(100)),
        ("b", 0, 2, Decimal(100)),
    ]


def test_snapshots_add_up_and_an_uncounted_part_makes_the_sum_uncounted() -> None:
    report = gathered([(DAY, "m-2025-01-01", figures(1)), (DAY, "m", figures(2)), (DAY, "m", Figures(requests=None))])
    assert report == {(DAY, "m"): Figures(requests=None, input_tokens=3)}
