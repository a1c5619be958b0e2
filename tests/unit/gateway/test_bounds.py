"""What a body tells of the most that its request can use."""

import json

import pytest
from navplane.gateway.body import parse
from navplane.gateway.bounds import OVERHEAD_TOKENS, TOOLS_OVERHEAD_TOKENS, worst_of
from navplane.model.limit import Worst
from navplane.model.usage import Endpoint

CHAT, RESPONSES, MESSAGES = Endpoint.CHAT_COMPLETIONS, Endpoint.RESPONSES, Endpoint.MESSAGES


def worst(endpoint: Endpoint, **members: object) -> Worst:
    body = json.dumps({"model": "m", **members}).encode()
    return worst_of(endpoint, parse(body), request_bytes=len(body))


@pytest.mark.parametrize(
    ("endpoint", "members", "output"),
    [
        (CHAT, {"max_tokens": 7}, 7),
        (CHAT, {"max_completion_tokens": 8}, 8),
        (CHAT, {"max_completion_tokens": 8, "max_tokens": 9}, 9),
        (CHAT, {"max_completion_tokens": 8, "n": 3}, 24),
        (CHAT, {"max_tokens": 7, "n": None}, 7),
        (RESPONSES, {"max_output_tokens": 9}, 9),
        (MESSAGES, {"max_tokens": 5}, 5),
        # What the endpoint does not go by bounds nothing.
        (CHAT, {"max_output_tokens": 9}, None),
        (RESPONSES, {"max_tokens": 9}, None),
        (CHAT, {}, None),
        (CHAT, {"max_tokens": None}, None),
        (CHAT, {"max_tokens": True}, None),
        (CHAT, {"max_tokens": -1}, None),
        (CHAT, {"max_tokens": 1.5}, None),
        (CHAT, {"max_tokens": 99_999_999_999}, None),
        (Endpoint.EMBEDDINGS, {"input": "a"}, 0),
    ],
)
def test_output_is_bounded_by_what_the_endpoint_goes_by(
    endpoint: Endpoint, members: dict[str, object], output: int | None
) -> None:
    assert worst(endpoint, **members).output_tokens == output


def test_a_body_holds_no_more_tokens_than_bytes() -> None:
    body = '{"model":"m","input":"héllo"}'.encode()
    assert worst_of(RESPONSES, parse(body), request_bytes=len(body)).input_tokens == len(body) + OVERHEAD_TOKENS


def test_tools_are_described_in_more_words_than_the_body_has() -> None:
    plain = worst(CHAT, tools=[]).input_tokens
    assert worst(CHAT, tools=[{}]).input_tokens == plain + 2 + TOOLS_OVERHEAD_TOKENS


@pytest.mark.parametrize("endpoint", [Endpoint.MODELS, Endpoint.MODEL, Endpoint.COUNT_TOKENS, Endpoint.MODERATIONS])
def test_what_is_free_weighs_nothing(endpoint: Endpoint) -> None:
    assert worst(endpoint, max_tokens=5, previous_response_id="x").is_nothing
    assert worst_of(endpoint, None, request_bytes=0).is_nothing


@pytest.mark.parametrize("endpoint", [Endpoint.IMAGES, Endpoint.IMAGE_EDITS, Endpoint.SPEECH, Endpoint.TRANSCRIPTIONS])
def test_nothing_bounds_images_and_audio(endpoint: Endpoint) -> None:
    bounds = worst(endpoint, input="hi", max_tokens=1)
    assert (bounds.output_tokens, bounds.contexts) == (None, None)


FUNCTION = {"type": "function", "function": {"name": "f"}}
CONTEXTS: list[tuple[Endpoint, dict[str, object], int | None]] = [
    (CHAT, {"messages": [{"role": "user", "content": "hi"}]}, 0),
    (CHAT, {"messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}], "tools": [FUNCTION]}, 0),
    (CHAT, {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x"}}]}]}, 1),
    (CHAT, {"messages": [{"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}]}, 1),
    (CHAT, {"messages": [{"role": "user", "content": [{"type": ["text"]}]}]}, 1),
    (CHAT, {"web_search_options": {}}, None),
    (CHAT, {"web_search_options": None, "plugins": None}, 0),
    (CHAT, {"plugins": [{"id": "web"}]}, None),
    (RESPONSES, {"input": "hi"}, 0),
    (RESPONSES, {"input": [{"role": "user", "content": [{"type": "input_text", "text": "hi"}]}]}, 0),
    (RESPONSES, {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "https://x"}]}]}, 1),
    (RESPONSES, {"input": [{"type": "item_reference", "id": "x"}]}, 1),
    (RESPONSES, {"input": [{"type": "function_call_output", "output": [{"type": "input_file", "file_id": "x"}]}]}, 1),
    (RESPONSES, {"previous_response_id": "resp_1"}, 1),
    (RESPONSES, {"previous_response_id": None}, 0),
    (RESPONSES, {"conversation": "conv_1"}, 1),
    (RESPONSES, {"prompt": {"id": "pmpt_1"}}, 1),
    (RESPONSES, {"tools": [{"type": "web_search"}]}, None),
    (RESPONSES, {"tools": [{"type": "web_search"}], "max_tool_calls": 4}, 5),
    (RESPONSES, {"tools": [{"type": "function", "name": "f"}, {"type": "custom", "name": "g"}]}, 0),
    (MESSAGES, {"messages": [{"role": "user", "content": [{"type": "image", "source": {}}]}]}, 1),
    (MESSAGES, {"messages": [{"role": "user", "content": [{"type": "tool_result", "content": [{"type": "document"}]}]}]}, 1),
    (MESSAGES, {"messages": [{"role": "assistant", "content": [{"type": "tool_use", "input": {"type": "image"}}]}]}, 0),
    (MESSAGES, {"tools": [{"name": "f", "input_schema": {}}]}, 0),
    (MESSAGES, {"tools": [{"type": "bash_20250124", "name": "bash"}]}, 1),
    (MESSAGES, {"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, None),
    (MESSAGES, {"tools": [{"type": "web_search_20250305", "max_uses": 3}]}, 4),
    (MESSAGES, {"tools": [{"type": "web_search_20250305", "max_uses": 3}, {"type": "web_fetch_20250910", "max_uses": 2}]}, 6),
    (MESSAGES, {"tools": [{"type": "web_search_20250305", "max_uses": 3}, {"type": "web_fetch_20250910"}]}, None),
    (MESSAGES, {"mcp_servers": [{"url": "https://x"}]}, None),
]


@pytest.mark.parametrize(("endpoint", "members", "contexts"), CONTEXTS)
def test_what_the_body_does_not_hold_takes_the_models_context(
    endpoint: Endpoint, members: dict[str, object], contexts: int | None
) -> None:
    assert worst(endpoint, **members).contexts == contexts


def test_of_members_that_are_there_twice_the_worse_one_counts() -> None:
    body = b'{"model":"m","input":[{"type":"item_reference"}],"input":"hi"}'
    assert worst_of(RESPONSES, parse(body), request_bytes=len(body)).contexts == 1
