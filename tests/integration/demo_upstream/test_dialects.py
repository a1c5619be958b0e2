"""Native shapes: what each provider's wire looks like, byte by byte where clients depend on it."""

import base64
import json
import struct
from typing import Any

import httpx2
import pytest

from tests.support.demo_upstream import DemoUpstreamServer

OPENAI = {"authorization": "Bearer sk-demo-0001"}
ANTHROPIC = {"x-api-key": "sk-demo-0001", "anthropic-version": "2023-06-01"}
MESSAGES = [{"role": "user", "content": "hi"}]
SURFACES = [("/v1/chat/completions", OPENAI), ("/v1/responses", OPENAI), ("/v1/messages", ANTHROPIC)]


def call(server: DemoUpstreamServer, path: str, headers: dict[str, str], **body: Any) -> httpx2.Response:
    body = {"model": "demo", **({"input": "hi"} if path == "/v1/responses" else {"messages": MESSAGES})} | body
    body |= {"max_tokens": 100} if path == "/v1/messages" and "max_tokens" not in body else {}
    return httpx2.post(server.url + path, json=body, headers=headers, timeout=10, trust_env=False)


def events(answer: httpx2.Response) -> list[dict[str, str]]:
    """Each event as its fields; the demo upstream writes every field on one line."""
    assert answer.text.endswith("\n\n")
    lines = [event.split("\n") for event in answer.text.removesuffix("\n\n").split("\n\n")]
    return [dict(line.split(": ", 1) for line in event) for event in lines]


def chunks(answer: httpx2.Response) -> list[dict[str, Any]]:
    return [json.loads(event["data"]) for event in events(answer) if event["data"] != "[DONE]"]


def test_a_chat_stream_has_no_usage_unless_asked(demo_upstream: DemoUpstreamServer) -> None:
    answer = call(demo_upstream, "/v1/chat/completions", OPENAI, stream=True)
    assert answer.text.endswith("data: [DONE]\n\n")
    assert all("usage" not in chunk and chunk["choices"] for chunk in chunks(answer))
    assert all(set(event) == {"data"} for event in events(answer))


def test_a_chat_stream_with_usage_adds_one_chunk_and_null_to_the_others(demo_upstream: DemoUpstreamServer) -> None:
    asked = {"stream": True, "stream_options": {"include_usage": True}}
    *others, last = chunks(call(demo_upstream, "/v1/chat/completions", OPENAI, **asked))
    assert all(chunk["usage"] is None and chunk["choices"] for chunk in others)
    assert last["choices"] == []
    whole = call(demo_upstream, "/v1/chat/completions", OPENAI).json()
    assert last["usage"] == whole["usage"]
    assert others[-1]["choices"][0]["finish_reason"] == "stop"


def test_several_choices_are_all_counted(demo_upstream: DemoUpstreamServer) -> None:
    one = call(demo_upstream, "/v1/chat/completions", OPENAI).json()
    three = call(demo_upstream, "/v1/chat/completions", OPENAI, n=3).json()
    assert [choice["index"] for choice in three["choices"]] == [0, 1, 2]
    assert three["usage"]["completion_tokens"] == 3 * one["usage"]["completion_tokens"]


def test_a_response_stream_is_numbered_and_ends_with_the_usage(demo_upstream: DemoUpstreamServer) -> None:
    answer = call(demo_upstream, "/v1/responses", OPENAI, stream=True)
    bodies = chunks(answer)
    assert [event["event"] for event in events(answer)] == [body["type"] for body in bodies]
    assert [body["sequence_number"] for body in bodies] == list(range(len(bodies)))
    assert bodies[-1]["type"] == "response.completed"
    assert bodies[-1]["response"]["usage"] == call(demo_upstream, "/v1/responses", OPENAI).json()["usage"]
    assert all(body["response"]["usage"] is None for body in bodies[:2])


def test_a_message_stream_counts_cumulatively(demo_upstream: DemoUpstreamServer) -> None:
    answer = call(demo_upstream, "/v1/messages", ANTHROPIC, stream=True)
    bodies = chunks(answer)
    assert [event["event"] for event in events(answer)] == [body["type"] for body in bodies]
    assert [body["type"] for body in bodies][:3] == ["message_start", "content_block_start", "ping"]
    start, delta = bodies[0]["message"]["usage"], bodies[-2]["usage"]
    assert start["output_tokens"] == 1
    assert delta["input_tokens"] == start["input_tokens"]
    assert delta["output_tokens"] == call(demo_upstream, "/v1/messages", ANTHROPIC).json()["usage"]["output_tokens"]


@pytest.mark.parametrize(
    ("path", "headers", "limit", "reason"),
    [
        ("/v1/chat/completions", OPENAI, {"max_completion_tokens": 3}, ("choices", 0, "finish_reason", "length")),
        ("/v1/responses", OPENAI, {"max_output_tokens": 3}, ("incomplete_details", "reason", "max_output_tokens")),
        ("/v1/messages", ANTHROPIC, {"max_tokens": 3}, ("stop_reason", "max_tokens")),
    ],
)
def test_a_token_limit_ends_the_answer(
    path: str, headers: dict[str, str], limit: dict[str, int], reason: tuple[Any, ...], demo_upstream: DemoUpstreamServer
) -> None:
    answer = call(demo_upstream, path, headers, **limit).json()
    used = answer["usage"].get("completion_tokens") or answer["usage"]["output_tokens"]
    assert used == 3
    *place, expected = reason
    for step in place:
        answer = answer[step]
    assert answer == expected


@pytest.mark.parametrize(("path", "headers"), SURFACES)
def test_native_headers_come_streamed_and_not(path: str, headers: dict[str, str], demo_upstream: DemoUpstreamServer) -> None:
    openai = {"x-request-id", "openai-processing-ms", "openai-version", "openai-organization", "x-ratelimit-limit-requests"}
    anthropic = {"request-id", "anthropic-organization-id", "anthropic-ratelimit-requests-remaining"}
    expected = (anthropic if headers is ANTHROPIC else openai) | {"x-demo-capture-id", "set-cookie", "cf-ray"}
    for stream in (False, True):
        assert expected <= set(call(demo_upstream, path, headers, stream=stream).headers)


@pytest.mark.parametrize("key", [None, "sk-bad-0001", "sk-other"])
@pytest.mark.parametrize(("path", "headers"), SURFACES)
def test_keys_that_are_not_demo_keys_get_the_native_401(
    path: str, headers: dict[str, str], key: str | None, demo_upstream: DemoUpstreamServer
) -> None:
    anonymous = {name: value for name, value in headers.items() if name == "anthropic-version"}
    answer = call(demo_upstream, path, anonymous | ({"authorization": f"Bearer {key}"} if key else {}))
    assert answer.status_code == 401
    if headers is ANTHROPIC:
        assert answer.json()["error"]["type"] == "authentication_error"
        assert answer.json()["request_id"] == answer.headers["request-id"]
    else:
        assert answer.json()["error"]["type"] == "invalid_request_error"
        assert answer.json()["error"]["code"] == ("invalid_api_key" if key else None)


def test_any_key_can_be_accepted_but_a_bad_one() -> None:
    with DemoUpstreamServer(accept_any_key=True) as server:
        assert call(server, "/v1/responses", {"authorization": "Bearer np_x"}).status_code == 200
        assert call(server, "/v1/responses", {"authorization": "Bearer sk-bad-1"}).status_code == 401


def test_anthropic_wants_a_version(demo_upstream: DemoUpstreamServer) -> None:
    assert call(demo_upstream, "/v1/messages", {"x-api-key": "sk-demo-0001"}).status_code == 400


def test_unknown_models_and_paths_and_methods_are_refused(demo_upstream: DemoUpstreamServer) -> None:
    unknown = call(demo_upstream, "/v1/chat/completions", OPENAI, model="no-such-model")
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "model_not_found")
    unknown = call(demo_upstream, "/v1/messages", ANTHROPIC, model="demo-no-such-model")
    assert (unknown.status_code, unknown.json()["error"]["type"]) == (404, "not_found_error")
    assert call(demo_upstream, "/v1/nothing", OPENAI).status_code == 404
    assert call(demo_upstream, "/v1/models", OPENAI).status_code == 405


@pytest.mark.parametrize("body", [b"{", b"[]", b"{}", b'{"model":7}', b'{"model":"demo"}', b'{"model":"demo","messages":[7]}'])
@pytest.mark.parametrize(("path", "headers"), SURFACES)
def test_bad_bodies_are_400_in_the_dialect(
    path: str, headers: dict[str, str], body: bytes, demo_upstream: DemoUpstreamServer
) -> None:
    answer = httpx2.post(demo_upstream.url + path, content=body, headers=headers, trust_env=False)
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"


def test_embeddings_are_the_same_as_floats_and_as_base64(demo_upstream: DemoUpstreamServer) -> None:
    def ask(**body: Any) -> Any:
        url = f"{demo_upstream.url}/v1/embeddings"
        asked = {"model": "demo", "input": ["one", "two"], "dimensions": 8} | body
        return httpx2.post(url, json=asked, headers=OPENAI, trust_env=False).json()

    floats, packed = ask(), ask(encoding_format="base64")
    assert floats["usage"] == packed["usage"] == {"prompt_tokens": 2, "total_tokens": 2}
    assert floats["data"][0]["embedding"] != floats["data"][1]["embedding"]
    for plain, coded in zip(floats["data"], packed["data"], strict=True):
        assert struct.unpack("<8f", base64.b64decode(coded["embedding"])) == pytest.approx(plain["embedding"])
    assert ask(input=[1, 2, 3])["usage"]["prompt_tokens"] == 3
