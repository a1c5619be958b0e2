"""What an answer used, and how surely that is known."""

import json

import pytest
from navplane.gateway.meter import MAX_BODY_BYTES, Meter
from navplane.model.reading import Reading, measure
from navplane.model.usage import Usage, UsageQuality
from navplane.upstream.usage_anthropic import MessagesReader
from navplane.upstream.usage_openai import ChatReader, EmbeddingsReader

USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":11,"completion_tokens":7}}\n\n'
TEXT = b'data: {"choices":[{"delta":{"content":"12345678"}}]}\n\n'
DONE = b"data: [DONE]\n\n"


def reading_of(*chunks: bytes) -> Reading:
    meter = Meter(ChatReader(), events=True)
    for chunk in chunks:
        meter.feed(chunk)
    return meter.close()


@pytest.mark.parametrize("cut", range(1, len(USAGE)))
def test_usage_chunk_split_over_two_reads_is_counted(cut: int) -> None:
    reading = reading_of(TEXT, USAGE[:cut], USAGE[cut:], DONE)
    assert measure(reading, request_bytes=99) == (Usage(input_tokens=11, output_tokens=7), UsageQuality.EXACT)


def test_final_event_without_a_blank_line_is_counted() -> None:
    assert measure(reading_of(TEXT, USAGE.rstrip()), request_bytes=99)[1] is UsageQuality.EXACT


def test_stream_without_usage_is_estimated_and_never_zero() -> None:
    usage, quality = measure(reading_of(TEXT, TEXT, DONE), request_bytes=401)
    assert (usage, quality) == (Usage(input_tokens=101, output_tokens=4), UsageQuality.ESTIMATED)


def test_anthropic_stream_cut_after_its_start_keeps_the_input_that_was_counted() -> None:
    meter = Meter(MessagesReader(), events=True)
    start = {
        "type": "message_start",
        "message": {"usage": {"input_tokens": 9, "cache_read_input_tokens": 40, "output_tokens": 2}},
    }
    meter.feed(b"event: message_start\ndata: " + json.dumps(start).encode() + b"\n\n")
    meter.feed(b'data: {"type":"content_block_delta","delta":{"type":"text_delta","text":"' + b"x" * 100 + b'"}}\n\n')
    usage, quality = measure(meter.close(), request_bytes=4000)
    assert (usage, quality) == (Usage(input_tokens=49, output_tokens=25, cached_input_tokens=40), UsageQuality.ESTIMATED)


def test_answer_that_never_began_is_estimated_by_its_request() -> None:
    assert measure(None, request_bytes=10) == (Usage(input_tokens=3), UsageQuality.ESTIMATED)


def test_body_without_usage_is_taken_for_text() -> None:
    meter = Meter(ChatReader(), events=False)
    meter.feed(b'{"choices":[]}')
    assert measure(meter.close(), request_bytes=4) == (Usage(input_tokens=1, output_tokens=4), UsageQuality.ESTIMATED)


@pytest.mark.parametrize(
    "nonsense", [b"data: {not json\n\n", b'data: {"usage":{"x":[\n\n', b"data: \xff\xfe\n\n", b"data: [1]\n\n"]
)
def test_nonsense_costs_nothing_but_itself(nonsense: bytes) -> None:
    reading = reading_of(nonsense, TEXT, nonsense, USAGE, nonsense, DONE)
    assert measure(reading, request_bytes=1) == (Usage(input_tokens=11, output_tokens=7), UsageQuality.EXACT)


def test_body_beyond_what_is_kept_is_estimated() -> None:
    meter = Meter(ChatReader(), events=False)
    for _ in range(3):
        meter.feed(b" " * (MAX_BODY_BYTES // 2))
    assert measure(meter.close(), request_bytes=1)[1] is UsageQuality.ESTIMATED


def test_embeddings_of_any_size_are_read_from_their_end() -> None:
    meter = Meter(EmbeddingsReader(), events=False)
    meter.feed(b'{"data":[')
    for _ in range(100):
        meter.feed(b"0.123," * 20_000)
    meter.feed(b'1],"model":"e","usage":{"prompt_tokens":5,"total_tokens":5}}')
    assert measure(meter.close(), request_bytes=1) == (Usage(input_tokens=5), UsageQuality.EXACT)


def test_nothing_is_kept_of_an_answer_that_repeats_the_providers_key_but_its_counts() -> None:
    meter = Meter(ChatReader(), events=False, secret=b"sk-secret")
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "note": "it was sk-secret"}
    meter.feed(json.dumps({"model": "sk-secret", "choices": [{"finish_reason": "stop"}], "usage": usage}).encode())
    reading = meter.close()
    assert reading.usage == Usage(input_tokens=3, output_tokens=2)
    assert (reading.raw, reading.response_model, reading.finish_reason) == (None, None, None)
