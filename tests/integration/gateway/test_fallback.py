"""Fallback chains: where trying again is safe, where only a route that says so goes on, and what the row says of it."""

import json
import threading
from collections import Counter
from collections.abc import Iterator

import pytest
from navplane.gateway.limits import Limits
from navplane.model.dialect import Dialect
from navplane.model.ids import new_id
from navplane.model.route import Route, Target
from navplane.model.usage import Outcome, UsageQuality

from tests.integration.gateway.conftest import Application
from tests.support.gateway import PROVIDER_SECRET, GatewayServer, sealed_key
from tests.support.provider import Close, Cut, FakeProvider, Hang, Step, answer, json_answer, stream

CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
OPENAI_USAGE = b'"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}'
ANTHROPIC_USAGE = b'"usage":{"input_tokens":3,"output_tokens":2}'
WHOLE = {
    CHAT: b'{"id":"c","model":"m","choices":[],%s}' % OPENAI_USAGE,
    MESSAGES: b'{"id":"msg","type":"message","model":"m","content":[],"stop_reason":"end_turn",%s}' % ANTHROPIC_USAGE,
}
EVENTS = {
    CHAT: [b'data: {"choices":[{"delta":{"content":"Hi"}}]}\n\n', b'data: {"choices":[],%s}\n\n' % OPENAI_USAGE,
           b"data: [DONE]\n\n"],
    MESSAGES: [
        b'event: message_start\ndata: {"type":"message_start","message":{"usage":{"input_tokens":3,"output_tokens":1}}}\n\n',
        b'event: message_delta\ndata: {"type":"message_delta","delta":{},"usage":{"output_tokens":2}}\n\n',
        b'event: message_stop\ndata: {"type":"message_stop"}\n\n',
    ],
}  # fmt: skip
# From which provider and model to which.
CHAINS = {
    "openai": (CHAT, Dialect.OPENAI, ("openai", "gpt-5"), ("google", "gemini-3")),
    "anthropic": (MESSAGES, Dialect.ANTHROPIC, ("anthropic", "claude-opus-5"), ("anthropic", "claude-haiku-5")),
    "gemini": (CHAT, Dialect.OPENAI, ("google", "gemini-3"), ("openai", "gpt-5")),
}
FREE: dict[str, tuple[list[Step], int]] = {
    "429": (json_answer(b'{"error":{"message":"slow down"}}', "429 Too Many Requests"), 429),
    "500": (json_answer(b'{"error":{}}', "500 Oops"), 500),
    "503 in HTML": (answer("503 Down", headers=[("content-type", "text/html")], body=b"<h1>down"), 503),
    "529": (json_answer(b'{"type":"error"}', "529 Overloaded"), 529),
    "key refused": (json_answer(b'{"error":{}}', "401 Unauthorized"), 401),
}
COSTLY: dict[str, tuple[list[Step], str]] = {
    "closed": ([Close()], "upstream_unreachable"),
    "reset": ([Cut()], "upstream_unreachable"),
    "cut in headers": ([b"HTTP/1.1 200 OK\r\ncontent-ty", Cut()], "upstream_unreachable"),
    "hang": ([Hang()], "upstream_timeout"),
    "garbage": ([b"this is not HTTP\r\n\r\n", Close()], "upstream_error"),
}


@pytest.fixture(scope="module")
def server(provider: FakeProvider) -> Iterator[GatewayServer]:
    """Impatient, so that silence is noticed at once."""
    urls = dict.fromkeys(("openai", "anthropic", "google"), provider.url) | {"groq": "http://127.0.0.1:9"}
    with GatewayServer(urls, limits=Limits(first_byte=0.2, first_byte_streamed=0.2, admission_age=0.1)) as running:
        yield running


@pytest.fixture
def application(application: Application) -> Application:
    for name in ("google", "groq"):
        application.server.gate.add_provider_key(sealed_key(application.tenant.org_id, name))
    return application


def route(application: Application, dialect: Dialect, *targets: Target, when_billed: bool = False) -> None:
    made = Route(
        id=new_id(), name="chain \u00e9", match="fast", dialect=dialect, targets=targets, fallback_when_billed=when_billed
    )
    application.server.gate.set_route(application.tenant.org_id, made)


def chained(application: Application, chain: str, *, when_billed: bool = False) -> tuple[str, tuple[str, str], tuple[str, str]]:
    path, dialect, first, second = CHAINS[chain]
    targets = [Target(provider=name, model=model, step=step) for step, (name, model) in enumerate((first, second))]
    route(application, dialect, *targets, when_billed=when_billed)
    return path, first, second


def ask(*, streamed: bool) -> bytes:
    return json.dumps({"model": "fast", "stream": streamed, "stream_options": {"include_usage": True}}).encode()


def good(path: str, *, streamed: bool) -> list[Step]:
    return stream(EVENTS[path]) if streamed else json_answer(WHOLE[path])


def body_of(path: str, *, streamed: bool) -> bytes:
    return b"".join(EVENTS[path]) if streamed else WHOLE[path]


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("chain", CHAINS)
@pytest.mark.parametrize("fault", FREE)
def test_what_cost_nothing_is_tried_elsewhere(
    application: Application, provider: FakeProvider, fault: str, chain: str, streamed: bool
) -> None:
    path, first, second = chained(application, chain)
    steps, status = FREE[fault]
    provider.script_in_turn(steps, good(path, streamed=streamed))
    answered = application.post(path, ask(streamed=streamed))
    assert (answered.status_code, answered.content) == (200, body_of(path, streamed=streamed))
    assert answered.headers["x-navplane-route"] == "chain %C3%A9"
    assert [json.loads(request.body)["model"] for request in provider.requests[-2:]] == [first[1], second[1]]
    row = application.row()
    assert (row.outcome, row.usage_quality, row.usage.input_tokens, row.usage.output_tokens) == (
        Outcome.OK, UsageQuality.EXACT, 3, 2,
    )  # fmt: skip
    assert (row.provider, row.model, row.upstream_model, row.route, row.attempts) == (
        second[0],
        "fast",
        second[1],
        "chain \u00e9",
        2,
    )
    assert row.attempt_log is not None
    assert [(one["provider"], one["model"], one["status"]) for one in row.attempt_log] == [(*first, status), (*second, 200)]


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("chain", CHAINS)
@pytest.mark.parametrize("fault", COSTLY)
def test_what_may_have_cost_something_is_not_tried_again(
    application: Application, provider: FakeProvider, fault: str, chain: str, streamed: bool
) -> None:
    path, first, _ = chained(application, chain)
    steps, code = COSTLY[fault]
    provider.script_in_turn(steps, good(path, streamed=streamed))
    before = len(provider.requests)
    answered = application.post(path, ask(streamed=streamed))
    assert answered.status_code in (502, 504)
    assert len(provider.requests) == before + 1
    row = application.row()
    assert (row.provider, row.error_code, row.outcome, row.usage_quality) == (
        first[0], code, Outcome.FAILED, UsageQuality.ESTIMATED,
    )  # fmt: skip
    assert row.usage.input_tokens > 0


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("chain", CHAINS)
@pytest.mark.parametrize("fault", COSTLY)
def test_a_route_may_go_on_all_the_same_and_the_usage_counts_as_estimated(
    application: Application, provider: FakeProvider, fault: str, chain: str, streamed: bool
) -> None:
    path, _, second = chained(application, chain, when_billed=True)
    steps, code = COSTLY[fault]
    provider.script_in_turn(steps, good(path, streamed=streamed))
    answered = application.post(path, ask(streamed=streamed))
    assert (answered.status_code, answered.content) == (200, body_of(path, streamed=streamed))
    row = application.row()
    assert (row.provider, row.outcome, row.usage_quality) == (second[0], Outcome.OK, UsageQuality.ESTIMATED)
    assert row.usage.output_tokens == 2
    assert row.attempt_log is not None
    assert [(one["status"], one["error"]) for one in row.attempt_log] == [(None, code), (200, None)]


def test_a_provider_nobody_reaches_is_passed_over(application: Application, provider: FakeProvider) -> None:
    route(application, Dialect.OPENAI, Target(provider="groq", model="a"), Target(provider="openai", model="b", step=1))
    provider.script(json_answer(WHOLE[CHAT]))
    assert application.post(CHAT, ask(streamed=False)).status_code == 200
    row = application.row()
    assert row.attempt_log is not None
    assert [(one["provider"], one["error"]) for one in row.attempt_log] == [("groq", "upstream_unreachable"), ("openai", None)]
    assert (row.usage_quality, row.outcome) == (UsageQuality.EXACT, Outcome.OK)


def test_a_refusal_of_the_request_itself_is_the_answer(application: Application, provider: FakeProvider) -> None:
    path, _, _ = chained(application, "openai")
    refusal = b'{"error":{"message":"no such parameter"}}'
    provider.script_in_turn(json_answer(refusal, "400 Bad Request"), json_answer(WHOLE[path]))
    answered = application.post(path, ask(streamed=False))
    assert (answered.status_code, answered.content) == (400, refusal)


def test_when_all_failed_the_last_answer_is_the_callers(application: Application, provider: FakeProvider) -> None:
    path, _, second = chained(application, "openai")
    provider.script_in_turn(json_answer(b"{}", "500 Oops"), json_answer(b'{"last":1}', "429 Too Many Requests"))
    answered = application.post(path, ask(streamed=False))
    assert (answered.status_code, answered.content) == (429, b'{"last":1}')
    row = application.row()
    assert (row.provider, row.outcome, row.usage.total_tokens) == (second[0], Outcome.FAILED, 0)


def test_nothing_is_tried_again_after_the_first_byte(application: Application, provider: FakeProvider) -> None:
    path, first, _ = chained(application, "openai", when_billed=True)
    provider.script_in_turn(stream([EVENTS[path][0], Cut()], end=False), good(path, streamed=True))
    answered = application.post(path, ask(streamed=True))
    assert answered.content.startswith(EVENTS[path][0])
    assert b"upstream_cut" in answered.content
    row = application.row()
    assert (row.provider, row.outcome, row.attempts) == (first[0], Outcome.FAILED, 1)


def test_without_a_route_the_first_answer_stays_however_many_keys_there_are(
    application: Application, provider: FakeProvider
) -> None:
    application.server.gate.add_provider_key(sealed_key(application.tenant.org_id, "openai", "sk-second"))
    provider.script_in_turn(json_answer(b'{"error":{}}', "503 Down"), json_answer(WHOLE[CHAT]))
    answered = application.post(CHAT, b'{"model":"gpt-5"}')
    assert answered.status_code == 503
    row = application.row()
    assert (row.attempts, row.attempt_log, row.route) == (1, None, None)


def test_a_key_that_failed_is_left_alone_for_a_while(application: Application, provider: FakeProvider) -> None:
    second = "sk-second-key"
    application.server.gate.add_provider_key(sealed_key(application.tenant.org_id, "openai", second))
    provider.script(json_answer(b'{"error":{}}', "429 Too Many Requests", headers=[("retry-after", "30")]))
    failed = application.post(CHAT, b'{"model":"gpt-5"}')
    assert failed.status_code == 429
    cooling = provider.last.all("authorization")[0]
    provider.script(json_answer(WHOLE[CHAT]))
    used = [_key_used(application, provider) for _ in range(6)]
    assert set(used) == {f"Bearer {PROVIDER_SECRET}", f"Bearer {second}"} - {cooling}


def test_a_key_without_an_alternative_is_used_although_it_failed(application: Application, provider: FakeProvider) -> None:
    provider.script(json_answer(b'{"error":{}}', "429 Too Many Requests", headers=[("retry-after", "30")]))
    assert application.post(CHAT, b'{"model":"gpt-5"}').status_code == 429
    provider.script(json_answer(WHOLE[CHAT]))
    assert application.post(CHAT, b'{"model":"gpt-5"}').status_code == 200


def test_calls_are_shared_by_weight(application: Application, provider: FakeProvider) -> None:
    route(
        application,
        Dialect.OPENAI,
        Target(provider="openai", model="heavy", weight=9),
        Target(provider="google", model="light", weight=1),
    )
    provider.script(json_answer(WHOLE[CHAT]))
    seen: Counter[str] = Counter()
    for _ in range(60):
        application.post(CHAT, ask(streamed=False))
        seen[json.loads(provider.last.body)["model"]] += 1
    # 60 draws of 9 : 1: fewer than 40 heavy ones would come once in a billion runs.
    assert seen["heavy"] >= 40
    assert seen["heavy"] + seen["light"] == 60


def test_an_admission_that_ages_during_a_chain_is_confirmed_before_each_try(
    application: Application, provider: FakeProvider
) -> None:
    """The first try takes longer than an admission is believed; meanwhile the organization is switched off."""
    path, _, _ = chained(application, "openai", when_billed=True)
    provider.script_in_turn([Hang()], good(path, streamed=False))
    before = len(provider.requests)
    gate = application.server.gate

    def switch_off() -> None:
        provider.wait_for_requests(before + 1)
        gate.set_enabled(application.tenant.org_id, enabled=False)

    thread = threading.Thread(target=switch_off)
    thread.start()
    answered = application.post(path, ask(streamed=False))
    thread.join()
    assert answered.status_code == 403
    assert len(provider.requests) == before + 1


def _key_used(application: Application, provider: FakeProvider) -> str:
    assert application.post(CHAT, b'{"model":"gpt-5"}').status_code == 200
    return provider.last.all("authorization")[0]
