"""The fallback line: written when no queue takes an event, and read back by a replay."""

import json

import pytest
from navplane.model.usage_event import MalformedEvent
from navplane.queue import fallback
from navplane.telemetry import logger

from tests.support.log_lines import captured_log
from tests.support.usage_events import usage_event


def test_a_fallback_line_holds_the_whole_event_and_reads_back() -> None:
    event = usage_event(model="gpt-5 “quoted”\n")
    with captured_log() as log:
        fallback.write(event, reason="EndpointConnectionError")
    [line] = log.getvalue().splitlines()
    record = json.loads(line)
    assert (record["level"], record["message"], record["reason"]) == ("ERROR", "ledger.fallback", "EndpointConnectionError")
    assert list(fallback.read([line])) == [event]


def test_a_reader_passes_over_every_other_line() -> None:
    event = usage_event()
    with captured_log() as log:
        logger.info("request", extra={"usage_event": "not this one"})
        logger.info("a line that speaks of ledger.fallback")
        fallback.write(event, reason="x")
    lines = ["REPORT RequestId: 1", "{broken", "", "ledger.fallback, they said", *log.getvalue().splitlines()]
    assert list(fallback.read(lines)) == [event]


def test_a_log_exports_prefix_before_the_line_is_passed_over() -> None:
    event = usage_event()
    with captured_log() as log:
        fallback.write(event, reason="x")
    assert list(fallback.read([f"2026-11-20T12:00:00Z\tproxy\t{log.getvalue()}"])) == [event]


@pytest.mark.parametrize("broken", ['{"message":"ledger.fallback"}', '{"message":"ledger.fallback","usage_event":"{'])
def test_a_broken_fallback_line_is_named_and_never_skipped(broken: str) -> None:
    with pytest.raises(MalformedEvent, match="line 2"):
        list(fallback.read(["", broken]))
