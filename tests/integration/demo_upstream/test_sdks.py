"""The real SDKs, current and previous majors, straight against the demo upstream."""

import pytest

from tests.support.demo_upstream import DemoUpstreamServer
from tests.support.sdk import PYTHONS, Call, run_calls

KEY = "sk-demo-0001"


@pytest.fixture(params=sorted(PYTHONS))
def majors(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def of(calls: list[Call], name: str, model: str = "demo") -> list[Call]:
    return [call for call in calls if call.call == name and call.model == model]


def test_the_openai_sdk_makes_every_call(majors: str, demo_upstream: DemoUpstreamServer) -> None:
    environment = {"OPENAI_BASE_URL": f"{demo_upstream.url}/v1", "OPENAI_API_KEY": KEY}
    calls = run_calls(majors, "openai", environment)
    assert len(calls) == 14
    for name in ("chat.completions", "responses"):
        whole, streamed = of(calls, name)
        assert (whole.usage, whole.text) == (streamed.usage, streamed.text)
        assert streamed.deltas == streamed.usage.output_tokens
        cached, _ = of(calls, name, "demo-cached-cache-write")
        assert (cached.usage.cached_input_tokens, cached.usage.cache_write_5m_tokens) == (
            cached.usage.input_tokens // 2,
            cached.usage.input_tokens // 4,
        )
        reasoned, _ = of(calls, name, "demo-reasoning")
        assert reasoned.usage.reasoning_tokens == 16
        assert reasoned.usage.output_tokens == whole.usage.output_tokens + 16


def test_the_anthropic_sdk_makes_every_call(majors: str, demo_upstream: DemoUpstreamServer) -> None:
    environment = {"ANTHROPIC_BASE_URL": demo_upstream.url, "ANTHROPIC_API_KEY": KEY}
    calls = run_calls(majors, "anthropic", environment)
    assert len(calls) == 10
    plain, plain_streamed, writing, writing_streamed = of(calls, "messages")
    assert (plain.usage, plain.text) == (plain_streamed.usage, plain_streamed.text)
    assert plain_streamed.deltas == plain.usage.output_tokens
    assert writing.usage == writing_streamed.usage
    assert writing.usage.cache_write_1h_tokens > writing.usage.cache_write_5m_tokens > 0
    reasoned, reasoned_streamed = of(calls, "messages", "demo-reasoning")
    assert reasoned.usage == reasoned_streamed.usage
    assert reasoned.usage.reasoning_tokens == 16


def test_an_auth_token_reaches_the_provider_as_a_bearer(majors: str, demo_upstream: DemoUpstreamServer) -> None:
    demo_upstream.clear()
    run_calls(majors, "anthropic", {"ANTHROPIC_BASE_URL": demo_upstream.url, "ANTHROPIC_AUTH_TOKEN": KEY})
    assert {captured.header("authorization") for captured in demo_upstream.requests()} == {f"Bearer {KEY}"}
