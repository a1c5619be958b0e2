"""The wire form of usage events: what is sent is read back, newer fields are left out, and nothing else is an event."""

import contextlib
import json
from dataclasses import fields
from decimal import Decimal
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from navplane.model.usage import Outcome, UsageQuality
from navplane.model.usage_event import MalformedEvent, UsageEvent

from tests.support.usage_events import usage_event

# Wire form v1. This list may only grow, at its end.
WIRE_FIELDS = (
    "request_id", "org_id", "workspace_id", "key_id", "endpoint", "region", "started_at", "status", "outcome", "usage_quality",
    "provider", "provider_key_id", "model", "response_model", "stream", "demo", "error_code", "usage", "raw_usage",
    "service_tier", "provider_request_id", "finish_reason", "attempts", "first_byte_ms", "duration_ms", "request_bytes",
    "response_bytes", "client", "provider_cost_usd", "route", "workflow_version_id", "upstream_model", "attempt_log",
)  # fmt: skip


def test_an_event_reads_back_as_it_was_written() -> None:
    event = usage_event(
        org_id=uuid4(),
        key_id=uuid4(),
        workspace_id=uuid4(),
        provider_key_id=uuid4(),
        outcome=Outcome.ABORTED,
        usage_quality=UsageQuality.ESTIMATED,
        first_byte_ms=12,
        client="OpenAI/Python 3.52.0",
        provider_cost_usd=Decimal("0.000950000"),
    )
    assert UsageEvent.from_json(event.to_json()) == event


def test_fields_of_a_newer_release_are_left_out() -> None:
    event = usage_event()
    wire = json.loads(event.to_json())
    wire["batch_id"] = "b-1"
    wire["usage"]["video_tokens"] = 4
    assert UsageEvent.from_json(json.dumps(wire)) == event


def test_the_wire_fields_are_those_of_v1_and_none_can_carry_content() -> None:
    assert tuple(field.name for field in fields(UsageEvent)) == WIRE_FIELDS
    assert set(json.loads(usage_event().to_json())) == {"v", *WIRE_FIELDS}


@pytest.mark.parametrize(
    "text",
    [
        "", "null", "[]", "7", '"text"', "{}", '{"v":2}', '{"v":1}', "[" * 100_000, "\ufeff{}",
        usage_event().to_json().replace('"v":1', '"v":2'),
        usage_event().to_json().replace('"exact"', '"certain"'),
        usage_event().to_json().replace('"input_tokens":11', '"input_tokens":1e999'),
        usage_event(request_id="not-a-uuid").to_json(),
        usage_event().to_json().replace('"provider_cost_usd":null', '"provider_cost_usd":"NaN"'),
        usage_event().to_json().replace('"provider_cost_usd":null', '"provider_cost_usd":"-1"'),
    ],
)  # fmt: skip
def test_anything_else_is_malformed(text: str) -> None:
    with pytest.raises(MalformedEvent):
        UsageEvent.from_json(text)


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None)
@given(name=st.sampled_from(("v", *WIRE_FIELDS)), value=json_values)
def test_a_field_of_any_shape_is_an_event_or_malformed_and_nothing_else(name: str, value: object) -> None:
    wire = json.loads(usage_event().to_json()) | {name: value}
    with contextlib.suppress(MalformedEvent):
        assert isinstance(UsageEvent.from_json(json.dumps(wire)), UsageEvent)
