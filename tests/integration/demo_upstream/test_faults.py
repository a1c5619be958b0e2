"""The fault models, and what the demo upstream reports of the calls it received."""

import hashlib
import json
import re
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from tests.support.demo_upstream import DemoUpstreamServer

OPENAI = {"authorization": "Bearer sk-demo-0001"}
ANTHROPIC = {"x-api-key": "sk-demo-0001", "anthropic-version": "2023-06-01"}
CHAT, MESSAGES, RESPONSES = "/v1/chat/completions", "/v1/messages", "/v1/responses"
SURFACES = [(CHAT, OPENAI), (RESPONSES, OPENAI), (MESSAGES, ANTHROPIC)]


def body(path: str, model: str, **more: Any) -> dict[str, Any]:
    asked = {"input": "hi"} if path == RESPONSES else {"messages": [{"role": "user", "content": "hi"}]}
    return {"model": model, **asked, **({"max_tokens": 100} if path == MESSAGES else {}), **more}


def call(server: DemoUpstreamServer, path: str, headers: dict[str, str], model: str, **more: Any) -> httpx2.Response:
    return httpx2.post(server.url + path, json=body(path, model, **more), headers=headers, timeout=10, trust_env=False)


@pytest.mark.parametrize(
    ("status", "openai", "anthropic"),
    [
        (401, "invalid_request_error", "authentication_error"),
        (429, "requests", "rate_limit_error"),
        (500, "server_error", "api_error"),
        (503, "server_error", "api_error"),
        (529, "server_error", "overloaded_error"),
    ],
)
def test_an_error_is_in_the_dialect(status: int, openai: str, anthropic: str, demo_upstream: DemoUpstreamServer) -> None:
    for path, headers in SURFACES:
        answer = call(demo_upstream, path, headers, f"demo-{status}", stream=True)
        assert answer.status_code == status
        assert answer.json()["error"]["type"] == (anthropic if headers is ANTHROPIC else openai)
        assert answer.headers["x-should-retry"] == str(status != 401).lower()
        assert ("retry-after" in answer.headers) == (status == 429)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("path", "headers"), SURFACES)
def test_a_cut_answer_breaks_off(path: str, headers: dict[str, str], stream: bool, demo_upstream: DemoUpstreamServer) -> None:
    with pytest.raises(httpx2.RemoteProtocolError):
        call(demo_upstream, path, headers, "demo-cut", stream=stream)
    captured = demo_upstream.requests()[-1]
    assert captured.ended == "cut"
    assert captured.answer_body


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("path", "headers"), SURFACES)
def test_a_stalled_answer_ends_when_the_caller_leaves(
    path: str, headers: dict[str, str], stream: bool, demo_upstream: DemoUpstreamServer
) -> None:
    client, asked = httpx2.Client(trust_env=False), body(path, "demo-stall", stream=stream)
    with client, client.stream("POST", demo_upstream.url + path, json=asked, headers=headers) as answer:
        received = answer.iter_bytes()
        assert next(received)
        assert demo_upstream.requests()[-1].ended is None
    # The server notices on a loop of its own, so it may be asked several times.
    ends = (demo_upstream.requests()[-1].ended for _ in range(1000))
    assert next(ended for ended in ends if ended) == "disconnected"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("path", "headers"), SURFACES)
def test_usage_can_be_missing(path: str, headers: dict[str, str], stream: bool, demo_upstream: DemoUpstreamServer) -> None:
    answer = call(demo_upstream, path, headers, "demo-no-usage", stream=stream)
    assert '_tokens":' not in answer.text.replace("max_output_tokens", "")


def test_usage_can_be_in_a_chunk_that_has_choices(demo_upstream: DemoUpstreamServer) -> None:
    answer = call(demo_upstream, CHAT, OPENAI, "demo-cached-usage-in-choices", stream=True)
    chunks = [json.loads(line.removeprefix("data: ")) for line in answer.text.split("\n\n") if line.startswith("data: {")]
    assert all(chunk["choices"] for chunk in chunks)
    assert [bool(chunk.get("usage")) for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    assert chunks[-1]["usage"]["prompt_tokens_details"]["cached_tokens"] > 0


def test_usage_can_be_a_bare_line_of_json(demo_upstream: DemoUpstreamServer) -> None:
    asked = {"stream": True, "stream_options": {"include_usage": True}}
    *_, bare, done, rest = call(demo_upstream, CHAT, OPENAI, "demo-bare-json", **asked).text.split("\n\n")
    assert json.loads(bare)["usage"]["total_tokens"] > 0
    assert (done, rest) == ("data: [DONE]", "")


@pytest.mark.parametrize(("path", "headers"), SURFACES)
def test_an_error_event_ends_the_stream_cleanly(path: str, headers: dict[str, str], demo_upstream: DemoUpstreamServer) -> None:
    answer = call(demo_upstream, path, headers, "demo-error-event", stream=True)
    *before, last = answer.text.strip().split("\n\n")
    assert answer.status_code == 200
    assert last.startswith('data: {"error":{' if path == CHAT else 'event: error\ndata: {"type":"error",')
    if path == RESPONSES:
        assert json.loads(last.split("data: ")[1])["sequence_number"] == len(before)


def test_a_redirect_points_back_and_whoever_follows_is_seen(demo_upstream: DemoUpstreamServer) -> None:
    answer = call(demo_upstream, CHAT, OPENAI, "demo-redirect")
    assert answer.status_code == 307
    httpx2.get(answer.headers["location"], headers=OPENAI, trust_env=False)
    assert demo_upstream.requests()[-1].target == "/_demo/redirected"


@pytest.mark.parametrize(("path", "headers"), SURFACES)
def test_a_key_can_be_echoed(path: str, headers: dict[str, str], demo_upstream: DemoUpstreamServer) -> None:
    answer = call(demo_upstream, path, headers, "demo-echo-key")
    assert answer.headers["x-demo-echo"] == "sk-demo-0001"
    assert "sk-demo-0001" in answer.json()["error"]["message"]


def framed(server: DemoUpstreamServer, model: str) -> str:
    """A stream without what differs from call to call."""
    answer = call(server, CHAT, OPENAI, model, stream=True).text
    return re.sub(r'"(id|created|model)":("[^"]*"|\d+)', r'"\1":0', answer)


@pytest.mark.parametrize(
    ("word", "change"),
    [
        ("crlf", lambda plain: plain.replace("\n", "\r\n")),
        ("comments", lambda plain: "".join(f": DEMO PROCESSING\n\n{event}\n\n" for event in plain.split("\n\n")[:-1])),
        ("no-final-blank", lambda plain: plain.removesuffix("\n\n")),
        ("one-byte", lambda plain: plain),
        ("id-lines", lambda plain: "".join(f"id: {n}\n{e}\n\n" for n, e in enumerate(plain.split("\n\n")[:-1], 1))),
    ],
)
def test_framing_can_be_odd(word: str, change: Callable[[str], str], demo_upstream: DemoUpstreamServer) -> None:
    assert framed(demo_upstream, f"demo-{word}") == change(framed(demo_upstream, "demo"))


def test_a_gated_stream_waits_for_each_release(demo_upstream: DemoUpstreamServer) -> None:
    client = httpx2.Client(trust_env=False, timeout=10)
    asked = body(CHAT, "demo-gated", stream=True)
    with client, client.stream("POST", demo_upstream.url + CHAT, json=asked, headers=OPENAI) as answer:
        capture_id = int(answer.headers["x-demo-capture-id"])
        received = answer.iter_bytes()
        first = next(received)
        assert len(demo_upstream.requests()[-1].answer_body) == len(first)
        demo_upstream.release(capture_id)
        second = next(received)
        assert demo_upstream.requests()[-1].answer_body == first + second
        demo_upstream.release(capture_id, events=100)
        assert b"".join(received).endswith(b"data: [DONE]\n\n")


def test_captures_hold_what_was_sent_and_what_was_answered(demo_upstream: DemoUpstreamServer) -> None:
    before = demo_upstream.requests()
    last = before[-1].id if before else 0
    sent = json.dumps(body(CHAT, "demo", note="Grüße"), indent=1).encode()
    headers = OPENAI | {"x-first": "1", "X-Second": "zwei"}
    answer = httpx2.post(f"{demo_upstream.url}{CHAT}?a=%20b", content=sent, headers=headers, trust_env=False)
    captured = demo_upstream.requests(since=int(answer.headers["x-demo-capture-id"]) - 1)[-1]
    assert captured.id > last
    assert (captured.raw["method"], captured.target, captured.body) == ("POST", f"{CHAT}?a=%20b", sent)
    assert captured.raw["body_sha256"] == hashlib.sha256(sent).hexdigest()
    names = [name for name, _ in captured.headers]
    assert names.index("x-first") + 1 == names.index("x-second")
    assert captured.header("authorization") == "Bearer sk-demo-0001"
    assert (captured.answer_body, captured.ended) == (answer.content, "complete")
    demo_upstream.clear()
    assert demo_upstream.requests() == []
