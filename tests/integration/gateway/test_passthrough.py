"""Bytes pass unchanged, in both directions and at once."""

import hashlib
import json
import random

import pytest
from navplane.model.usage import Outcome, Usage, UsageQuality

from tests.integration.gateway.conftest import Application
from tests.support.provider import FakeProvider, Pause, answer, head, json_answer, stream

CHAT = "/v1/chat/completions"
# Odd on purpose: spaces, escapes, an order that no serialiser has.
ODD_BODY = (
    '{ "stream" :false,\n\t"model":"gpt-5", "messages":[{"content":"h\\u00e9é\\/","role":"user"}],"x":1.50, "y":1E2 }\n'
).encode()
STREAM_BODY = b'{"model":"gpt-5" ,"stream":true,"messages":[]}'
CHUNKS = [
    b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"Hel"}}],"usage":null}\n\n',
    b": keep-alive\n\n",
    'data: {"id":"c","choices":[{"index":0,"delta":{"content":"lö"}}],"usage":null}\n\n'.encode(),
    b'id: 7\ndata: {"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":null}\n\n',
]
USAGE_EVENT = b'data: {"id":"c","choices":[],"usage":{"prompt_tokens":11,"completion_tokens":7,"total_tokens":18}}\n\n'
DONE = b"data: [DONE]\n\n"


def test_unstreamed_call_is_byte_identical_both_ways(application: Application, provider: FakeProvider) -> None:
    body = b'{"model":"gpt-5-x","choices":[{"finish_reason":"stop"}],\r\n "usage":{"prompt_tokens":3,"completion_tokens":4}} \n'
    provider.script(json_answer(body))
    response = application.post(CHAT, ODD_BODY)
    assert (response.status_code, response.content) == (200, body)
    assert provider.last.body == ODD_BODY
    assert provider.last.target == "/v1/chat/completions"
    row = application.row()
    assert (row.usage, row.usage_quality, row.outcome) == (
        Usage(input_tokens=3, output_tokens=4),
        UsageQuality.EXACT,
        Outcome.OK,
    )
    assert (row.request_bytes, row.response_bytes) == (len(ODD_BODY), len(body))


def test_observed_stream_is_byte_identical_both_ways(observer: Application, provider: FakeProvider) -> None:
    sent = [*CHUNKS, USAGE_EVENT, DONE]
    provider.script(stream(sent))
    response = observer.post(CHAT, STREAM_BODY)
    assert response.content == b"".join(sent)
    assert provider.last.body == STREAM_BODY
    assert observer.row().usage_quality is UsageQuality.EXACT


def test_observed_stream_without_usage_is_estimated(observer: Application, provider: FakeProvider) -> None:
    provider.script(stream([*CHUNKS, DONE]))
    assert observer.post(CHAT, STREAM_BODY).content == b"".join([*CHUNKS, DONE])
    row = observer.row()
    assert (row.usage_quality, row.outcome) == (UsageQuality.ESTIMATED, Outcome.OK)
    assert row.usage.input_tokens == -(-len(STREAM_BODY) // 4)
    assert row.usage.output_tokens > 0


def test_injected_stream_differs_by_one_option_and_one_event(application: Application, provider: FakeProvider) -> None:
    provider.script(stream([*CHUNKS, USAGE_EVENT, DONE]))
    response = application.post(CHAT, STREAM_BODY)
    assert response.content == b"".join([*CHUNKS, DONE])
    assert provider.last.body == b'{"stream_options":{"include_usage":true},' + STREAM_BODY[1:]
    row = application.row()
    assert (row.usage, row.usage_quality) == (Usage(input_tokens=11, output_tokens=7), UsageQuality.EXACT)


def test_client_that_asked_for_usage_gets_it(application: Application, provider: FakeProvider) -> None:
    body = b'{"model":"gpt-5","stream":true,"stream_options":{"include_usage":true}}'
    provider.script(stream([*CHUNKS, USAGE_EVENT, DONE]))
    assert application.post(CHAT, body).content == b"".join([*CHUNKS, USAGE_EVENT, DONE])
    assert provider.last.body == body


@pytest.mark.parametrize(
    "event",
    [
        b'data: {"choices":[{"delta":{"content":"x"}}],"usage":{"prompt_tokens":11,"completion_tokens":7}}\n\n',
        b'data: {"choices":[],"prompt_filter_results":[{"prompt_index":0}]}\n\n',
        b'data: {"choices":[],"usage":null}\n\n',
    ],
)
def test_event_that_is_not_usage_alone_is_never_withheld(
    application: Application, provider: FakeProvider, event: bytes
) -> None:
    provider.script(stream([event, *CHUNKS, DONE]))
    assert application.post(CHAT, STREAM_BODY).content == b"".join([event, *CHUNKS, DONE])


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"])
def test_one_byte_chunks_in_any_line_ends_lose_exactly_the_usage_event(
    application: Application, provider: FakeProvider, line_end: bytes
) -> None:
    kept, withheld = (data.replace(b"\n", line_end) for data in (b"".join(CHUNKS), USAGE_EVENT))
    done = DONE.replace(b"\n", line_end)
    whole = kept + withheld + done
    provider.script(stream([whole[i : i + 1] for i in range(len(whole))]))
    assert application.post(CHAT, STREAM_BODY).content == kept + done
    assert application.row().usage == Usage(input_tokens=11, output_tokens=7)


def test_usage_event_without_its_blank_line_at_the_end_is_counted_and_withheld(
    application: Application, provider: FakeProvider
) -> None:
    provider.script(stream([*CHUNKS, USAGE_EVENT.rstrip()]))
    assert application.post(CHAT, STREAM_BODY).content == b"".join(CHUNKS)
    assert application.row().usage_quality is UsageQuality.EXACT


def test_last_event_without_its_blank_line_arrives(application: Application, provider: FakeProvider) -> None:
    provider.script(stream([*CHUNKS, USAGE_EVENT, DONE.rstrip()]))
    assert application.post(CHAT, STREAM_BODY).content == b"".join(CHUNKS) + DONE.rstrip()


def test_other_streams_are_never_touched(application: Application, provider: FakeProvider) -> None:
    body = (
        b'{"model":"claude-opus-5","stream":true,"max_tokens":5,"system":[{"cache_control":{"type":"ephemeral","ttl":"1h"}}]}'
    )
    events = [
        b'event: message_start\ndata: {"type":"message_start","message":{"usage":{"input_tokens":3,"output_tokens":1}}}\n\n',
        b'event: message_delta\ndata: {"type":"message_delta","delta":{},"usage":{"output_tokens":9}}\n\n',
        b'event: message_stop\ndata: {"type":"message_stop"}\n\n',
    ]
    provider.script(stream(events))
    assert application.post("/v1/messages", body).content == b"".join(events)
    assert provider.last.body == body
    assert application.row().usage == Usage(input_tokens=3, output_tokens=9)


def test_fuzzed_streams_are_byte_identical(observer: Application, provider: FakeProvider) -> None:
    seed = random.Random(7)
    alphabet = [
        b"data: ",
        b"event: x",
        b"\n",
        b"\r\n",
        b"\r",
        b"\n\n",
        b": c",
        b"\xc3",
        b"\xa9",
        b"\x00",
        b'{"usage":{',
        b"[DONE]",
    ]
    for _ in range(100):
        chunks = [b"".join(seed.choices(alphabet, k=seed.randint(1, 6))) for _ in range(seed.randint(1, 12))]
        provider.script(stream(chunks))
        received = observer.post(CHAT, STREAM_BODY).content
        assert hashlib.sha256(received).digest() == hashlib.sha256(b"".join(chunks)).digest()


@pytest.mark.parametrize("stream_usage", ["application", "observer"])
def test_events_arrive_one_by_one(stream_usage: str, provider: FakeProvider, request: pytest.FixtureRequest) -> None:
    """Each event is sent only when the client has the one before."""
    caller: Application = request.getfixturevalue(stream_usage)
    pauses = [Pause() for _ in CHUNKS]
    steps = [step for event, pause in zip(CHUNKS, pauses, strict=True) for step in (event, pause)]
    provider.script(stream([*steps, DONE]))
    headers = {"content-type": "application/json", **caller.bearer}
    with caller.http.stream("POST", CHAT, content=STREAM_BODY, headers=headers) as response:
        chunks, received = response.iter_raw(), b""
        for sent, pause in enumerate(pauses, start=1):
            while len(received) < len(b"".join(CHUNKS[:sent])):
                received += next(chunks)
            assert received == b"".join(CHUNKS[:sent])
            pause.release()
        assert b"".join(chunks) == DONE


def test_status_and_headers_arrive_before_the_first_event(observer: Application, provider: FakeProvider) -> None:
    pause = Pause()
    provider.script(stream([pause, DONE]))
    headers = {"content-type": "application/json", **observer.bearer}
    with observer.http.stream("POST", CHAT, content=STREAM_BODY, headers=headers) as response:
        assert response.status_code == 200
        pause.release()
        assert response.read() == DONE


def test_compressed_answer_is_passed_as_it_is_and_never_inflated(application: Application, provider: FakeProvider) -> None:
    body = b"\x1f\x8b not really gzip"
    provider.script(answer(headers=[("content-type", "application/json"), ("content-encoding", "gzip")], body=body))
    headers = {"content-type": "application/json", **application.bearer}
    with application.http.stream("POST", CHAT, content=ODD_BODY, headers=headers) as response:
        assert b"".join(response.iter_raw()) == body
    assert application.row().usage_quality is UsageQuality.ESTIMATED


def test_compressed_stream_is_passed_as_it_is(application: Application, provider: FakeProvider) -> None:
    # What looks like the usage event inside of compressed bytes is chance.
    chunks = [b"\x1f\x8b\n\n", USAGE_EVENT]
    provider.script(stream(chunks, headers=[("content-encoding", "gzip")]))
    headers = {"content-type": "application/json", **application.bearer}
    with application.http.stream("POST", CHAT, content=STREAM_BODY, headers=headers) as response:
        assert b"".join(response.iter_raw()) == b"".join(chunks)
    assert application.row().usage_quality is UsageQuality.ESTIMATED


def test_embeddings_of_megabytes_pass_and_are_counted(application: Application, provider: FakeProvider) -> None:
    body = b'{"data":[' + b"0.123," * 700_000 + b'0],"model":"e","usage":{"prompt_tokens":5,"total_tokens":5}}'
    provider.script(json_answer(body))
    response = application.post("/v1/embeddings", b'{"model":"text-embedding-3-small","input":"x"}')
    assert hashlib.sha256(response.content).digest() == hashlib.sha256(body).digest()
    assert application.row().usage == Usage(input_tokens=5)


def test_large_request_bodies_pass(application: Application, provider: FakeProvider) -> None:
    body = json.dumps({"model": "gpt-5", "messages": [{"role": "user", "content": "x" * 1_500_000}]}).encode()
    provider.script(json_answer(b"{}"))
    assert application.post(CHAT, body).status_code == 200
    assert provider.last.body == body


def test_query_is_passed_on_as_it_is(application: Application, provider: FakeProvider) -> None:
    provider.script(json_answer(b'{"input_tokens":5}'))
    body = b'{"model":"claude-opus-5","messages":[]}'
    application.post("/v1/messages/count_tokens?beta=true&x=%2Fa%20b&&y", body)
    assert provider.last.target == "/v1/messages/count_tokens?beta=true&x=%2Fa%20b&&y"
    row = application.row()
    assert (row.usage, row.usage_quality, row.raw_usage) == (Usage(), UsageQuality.EXACT, {"input_tokens": 5})


def test_models_below_a_prefix_are_the_providers_own(application: Application, provider: FakeProvider) -> None:
    provider.script(json_answer(b'{"data":[]}'))
    assert application.http.get("/openai/v1/models", headers=application.bearer).status_code == 200
    assert provider.last.all("authorization") != []
    version = {"anthropic-version": "2023-06-01"}
    listed = application.http.get("/anthropic/v1/models?limit=2", headers={**application.bearer, **version})
    assert listed.status_code == 200
    assert provider.last.all("x-api-key") != []
    rows = application.server.log.wait_for(2, org_id=application.tenant.org_id)
    assert [(row.provider, row.endpoint.value, row.usage_quality.value) for row in rows] == [
        ("openai", "models", "exact"),
        ("anthropic", "models", "exact"),
    ]


def test_answer_without_a_body_passes(application: Application, provider: FakeProvider) -> None:
    provider.script([head("204 No Content", [("x-request-id", "r")])])
    response = application.post(CHAT, ODD_BODY)
    assert (response.status_code, response.content, response.headers["x-request-id"]) == (204, b"", "r")
