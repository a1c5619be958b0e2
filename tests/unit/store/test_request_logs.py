"""Which event of a batch stands for its request."""

import pytest
from navplane.model.usage import UsageQuality
from navplane.model.usage_event import UsageEvent
from navplane.store.request_logs import best_of_each

from tests.support.usage_events import usage_event


def of_each_quality() -> dict[UsageQuality, UsageEvent]:
    request_id = usage_event().request_id
    return {quality: usage_event(request_id=request_id, usage_quality=quality) for quality in UsageQuality}


@pytest.mark.parametrize(
    "order", [["exact", "estimated", "lost"], ["lost", "estimated", "exact"], ["lost", "exact", "estimated"]]
)
def test_the_best_quality_wins_in_any_order(order: list[str]) -> None:
    events = of_each_quality()
    assert best_of_each([events[UsageQuality(name)] for name in order]) == [events[UsageQuality.EXACT]]


def test_of_equal_events_the_first_stands() -> None:
    first = usage_event()
    again = usage_event(request_id=first.request_id, model="another")
    assert best_of_each([first, again]) == [first]


def test_requests_are_kept_apart() -> None:
    events = [usage_event(), usage_event()]
    assert best_of_each([*events, events[0]]) == events
