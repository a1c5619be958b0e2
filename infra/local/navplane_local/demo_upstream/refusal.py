"""A provider's refusals, each in the dialect of the surface that was called."""

from typing import Any

from navplane_local.demo_upstream.exchange import Answer, Dialect, Headers, ProviderError, Request, json_answer
from navplane_local.demo_upstream.native_headers import native_headers

_ANTHROPIC_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_MESSAGES = {
    401: "The demo upstream was asked to refuse this key.",
    403: "Your account is not allowed to use this model.",
    429: "Rate limit reached for requests. Please try again in 1s.",
    503: "The engine is currently overloaded, please try again later.",
    529: "Overloaded",
}
_RETRIED = frozenset({408, 409, 429})


def of_status(status: int) -> ProviderError:
    """The refusal that `demo-<status>` asks for."""
    message = _MESSAGES.get(status, f"The demo upstream was asked to answer {status}.")
    kind, code = {401: (None, "invalid_api_key"), 429: ("requests", "rate_limit_exceeded")}.get(status, (None, None))
    headers: Headers = (("retry-after", "1"), ("retry-after-ms", "1000")) if status == 429 else ()
    return ProviderError(status, message, kind=kind, code=code, headers=headers)


def render(request: Request, error: ProviderError) -> Answer:
    native = dict(native_headers(request.dialect))
    native |= _exhausted(request.dialect) if error.status == 429 else {}
    native |= dict(error.headers)
    native |= {"x-should-retry": str(error.status in _RETRIED or error.status >= 500).lower()}
    return json_answer(error_body(request.dialect, error, native), status=error.status, headers=tuple(native.items()))


def error_body(dialect: Dialect, error: ProviderError, native: dict[str, str] | None = None) -> dict[str, Any]:
    if dialect is Dialect.OPENAI:
        kind = error.kind or ("server_error" if error.status >= 500 else "invalid_request_error")
        return {"error": {"message": error.message, "type": kind, "param": error.param, "code": error.code}}
    kind = _ANTHROPIC_TYPES.get(error.status, "api_error" if error.status >= 500 else "invalid_request_error")
    body: dict[str, Any] = {"type": "error", "error": {"type": kind, "message": error.message}}
    return body | ({"request_id": native["request-id"]} if native else {})


def _exhausted(dialect: Dialect) -> dict[str, str]:
    if dialect is Dialect.OPENAI:
        return {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "1s"}
    return {"anthropic-ratelimit-requests-remaining": "0"}
