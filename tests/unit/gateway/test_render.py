"""Errors in both dialects: the table that the SDKs were read against."""

import json

import pytest
from navplane import errors
from navplane.gateway.render import error_event, render
from navplane.model.dialect import Dialect
from navplane.model.usage import Endpoint

ID = "0199aaaa-0000-7000-8000-000000000000"
INVALID, RATE, SERVER = "invalid_request_error", "rate_limit_error", "server_error"
NO_RETRY = {"x-should-retry": "false"}

# error, OpenAI (status, type, code), Anthropic (status, type), headers about retries
TABLE = [
    (errors.InvalidAPIKey("m"), (401, INVALID, "invalid_api_key"), (401, "authentication_error"), NO_RETRY),
    (errors.OrganizationDisabled("m"), (403, INVALID, "organization_disabled"), (403, "permission_error"), NO_RETRY),
    (errors.RegionMismatch("m"), (403, INVALID, "region_mismatch"), (403, "permission_error"), NO_RETRY),
    (errors.ModelNotAllowed("m"), (403, INVALID, "model_not_allowed"), (403, "permission_error"), NO_RETRY),
    (errors.ModelNotFound("m"), (404, INVALID, "model_not_found"), (404, "not_found_error"), NO_RETRY),
    (errors.UnknownEndpoint("m"), (404, INVALID, "unknown_endpoint"), (404, "not_found_error"), NO_RETRY),
    (errors.MethodNotAllowed("m"), (405, INVALID, "method_not_allowed"), (405, INVALID), NO_RETRY),
    (
        errors.ProviderKeyMissing("m"),
        (400, INVALID, "provider_key_missing"),
        (400, INVALID),
        NO_RETRY,
    ),
    (errors.BudgetExceeded("m"), (429, "insufficient_quota", "budget_exceeded"), (402, "billing_error"), NO_RETRY),
    (errors.RateLimited("m", retry_after=9), (429, RATE, "rate_limit_exceeded"), (429, RATE), {"retry-after": "9"}),
    (errors.RateLimited("m", retry_after=3600), (429, RATE, "rate_limit_exceeded"), (429, RATE), {"retry-after": "60"}),
    (errors.BodyTooLarge("m"), (413, INVALID, "request_too_large"), (413, "request_too_large"), NO_RETRY),
    (errors.InvalidJSON("m"), (400, INVALID, "invalid_json"), (400, INVALID), NO_RETRY),
    (errors.AmbiguousModel("m"), (400, INVALID, "invalid_model"), (400, INVALID), NO_RETRY),
    (errors.AmbiguousCredentials("m"), (400, INVALID, "ambiguous_credentials"), (400, INVALID), NO_RETRY),
    (errors.UnsupportedMediaType("m"), (415, INVALID, "unsupported_media_type"), (415, INVALID), NO_RETRY),
    (errors.HeadersTooLarge("m"), (431, INVALID, "headers_too_large"), (431, INVALID), NO_RETRY),
    (errors.LoopDetected("m"), (508, SERVER, "loop_detected"), (508, "api_error"), NO_RETRY),
    (errors.ProviderKeyRejected("m"), (502, SERVER, "provider_key_rejected"), (502, "api_error"), NO_RETRY),
    (errors.UpstreamUnreachable("m"), (502, SERVER, "upstream_unreachable"), (502, "api_error"), {}),
    (errors.UpstreamTimeout("m"), (504, SERVER, "upstream_timeout"), (504, "timeout_error"), NO_RETRY),
    (errors.DependencyUnavailable("m"), (503, SERVER, "unavailable"), (503, "api_error"), {"retry-after": "1"}),
    (errors.DependencyUnavailable("m", retry_after=30), (503, SERVER, "unavailable"), (503, "api_error"), {"retry-after": "2"}),
    (errors.KeyUnavailable("m"), (503, SERVER, "key_unavailable"), (503, "api_error"), {"retry-after": "1"}),
    (errors.NavPlaneError("m"), (500, SERVER, "internal_error"), (500, "api_error"), NO_RETRY),
]  # fmt: skip


def retry_headers(headers: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name in ("x-should-retry", "retry-after")}


def rendered(error: errors.NavPlaneError, dialect: Dialect) -> tuple[int, dict[str, str], dict[str, object]]:
    result = render(error, dialect, ID)
    headers = {name.decode(): value.decode() for name, value in result.headers}
    assert int(headers["content-length"]) == len(result.body)
    return result.status, headers, json.loads(result.body)


@pytest.mark.parametrize(("error", "openai", "anthropic", "retry"), TABLE, ids=lambda value: getattr(value, "code", None))
def test_error_is_what_each_sdk_expects(
    error: errors.NavPlaneError, openai: tuple[int, str, str], anthropic: tuple[int, str], retry: dict[str, str]
) -> None:
    status, headers, body = rendered(error, Dialect.OPENAI)
    param = "model" if "model" in error.code else None
    assert (status, body) == (openai[0], {"error": {"message": "m", "type": openai[1], "param": param, "code": openai[2]}})
    assert retry_headers(headers) == retry
    assert headers["x-request-id"] == headers["x-navplane-request-id"] == ID

    status, headers, body = rendered(error, Dialect.ANTHROPIC)
    expected = {"type": "error", "error": {"type": anthropic[1], "message": "m"}, "request_id": ID}
    assert (status, body) == (anthropic[0], expected)
    assert retry_headers(headers) == retry
    assert headers["request-id"] == headers["x-navplane-request-id"] == ID
    assert "x-request-id" not in headers


def test_own_answers_carry_the_security_headers() -> None:
    _, headers, _ = rendered(errors.InvalidAPIKey("m"), Dialect.OPENAI)
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["strict-transport-security"].startswith("max-age=")
    assert "server" not in headers


def test_error_in_an_openai_chat_stream_is_a_plain_data_event() -> None:
    event = error_event(errors.UpstreamCut("broke"), Endpoint.CHAT_COMPLETIONS, Dialect.OPENAI, ID)
    assert event.startswith(b"data: {")
    assert event.endswith(b"\n\n")
    error = {"message": "broke", "type": SERVER, "param": None, "code": "upstream_cut"}
    assert json.loads(event[6:]) == {"error": error}
    assert b"[DONE]" not in event


def test_error_in_a_responses_stream_is_named_and_typed_too() -> None:
    event = error_event(errors.UpstreamCut("broke"), Endpoint.RESPONSES, Dialect.OPENAI, ID)
    name, data = event.split(b"\n", 1)
    assert name == b"event: error"
    body = json.loads(data[6:])
    assert (body["type"], body["code"], body["message"]) == ("error", "upstream_cut", "broke")
    assert body["error"]["code"] == "upstream_cut"


def test_error_in_an_anthropic_stream_is_an_error_event() -> None:
    event = error_event(errors.OrganizationDisabled("off"), Endpoint.MESSAGES, Dialect.ANTHROPIC, ID)
    name, data = event.split(b"\n", 1)
    assert name == b"event: error"
    expected = {"type": "error", "error": {"type": "permission_error", "message": "off"}, "request_id": ID}
    assert json.loads(data[6:]) == expected
