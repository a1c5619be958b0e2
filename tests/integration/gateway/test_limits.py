"""What a limit's refusal says in the caller's dialect, and that a call weighs what it used."""

import json
from datetime import UTC, datetime
from uuid import UUID

import pytest
from navplane.model.ids import new_id
from navplane.model.limit import Limit, LimitKind, LimitMode, LimitScope, ModelPrice, window_of
from navplane.model.usage import Outcome

from tests.integration.gateway.conftest import Application
from tests.support.provider import FakeProvider, json_answer

CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
SURFACES = [
    (CHAT, {"model": "gpt-5", "messages": [], "max_completion_tokens": 5}),
    (MESSAGES, {"model": "claude-opus-5", "messages": [], "max_tokens": 5}),
]
BUDGETS = [kind for kind in LimitKind if kind.is_budget]
RATES = [LimitKind.REQUESTS_PER_MINUTE, LimitKind.REQUESTS_PER_HOUR, LimitKind.TOKENS_PER_MINUTE]


def limited(application: Application, kind: LimitKind, amount: int, *, mode: LimitMode = LimitMode.STRICT) -> None:
    gate, org_id = application.server.gate, application.tenant.org_id
    for provider, model in (("openai", "gpt-5"), ("anthropic", "claude-opus-5")):
        gate.set_price(provider, model, ModelPrice(input_nano_usd=1, output_nano_usd=1))
    scope = LimitScope.ORGANIZATION
    gate.set_limit(org_id, Limit(id=new_id(), scope=scope, scope_id=org_id, kind=kind, amount=amount, mode=mode))


def refused(application: Application, path: str, body: dict[str, object]) -> tuple[int, dict[str, str], dict[str, str]]:
    """Status, the error and the headers."""
    response = application.post(path, json.dumps(body).encode())
    row = application.row()
    assert (row.outcome, row.status, row.attempts) == (Outcome.REFUSED, response.status_code, 0)
    return response.status_code, response.json()["error"], dict(response.headers)


def resets(kind: LimitKind) -> set[str]:
    """The minute may pass while a test runs."""
    ends_at = window_of(kind, datetime.now(UTC)).ends_at
    assert ends_at is not None
    return {f"It resets at {moment:%Y-%m-%dT%H:%M:%SZ}." for moment in (ends_at,)}


@pytest.mark.parametrize("kind", BUDGETS)
@pytest.mark.parametrize(("path", "body"), SURFACES)
def test_a_spent_budget_is_not_worth_another_try_and_says_when_it_resets(
    application: Application, provider: FakeProvider, path: str, body: dict[str, object], kind: LimitKind
) -> None:
    limited(application, kind, 0)
    before = len(provider.requests)
    status, error, headers = refused(application, path, body)
    if path == CHAT:
        assert (status, error["type"], error["code"]) == (429, "insufficient_quota", "budget_exceeded")
    else:
        assert (status, error["type"]) == (402, "billing_error")
    assert headers["x-should-retry"] == "false"
    assert "retry-after" not in headers
    assert any(reset in error["message"] for reset in resets(kind))
    assert len(provider.requests) == before


@pytest.mark.parametrize("kind", RATES)
@pytest.mark.parametrize(("path", "body"), SURFACES)
def test_a_reached_rate_says_when_to_come_again(
    application: Application, path: str, body: dict[str, object], kind: LimitKind
) -> None:
    limited(application, kind, 0)
    status, error, headers = refused(application, path, body)
    assert (status, error["type"]) == (429, "rate_limit_error")
    assert path == MESSAGES or error["code"] == "rate_limit_exceeded"
    assert 1 <= int(headers["retry-after"]) <= 60
    assert "x-should-retry" not in headers
    assert kind.value.replace("_", " ") in error["message"]


@pytest.mark.parametrize(("path", "body"), SURFACES)
def test_too_many_streams_are_worth_another_try_soon(application: Application, path: str, body: dict[str, object]) -> None:
    limited(application, LimitKind.CONCURRENT_STREAMS, 0)
    status, error, headers = refused(application, path, {**body, "stream": True})
    assert (status, error["type"], headers["retry-after"]) == (429, "rate_limit_error", "1")


@pytest.mark.parametrize(("path", "body"), SURFACES)
def test_what_has_no_bound_is_a_bad_request_under_a_strict_limit(
    application: Application, path: str, body: dict[str, object]
) -> None:
    limited(application, LimitKind.TOKENS_PER_MONTH, 10**9)
    status, error, headers = refused(application, path, {**body, "mcp_servers": [{}]})
    assert (status, error["type"], headers["x-should-retry"]) == (400, "invalid_request_error", "false")
    assert path == MESSAGES or error["code"] == "unbounded_request"


def test_a_model_without_a_price_is_a_bad_request_under_a_budget_in_usd(application: Application) -> None:
    limited(application, LimitKind.USD_PER_DAY, 10**9)
    status, error, _ = refused(application, CHAT, {"model": "gpt-unheard-of", "messages": [], "max_tokens": 1})
    assert (status, error["code"], error["param"]) == (400, "model_unpriced", "model")


def test_a_call_weighs_its_tokens_once_it_is_over_and_its_money_stays_held(
    application: Application, provider: FakeProvider
) -> None:
    provider.script(json_answer(b'{"model":"gpt-5","usage":{"prompt_tokens":7,"completion_tokens":3}}'))
    limited(application, LimitKind.TOKENS_PER_DAY, 10**6)
    limited(application, LimitKind.USD_PER_DAY, 10**9)
    path, body = SURFACES[0]
    assert application.post(path, json.dumps(body).encode()).status_code == 200
    row = application.row()
    request_id: UUID = row.request_id
    charge = application.server.gate.charge_of(request_id)
    assert charge.tokens == row.usage.total_tokens == 10
    assert charge.nano_usd == len(json.dumps(body)) + 64 + 5
