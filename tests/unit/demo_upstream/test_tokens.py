"""Counting and composing: the numbers must agree with the text, whatever the text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from navplane_local.demo_upstream import tokens
from navplane_local.demo_upstream.anthropic_usage import AnthropicUsage, count_request
from navplane_local.demo_upstream.exchange import Request
from navplane_local.demo_upstream.reply import compose
from navplane_local.demo_upstream.script import Script


def script(model: str, **headers: str) -> Script:
    sent = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    request = Request(capture_id=1, method="POST", path="/v1/chat/completions", query="", headers=sent, body=b"")
    return Script.of(request, model)


@given(st.text())
def test_the_tokens_of_a_text_are_the_text(text: str) -> None:
    assert "".join(tokens.split(text)) == text


@given(st.text(), st.integers(min_value=1, max_value=60))
def test_a_limit_holds_for_reasoning_and_text_together(prompt: str, limit: int) -> None:
    reply = compose(prompt, script("demo-reasoning"), limit=limit, effort=None)
    assert reply.output_tokens <= limit
    assert reply.truncated == (
        reply.output_tokens < compose(prompt, script("demo-reasoning"), limit=None, effort=None).output_tokens
    )


def test_a_long_reply_has_as_many_tokens_as_asked_for() -> None:
    reply = compose("hi", script("demo-long-1234"), limit=None, effort=None)
    assert len(reply.pieces) == 1234
    assert tokens.split(reply.text) == reply.pieces


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("demo", set()),
        ("demo-cached-no-usage", {"cached", "no-usage"}),
        ("demo-cached-usage-in-choices", {"cached", "usage-in-choices"}),
        ("demo-cutlery", set()),
        ("gpt-cached", set()),
        ("gpt-no-such-model", {"no-such"}),
    ],
)
def test_words_are_read_from_demo_models_alone(model: str, words: set[str]) -> None:
    assert script(model).words == words


def test_a_header_scripts_any_model() -> None:
    assert script("gpt-5", x_demo_script="529").status == 529
    assert script("gpt-5", x_demo_script="cut").has("cut")


@pytest.mark.parametrize(
    ("model", "seconds"), [("demo-slow", 1.0), ("demo-slow-2s", 2.0), ("demo-slow-250ms", 0.25), ("demo", 0.0)]
)
def test_slow_models_say_how_slow(model: str, seconds: float) -> None:
    assert script(model).delay_seconds == seconds


def test_a_delay_can_be_sent_as_a_header() -> None:
    assert script("demo", x_demo_delay_ms="30").delay_seconds == 0.03


def marked(text: str, ttl: str | None = None) -> dict[str, object]:
    return {"type": "text", "text": text, "cache_control": {"type": "ephemeral"} | ({"ttl": ttl} if ttl else {})}


def test_cache_control_splits_the_input_by_ttl_and_loses_nothing() -> None:
    body = {
        "system": [marked("one two three", "1h")],
        "messages": [{"role": "user", "content": [marked("four five"), {"type": "text", "text": "six"}]}],
    }
    usage = AnthropicUsage.of(body, script("demo"))
    assert usage.write_1h == tokens.count("one two three")
    assert usage.write_5m == tokens.PER_MESSAGE + tokens.count("four five")
    assert usage.input_tokens + usage.write_1h + usage.write_5m == count_request(body)
    read = AnthropicUsage.of(body, script("demo-cached"))
    assert (read.write_1h, read.write_5m) == (0, 0)
    assert read.cache_read == usage.write_1h + usage.write_5m


@given(st.text(), st.sampled_from(["demo", "demo-cached", "demo-cache-write", "demo-cached-cache-write"]))
def test_the_four_input_counts_add_up(text: str, model: str) -> None:
    body = {"messages": [{"role": "user", "content": text}]}
    usage = AnthropicUsage.of(body, script(model))
    assert usage.input_tokens + usage.cache_read + usage.write_5m + usage.write_1h == count_request(body)
    assert usage.input_tokens >= 0
