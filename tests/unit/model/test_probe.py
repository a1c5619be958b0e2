"""What is said of usage between two functions arrives as it was said."""

import json
from decimal import Decimal

import pytest
from navplane.model.probe import Collected, CollectState
from navplane.model.reading import Reading
from navplane.model.usage import Usage

READING = Reading(
    usage=Usage(input_tokens=30, output_tokens=12, cached_input_tokens=4),
    final=True,
    raw={"input_tokens": 30},
    response_model="gpt-5",
    service_tier="batch",
    finish_reason="completed",
    text_bytes=7,
    ended=False,
    failed=True,
    cost_usd=Decimal("0.000000001"),
)


@pytest.mark.parametrize(
    "collected",
    [
        Collected(state=CollectState.OVER, reading=READING),
        Collected(state=CollectState.UNDER_WAY),
        Collected(state=CollectState.TOO_LARGE),
    ],
)
def test_it_arrives_as_it_was_said(collected: Collected) -> None:
    assert Collected.from_wire(json.loads(json.dumps(collected.to_wire()))) == collected
