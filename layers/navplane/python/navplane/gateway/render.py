"""Our refusals and errors as the SDKs expect them: in the dialect of the surface that was called (docs: integrate, errors)."""

import json
from dataclasses import dataclass
from typing import Any

from navplane.errors import (
    AmbiguousModel,
    BudgetExceeded,
    DependencyUnavailable,
    ModelNotAllowed,
    ModelNotFound,
    ModelUnpriced,
    NavPlaneError,
    RateLimited,
)
from navplane.model.dialect import Dialect
from navplane.model.usage import Endpoint

MAX_RATE_LIMIT_WAIT = 60
MAX_DEPENDENCY_WAIT = 2
SECURITY_HEADERS = (
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"no-referrer"),
    (b"strict-transport-security", b"max-age=63072000; includeSubDomains"),
    (b"x-content-type-options", b"nosniff"),
)

_ANTHROPIC_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes


def render(error: NavPlaneError, dialect: Dialect, request_id: str) -> Rendered:
    body = json.dumps(error_body(error, dialect, request_id)).encode()
    native = b"request-id" if dialect is Dialect.ANTHROPIC else b"x-request-id"
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (native, request_id.encode()),
        (b"x-navplane-request-id", request_id.encode()),
        *_retry_headers(error),
        *SECURITY_HEADERS,
    ]
    return Rendered(status=status_of(error, dialect), headers=tuple(headers), body=body)


def error_event(error: NavPlaneError, endpoint: Endpoint, dialect: Dialect, request_id: str) -> bytes:
    """The error as the last event of a stream that has begun. No end mark follows: the stream did not end well."""
    body = error_body(error, dialect, request_id)
    if dialect is Dialect.ANTHROPIC:
        return b"event: error\ndata: " + json.dumps(body).encode() + b"\n\n"
    if endpoint in (Endpoint.RESPONSES, Endpoint.RESPONSE):
        # Its events are named and typed, and SDKs raise on `error`: this one is read either way.
        typed = {"type": "error", **{name: body["error"][name] for name in ("code", "message", "param")}, **body}
        return b"event: error\ndata: " + json.dumps(typed).encode() + b"\n\n"
    return b"data: " + json.dumps(body).encode() + b"\n\n"


def error_body(error: NavPlaneError, dialect: Dialect, request_id: str) -> dict[str, Any]:
    if dialect is Dialect.ANTHROPIC:
        kind = _ANTHROPIC_TYPES.get(status_of(error, dialect)) or _by_class(error, "api_error")
        return {"type": "error", "error": {"type": kind, "message": error.message}, "request_id": request_id}
    param = "model" if isinstance(error, AmbiguousModel | ModelNotAllowed | ModelNotFound | ModelUnpriced) else None
    return {"error": {"message": error.message, "type": _openai_type(error), "param": param, "code": error.code}}


def status_of(error: NavPlaneError, dialect: Dialect) -> int:
    """Anthropic's SDK knows a spent budget by 402."""
    return 402 if dialect is Dialect.ANTHROPIC and isinstance(error, BudgetExceeded) else error.status


def _openai_type(error: NavPlaneError) -> str:
    if isinstance(error, BudgetExceeded):
        return "insufficient_quota"
    return "rate_limit_error" if error.status == 429 else _by_class(error, "server_error")


def _by_class(error: NavPlaneError, server_error: str) -> str:
    return "invalid_request_error" if 400 <= error.status < 500 else server_error


def _retry_headers(error: NavPlaneError) -> list[tuple[bytes, bytes]]:
    """Both SDKs try 408, 409, 429 and every 5xx again unless told not to, and wait as long as Retry-After says."""
    if not error.retry:
        return [(b"x-should-retry", b"false")]
    if isinstance(error, RateLimited):
        return [(b"retry-after", str(min(MAX_RATE_LIMIT_WAIT, error.retry_after or 1)).encode())]
    if isinstance(error, DependencyUnavailable):
        return [(b"retry-after", str(min(MAX_DEPENDENCY_WAIT, error.retry_after or 1)).encode())]
    return []
