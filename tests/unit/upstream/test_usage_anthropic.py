"""Usage out of Anthropic's messages."""

import json
from typing import Any

from navplane.model.reading import Reading
from navplane.model.usage import Usage
from navplane.upstream.usage import UnbilledReader
from navplane.upstream.usage_anthropic import MessagesReader

OPENED = {
    "input_tokens": 10,
    "cache_read_input_tokens": 1000,
    "cache_creation_input_tokens": 300,
    "cache_creation": {"ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 200},
    "output_tokens": 1,
    "service_tier": "priority",
}


def typed(data: dict[str, Any]) -> bytes:
    return f"event: {data['type']}\ndata: {json.dumps(data)}\n\n".encode()


def start(usage: dict[str, Any]) -> bytes:
    return typed({"type": "message_start", "message": {"model": "claude-opus-5", "usage": usage}})


def delta(usage: dict[str, Any], stop: str | None = None) -> bytes:
    return typed({"type": "message_delta", "delta": {"stop_reason": stop}, "usage": usage})


def text(piece: str) -> bytes:
    return typed({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": piece}})


def read(*events: bytes) -> Reading:
    reader = MessagesReader()
    for piece in events:
        if reader.skim(piece):
            reader.event(piece)
    return reader.reading()


def test_cache_reads_and_writes_are_parts_of_the_input_and_not_billed_as_fresh() -> None:
    reading = read(start(OPENED), text("Hi"), delta({"output_tokens": 25}, "end_turn"), typed({"type": "message_stop"}))
    assert reading.usage == Usage(
        input_tokens=1310,
        output_tokens=25,
        cached_input_tokens=1000,
        cache_write_5m_tokens=100,
        cache_write_1h_tokens=200,
    )
    assert (reading.final, reading.ended, reading.finish_reason) == (True, True, "end_turn")
    assert (reading.service_tier, reading.response_model) == ("priority", "claude-opus-5")


def test_cumulative_deltas_are_never_added_up() -> None:
    reading = read(start(OPENED), *(delta({"output_tokens": n}) for n in (5, 12, 40)))
    assert reading.usage is not None
    assert reading.usage.output_tokens == 40


def test_delta_replaces_what_it_repeats_and_keeps_the_rest() -> None:
    usage = {
        "input_tokens": 12,
        "output_tokens": 9,
        "cache_read_input_tokens": None,
        "server_tool_use": {"web_search_requests": 2},
    }
    reading = read(start(OPENED), delta(usage))
    assert reading.usage is not None
    assert (reading.usage.input_tokens, reading.usage.cached_input_tokens, reading.usage.web_searches) == (1312, 1000, 2)


def test_stream_that_ends_before_its_delta_has_an_interim_count_only() -> None:
    reading = read(start(OPENED), text("12345678"))
    assert (reading.final, reading.ended, reading.text_bytes) == (False, False, 8)
    assert reading.usage is not None
    assert reading.usage.input_tokens == 1310


def test_writes_without_their_split_are_for_five_minutes() -> None:
    reading = read(start({"input_tokens": 1, "cache_creation_input_tokens": 50}), delta({"output_tokens": 1}))
    assert reading.usage is not None
    assert (reading.usage.cache_write_5m_tokens, reading.usage.cache_write_1h_tokens) == (50, 0)


def test_error_event_is_noticed() -> None:
    assert read(start(OPENED), typed({"type": "error", "error": {"type": "overloaded_error"}})).failed


def test_body_is_read_whole() -> None:
    reader = MessagesReader()
    usage = {"input_tokens": 3, "output_tokens": 4, "output_tokens_details": {"thinking_tokens": 2}}
    reader.body(json.dumps({"type": "message", "model": "claude", "stop_reason": "end_turn", "usage": usage}).encode())
    reading = reader.reading()
    assert (reading.usage, reading.final) == (Usage(input_tokens=3, output_tokens=4, reasoning_tokens=2), True)


def test_counted_tokens_are_kept_and_cost_nothing() -> None:
    reader = UnbilledReader()
    reader.body(b'{"input_tokens": 2048}')
    reading = reader.reading()
    assert (reading.usage, reading.raw, reading.final) == (Usage(), {"input_tokens": 2048}, True)
