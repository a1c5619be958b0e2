"""Streams: what other gateways did to bytes that were not theirs, and what they failed to count in them."""

import json
from typing import Any

import pytest
from navplane.gateway.meter import Meter
from navplane.model.usage import Endpoint, Usage, UsageQuality
from navplane.upstream.readers import READERS

from tests.regressions.conftest import Application
from tests.support.provider import FakeProvider, Pause, json_answer, stream

CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
ASKED = b'{"model":"gpt-5","stream":true,"messages":[]}'
ASKED_WITH_USAGE = b'{"model":"gpt-5","stream":true,"messages":[],"stream_options":{"include_usage":true}}'
TEXT = b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"Hello"},"finish_reason":"stop"}],"usage":null}\n\n'
USAGE = b'data: {"id":"c","choices":[],"usage":{"prompt_tokens":11,"completion_tokens":7,"total_tokens":18}}\n\n'
DONE = b"data: [DONE]\n\n"
COUNTED = Usage(input_tokens=11, output_tokens=7)


@pytest.mark.parametrize(
    ("path", "model", "name"), [(CHAT, "gpt-5", "x-request-id"), (MESSAGES, "claude-opus-5", "request-id")]
)
@pytest.mark.parametrize("streamed", [True, False])
def test_request_id_lost_on_the_stream_path_only(
    application: Application, provider: FakeProvider, path: str, model: str, name: str, streamed: bool
) -> None:
    ids = [(name, "req_theirs"), ("openai-processing-ms", "12"), ("x-ratelimit-remaining-requests", "9")]
    provider.script(stream([DONE], headers=ids) if streamed else json_answer(b"{}", headers=ids))
    answered = application.post(path, json.dumps({"model": model, "stream": streamed}).encode())
    row = application.row()
    assert {header: answered.headers[header] for header, _ in ids} == dict(ids)
    assert answered.headers["x-navplane-request-id"] == str(row.request_id)
    assert row.provider_request_id == "req_theirs"


def test_cached_tokens_lost_when_the_usage_chunk_has_choices(application: Application, provider: FakeProvider) -> None:
    usage = {"prompt_tokens": 100, "completion_tokens": 7, "prompt_tokens_details": {"cached_tokens": 96}}
    last = {"id": "c", "choices": [{"index": 0, "delta": {"content": "!"}, "finish_reason": "stop"}], "usage": usage}
    sent = [TEXT, b"data: " + json.dumps(last).encode() + b"\n\n", DONE]
    provider.script(stream(sent))
    assert application.post(CHAT, ASKED).content == b"".join(sent)
    row = application.row()
    assert (row.usage, row.usage_quality) == (
        Usage(input_tokens=100, output_tokens=7, cached_input_tokens=96),
        UsageQuality.EXACT,
    )
    assert usage_where_choices_are_empty(sent) is None, "this stream is one that the bug has nothing to read in"


def usage_where_choices_are_empty(events: list[bytes]) -> Any:
    """The bug itself."""
    read = [json.loads(event[6:]) for event in events if event != DONE]
    return next((event["usage"] for event in read if not event["choices"]), None)


@pytest.mark.parametrize("asked", [ASKED, ASKED_WITH_USAGE])
def test_bare_json_line_with_include_usage(application: Application, provider: FakeProvider, asked: bytes) -> None:
    """Ours never is one; and a provider's is counted, and withheld from who did not ask, as it would be with its field name."""
    for usage in (USAGE, USAGE.removeprefix(b"data: ")):
        provider.script(stream([TEXT, usage, DONE]))
        wanted = [TEXT, usage, DONE] if asked == ASKED_WITH_USAGE else [TEXT, DONE]
        assert application.post(CHAT, asked).content == b"".join(wanted)
    rows = application.server.log.wait_for(2, org_id=application.org_id)
    assert [(row.usage, row.usage_quality) for row in rows] == [(COUNTED, UsageQuality.EXACT)] * 2


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("caller", ["application", "observer"])
def test_id_lines_reframed(caller: str, provider: FakeProvider, request: pytest.FixtureRequest, line_end: bytes) -> None:
    asking: Application = request.getfixturevalue(caller)
    framed = [b"id: 7\nretry: 10\n" + TEXT, b": keep-alive\n\n", b"data:{}\nid:8\ndata:  two \n\n", b"event: x\nid\n" + TEXT]
    sent = [event.replace(b"\n", line_end) for event in [*framed, DONE]]
    provider.script(stream(sent))
    assert asking.post(CHAT, ASKED).content == b"".join(sent)


@pytest.mark.parametrize("streamed", [b"true", b"false"])
def test_cache_control_ttl_stripped(application: Application, provider: FakeProvider, streamed: bytes) -> None:
    body = (
        b'{"model":"claude-opus-5","max_tokens":5,"stream":%s,'
        b'"system":[{"type":"text","text":"x","cache_control":{"type":"ephemeral","ttl":"1h"}}],"messages":[]}'
    ) % streamed
    provider.script(json_answer(b"{}"))
    assert application.post(MESSAGES, body, anthropic_beta="extended-cache-ttl-2025-04-11").status_code == 200
    assert provider.last.body == body
    assert provider.last.all("anthropic-beta") == ["extended-cache-ttl-2025-04-11"]


@pytest.mark.parametrize("cut", [1, 6, 20, USAGE.index(b"usage") + 3, len(USAGE) - 2, len(USAGE) - 1])
def test_usage_chunk_split_over_two_reads(observer: Application, provider: FakeProvider, cut: int) -> None:
    """The second half is sent only when the client has the first, so the gateway has read them apart."""
    pause = Pause()
    provider.script(stream([TEXT, USAGE[:cut], pause, USAGE[cut:], DONE]))
    with observer.http.stream("POST", CHAT, content=ASKED_WITH_USAGE, headers=observer.headers) as answered:
        chunks, received = answered.iter_raw(), b""
        while len(received) < len(TEXT) + cut:
            received += next(chunks)
        assert received == TEXT + USAGE[:cut]
        pause.release()
        assert b"".join(chunks) == USAGE[cut:] + DONE
    row = observer.row()
    assert (row.usage, row.usage_quality) == (COUNTED, UsageQuality.EXACT)


def test_usage_chunk_split_anywhere_is_counted_by_the_meter() -> None:
    whole = TEXT + USAGE + DONE
    for cut in range(len(whole)):
        meter = Meter(READERS[Endpoint.CHAT_COMPLETIONS](), events=True)
        meter.feed(whole[:cut])
        meter.feed(whole[cut:])
        assert meter.close().usage == COUNTED


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
@pytest.mark.parametrize(("caller", "wanted"), [("application", [TEXT]), ("observer", [TEXT, USAGE.rstrip()])])
def test_final_event_without_a_blank_line(
    caller: str, wanted: list[bytes], provider: FakeProvider, request: pytest.FixtureRequest, end: bytes
) -> None:
    asking: Application = request.getfixturevalue(caller)
    provider.script(stream([TEXT, USAGE.rstrip() + end]))
    assert asking.post(CHAT, ASKED).content == b"".join(wanted) + (end if caller == "observer" else b"")
    row = asking.row()
    assert (row.usage, row.usage_quality) == (COUNTED, UsageQuality.EXACT)


def test_last_word_without_a_blank_line_arrives(application: Application, provider: FakeProvider) -> None:
    provider.script(stream([TEXT, USAGE, DONE.rstrip()]))
    assert application.post(CHAT, ASKED).content == TEXT + DONE.rstrip()
