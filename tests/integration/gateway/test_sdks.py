"""The unmodified SDKs: what they send arrives, what they expect comes back, and errors are the classes they know."""

from collections.abc import Iterator
from typing import Any

import anthropic
import openai
import pytest
from navplane.model.usage import Outcome, Usage

from tests.integration.gateway.conftest import Application
from tests.support.provider import Cut, FakeProvider, json_answer, stream

COMPLETION = (
    b'{"id":"c","object":"chat.completion","created":1,"model":"gpt-5","choices":[{"index":0,"finish_reason":"stop",'
    b'"message":{"role":"assistant","content":"Hello"}}],"usage":{"prompt_tokens":3,"completion_tokens":1,"total_tokens":4}}'
)
CHUNK = b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"gpt-5","choices":[%s],"usage":%s}\n\n'
TEXT = CHUNK % (b'{"index":0,"delta":{"content":"Hi"},"finish_reason":null}', b"null")
USAGE = CHUNK % (b"", b'{"prompt_tokens":3,"completion_tokens":1,"total_tokens":4}')
DONE = b"data: [DONE]\n\n"
MESSAGE = (
    b'{"id":"m","type":"message","role":"assistant","model":"claude-opus-5","content":[{"type":"text","text":"Hello"}],'
    b'"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":3,"output_tokens":1}}'
)
EVENTS = [
    b'event: message_start\ndata: {"type":"message_start","message":{"id":"m","type":"message","role":"assistant",'
    b'"model":"claude-opus-5","content":[],"stop_reason":null,"stop_sequence":null,'
    b'"usage":{"input_tokens":3,"output_tokens":1}}}\n\n',
    b'event: content_block_start\ndata: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}\n\n',
    b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hi"}}\n\n',
    b'event: content_block_stop\ndata: {"type":"content_block_stop","index":0}\n\n',
    b'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},'
    b'"usage":{"output_tokens":7}}\n\n',
    b'event: message_stop\ndata: {"type":"message_stop"}\n\n',
]
SAY_HI: Any = [{"role": "user", "content": "hi"}]


@pytest.fixture
def openai_sdk(application: Application) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{application.server.url}/v1", api_key=application.tenant.key, max_retries=2) as sdk:
        yield sdk


@pytest.fixture
def anthropic_sdk(application: Application) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=application.server.url, api_key=application.tenant.key, max_retries=2) as sdk:
        yield sdk


def test_openai_calls(openai_sdk: openai.OpenAI, application: Application, provider: FakeProvider) -> None:
    provider.script(json_answer(COMPLETION, headers=[("x-request-id", "req_9")]))
    completion = openai_sdk.chat.completions.create(model="gpt-5", messages=SAY_HI)
    assert completion.choices[0].message.content == "Hello"
    assert completion._request_id == "req_9"
    assert application.row().usage == Usage(input_tokens=3, output_tokens=1)


def test_openai_streams_without_the_usage_chunk_it_did_not_ask_for(
    openai_sdk: openai.OpenAI, application: Application, provider: FakeProvider
) -> None:
    provider.script(stream([TEXT, USAGE, DONE]))
    chunks = list(openai_sdk.chat.completions.create(model="gpt-5", messages=SAY_HI, stream=True))
    assert [chunk.choices[0].delta.content for chunk in chunks] == ["Hi"]
    assert application.row().usage == Usage(input_tokens=3, output_tokens=1)


def test_openai_streams_with_the_usage_chunk_it_asked_for(openai_sdk: openai.OpenAI, provider: FakeProvider) -> None:
    provider.script(stream([TEXT, USAGE, DONE]))
    options: Any = {"include_usage": True}
    chunks = list(openai_sdk.chat.completions.create(model="gpt-5", messages=SAY_HI, stream=True, stream_options=options))
    assert chunks[-1].to_dict()["usage"] == {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}


def test_openai_raises_when_a_stream_breaks(
    openai_sdk: openai.OpenAI, application: Application, provider: FakeProvider
) -> None:
    provider.script(stream([TEXT, Cut()], end=False))
    with pytest.raises(openai.APIError) as caught:
        list(openai_sdk.chat.completions.create(model="gpt-5", messages=SAY_HI, stream=True))
    assert caught.value.code == "upstream_cut"
    assert application.row().outcome is Outcome.FAILED


def test_openai_raises_when_a_responses_stream_breaks(openai_sdk: openai.OpenAI, provider: FakeProvider) -> None:
    provider.script(stream([Cut()], end=False))
    with pytest.raises(openai.APIError):
        list(openai_sdk.responses.create(model="gpt-5", input="hi", stream=True))


def test_openai_sees_its_own_error_classes_and_does_not_retry_ours(
    openai_sdk: openai.OpenAI, application: Application, provider: FakeProvider
) -> None:
    before = len(application.server.gate.asks)
    application.server.gate.set_enabled(application.tenant.org_id, False)
    with pytest.raises(openai.PermissionDeniedError) as caught:
        openai_sdk.chat.completions.create(model="gpt-5", messages=SAY_HI)
    assert caught.value.code == "organization_disabled"
    assert caught.value.request_id == str(application.row().request_id)
    application.server.gate.revoke(application.tenant.caller.key_id)
    with pytest.raises(openai.AuthenticationError):
        openai_sdk.chat.completions.create(model="gpt-5", messages=SAY_HI)
    assert len(application.server.gate.asks) == before + 2


def test_rejected_provider_key_is_not_retried(openai_sdk: openai.OpenAI, provider: FakeProvider) -> None:
    provider.script(json_answer(b"{}", "401 Unauthorized"))
    before = len(provider.requests)
    with pytest.raises(openai.InternalServerError) as caught:
        openai_sdk.chat.completions.create(model="gpt-5", messages=SAY_HI)
    assert caught.value.code == "provider_key_rejected"
    assert len(provider.requests) == before + 1


def test_anthropic_calls(anthropic_sdk: anthropic.Anthropic, application: Application, provider: FakeProvider) -> None:
    provider.script(json_answer(MESSAGE, headers=[("request-id", "req_8")]))
    message = anthropic_sdk.messages.create(model="claude-opus-5", max_tokens=9, messages=SAY_HI)
    assert [block.to_dict()["text"] for block in message.content] == ["Hello"]
    assert message._request_id == "req_8"
    assert application.row().usage == Usage(input_tokens=3, output_tokens=1)


def test_anthropic_streams(anthropic_sdk: anthropic.Anthropic, application: Application, provider: FakeProvider) -> None:
    provider.script(stream(EVENTS))
    with anthropic_sdk.messages.stream(model="claude-opus-5", max_tokens=9, messages=SAY_HI) as stream_:
        assert stream_.get_final_text() == "Hi"
    assert application.row().usage == Usage(input_tokens=3, output_tokens=7)


def test_anthropic_raises_when_a_stream_breaks(
    anthropic_sdk: anthropic.Anthropic, application: Application, provider: FakeProvider
) -> None:
    provider.script(stream([*EVENTS[:3], Cut()], end=False))
    with (
        pytest.raises(anthropic.APIStatusError, match="broke off"),
        anthropic_sdk.messages.stream(model="claude-opus-5", max_tokens=9, messages=SAY_HI) as stream_,
    ):
        stream_.get_final_text()
    assert application.row().outcome is Outcome.FAILED


def test_anthropic_sees_its_own_error_classes(
    anthropic_sdk: anthropic.Anthropic, application: Application, provider: FakeProvider
) -> None:
    application.server.gate.remove_provider_keys(application.tenant.org_id)
    with pytest.raises(anthropic.BadRequestError, match="provider-keys"):
        anthropic_sdk.messages.create(model="claude-opus-5", max_tokens=9, messages=SAY_HI)
    with pytest.raises(anthropic.NotFoundError):
        anthropic_sdk.messages.create(model="nobody-serves-this", max_tokens=9, messages=SAY_HI)
    assert provider.requests == [] or all(b"nobody" not in request.body for request in provider.requests)
