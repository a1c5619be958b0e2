"""When a delivery that failed is tried again."""

from datetime import timedelta

import pytest
from navplane.model.alert_delivery import FIRST_PAUSE, LONGEST_PAUSE, TRIES, pause


@pytest.mark.parametrize(
    ("attempts", "longest"), [(1, FIRST_PAUSE), (2, 2 * FIRST_PAUSE), (3, 4 * FIRST_PAUSE), (40, LONGEST_PAUSE)]
)
def test_pauses_double_up_to_the_longest_and_vary_by_half(attempts: int, longest: timedelta) -> None:
    assert pause(attempts, chance=1) == longest
    assert pause(attempts, chance=0) == longest / 2


def test_all_tries_together_take_less_than_a_day() -> None:
    assert timedelta(hours=6) < sum((pause(n, chance=1) for n in range(1, TRIES)), timedelta()) < timedelta(days=1)
