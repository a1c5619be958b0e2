"""Usage out of OpenAI's shapes."""

import json
from typing import Any

import pytest
from navplane.model.reading import Reading
from navplane.model.usage import Usage
from navplane.upstream.usage import UsageReader
from navplane.upstream.usage_openai import ChatReader, EmbeddingsReader, ResponsesReader, is_usage_alone

CHAT_USAGE = {
    "prompt_tokens": 100,
    "completion_tokens": 50,
    "total_tokens": 150,
    "prompt_tokens_details": {"cached_tokens": 60, "audio_tokens": 5, "cache_write_tokens": 20},
    "completion_tokens_details": {"reasoning_tokens": 30, "audio_tokens": 4},
}
CHAT_COUNTS = Usage(
    input_tokens=100,
    output_tokens=50,
    cached_input_tokens=60,
    cache_write_5m_tokens=20,
    reasoning_tokens=30,
    audio_input_tokens=5,
    audio_output_tokens=4,
)
RESPONSES_USAGE = {
    "input_tokens": 80,
    "output_tokens": 40,
    "input_tokens_details": {"cached_tokens": 16, "cache_write_tokens": 8},
    "output_tokens_details": {"reasoning_tokens": 12},
}
RESPONSES_COUNTS = Usage(
    input_tokens=80, output_tokens=40, cached_input_tokens=16, cache_write_5m_tokens=8, reasoning_tokens=12
)


def event(data: Any, name: str | None = None) -> bytes:
    text = data if isinstance(data, bytes) else json.dumps(data).encode()
    return (f"event: {name}\n".encode() if name else b"") + b"data: " + text + b"\n\n"


def chunk(content: str | None = None, *, finish: str | None = None, usage: Any = None) -> dict[str, Any]:
    delta = {"content": content} if content is not None else {}
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"model": "gpt-5-2026-01-01", "service_tier": "flex", "choices": [choice], "usage": usage}


def read(reader: UsageReader, events: list[bytes]) -> Reading:
    for piece in events:
        if reader.skim(piece):
            reader.event(piece)
    return reader.reading()


def test_chat_stream_takes_the_usage_event() -> None:
    last = {"model": "gpt-5-2026-01-01", "choices": [], "usage": CHAT_USAGE}
    events = [event(chunk("Hel")), event(chunk("lo")), event(chunk(finish="stop")), event(last), event(b"[DONE]")]
    reading = read(ChatReader(), events)
    assert (reading.usage, reading.final, reading.ended) == (CHAT_COUNTS, True, True)
    assert (reading.response_model, reading.service_tier, reading.finish_reason) == ("gpt-5-2026-01-01", "flex", "stop")
    assert reading.raw == CHAT_USAGE
    assert reading.text_bytes == 5


def test_cached_tokens_survive_a_usage_chunk_whose_choices_are_not_empty() -> None:
    reading = read(ChatReader(), [event(chunk("Hi")), event(chunk(finish="stop", usage=CHAT_USAGE)), event(b"[DONE]")])
    assert reading.usage == CHAT_COUNTS


def test_cache_write_tokens_are_kept() -> None:
    reading = read(ChatReader(), [event({"choices": [], "usage": CHAT_USAGE})])
    assert reading.usage is not None
    assert reading.usage.cache_write_5m_tokens == 20


def test_bare_line_of_json_is_read_as_an_event() -> None:
    bare = json.dumps({"choices": [], "usage": CHAT_USAGE}).encode() + b"\n\n"
    assert read(ChatReader(), [event(chunk("Hi")), bare]).usage == CHAT_COUNTS
    assert is_usage_alone(bare)


def test_chat_stream_without_usage_has_no_count_but_knows_its_text() -> None:
    reading = read(ChatReader(), [event(chunk("12345678")), event(chunk(finish="length")), event(b"[DONE]")])
    assert (reading.usage, reading.final, reading.text_bytes, reading.finish_reason) == (None, False, 8, "length")


def test_error_inside_a_stream_is_noticed() -> None:
    assert read(ChatReader(), [event(chunk("a")), event({"error": {"message": "broke"}})]).failed


def test_chat_body_is_read_whole() -> None:
    reader = ChatReader()
    body = {"model": "gpt-5", "choices": [{"finish_reason": "stop"}], "usage": CHAT_USAGE, "service_tier": "default"}
    reader.body(json.dumps(body).encode())
    assert (reader.reading().usage, reader.reading().service_tier) == (CHAT_COUNTS, "default")


@pytest.mark.parametrize("kind", ["completed", "incomplete", "failed"])
def test_responses_stream_takes_usage_from_its_terminal_event(kind: str) -> None:
    response = {"model": "gpt-5", "status": kind, "usage": RESPONSES_USAGE, "output": [], "service_tier": "default"}
    final = {"type": f"response.{kind}", "response": response}
    delta = {"type": "response.output_text.delta", "delta": "Hello"}
    reading = read(ResponsesReader(), [event(delta, "response.output_text.delta"), event(final, f"response.{kind}")])
    assert (reading.usage, reading.final, reading.ended) == (RESPONSES_COUNTS, True, True)
    assert reading.failed == (kind == "failed")
    assert reading.text_bytes == 5


def test_responses_body_counts_web_searches() -> None:
    reader = ResponsesReader()
    output = [{"type": "web_search_call"}, {"type": "message"}, {"type": "web_search_call"}]
    reader.body(json.dumps({"model": "gpt-5", "status": "completed", "usage": RESPONSES_USAGE, "output": output}).encode())
    usage = reader.reading().usage
    assert usage is not None
    assert usage.web_searches == 2


def test_queued_response_has_no_usage_yet() -> None:
    reader = ResponsesReader()
    reader.body(json.dumps({"model": "gpt-5", "status": "queued", "usage": None}).encode())
    assert (reader.reading().usage, reader.reading().final) == (None, False)


def test_embeddings_are_read_from_the_end_of_the_body() -> None:
    reader = EmbeddingsReader()
    body = {"object": "list", "data": [{"embedding": [0.1] * 9000}], "model": "text-embedding-3", "usage": {"prompt_tokens": 7}}
    reader.body(json.dumps(body).encode()[-1000:])
    assert reader.reading().usage == Usage(input_tokens=7)
    assert reader.reading().response_model == "text-embedding-3"


@pytest.mark.parametrize(
    ("piece", "alone"),
    [
        (event({"choices": [], "usage": CHAT_USAGE}), True),
        (event({"usage": CHAT_USAGE, "choices": [ ]}), True),
        (b'data:{"choices": [ ] ,\r\ndata: "usage" : {"prompt_tokens":1}}\r\n\r\n', True),
        (event({"choices": [], "usage": None, "prompt_filter_results": [{"index": 0}]}), False),
        (event({"choices": [], "prompt_filter_results": [{"index": 0}]}), False),
        (event({"choices": [{"delta": {"content": '"choices":[]'}}], "usage": CHAT_USAGE}), False),
        (event({"choices": [{"delta": {"content": "x"}}], "usage": None}), False),
        (event(b"[DONE]"), False),
        (b': "choices":[] "usage":{\n\n', False),
        (b'data: {"choices":[],"usage":{"prompt_tok\n\n', False),
        (b"\n", False),
    ],
)  # fmt: skip
def test_only_the_extra_usage_event_is_told_apart(piece: bytes, alone: bool) -> None:
    assert is_usage_alone(piece) is alone


@pytest.mark.parametrize("nonsense", [-1, 1.5, "7", None, True, 1 << 60, [], {}])
def test_what_is_no_count_is_zero(nonsense: Any) -> None:
    assert read(ChatReader(), [event({"choices": [], "usage": {"prompt_tokens": nonsense}})]).usage == Usage()


@pytest.mark.parametrize("raw", [{"x": "\x00"}, {"x": "y" * 10_000}, {"x": "\ud800"}])
def test_raw_usage_that_no_database_could_hold_is_left_out(raw: dict[str, Any]) -> None:
    reading = read(ChatReader(), [event({"choices": [], "usage": {"prompt_tokens": 3, **raw}})])
    assert reading.raw is None
    assert reading.usage == Usage(input_tokens=3)
