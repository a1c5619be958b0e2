"""The edge of the console: an id and the security headers on every answer, one log line, and the 500 that tells nothing."""

import time
import traceback

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from navplane.model.ids import new_id
from navplane.telemetry import logger

# No script or style but our own files, no inline code, no frame around us, no form that leads elsewhere.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = (
    (b"strict-transport-security", b"max-age=31536000; includeSubDomains"),
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"cross-origin-opener-policy", b"same-origin"),
    # Not no-referrer: with that a browser does not say which origin a form was sent from.
    (b"referrer-policy", b"same-origin"),
)
FAULT = b"<!doctype html><title>NavPlane</title><p>Something went wrong on our side. The log has it under the id "


class Edge:
    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        request_id, started, status = str(new_id()), time.monotonic(), 0
        scope.setdefault("state", {})["request_id"] = request_id

        async def dressed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message = {**message, "headers": _dressed(message.get("headers", []), request_id)}
            await send(message)

        try:
            await self._app(scope, receive, dressed)
        except Exception as exc:
            _log_fault(exc, request_id)
            if not status:
                await _fault(dressed, request_id)
        _log(scope, request_id, status, started)
        return None


def _dressed(headers: list[tuple[bytes, bytes]], request_id: str) -> list[tuple[bytes, bytes]]:
    kept = [] if any(name == b"cache-control" for name, _ in headers) else [(b"cache-control", b"no-store")]
    return [*headers, *HEADERS, *kept, (b"x-navplane-request-id", request_id.encode())]


async def _fault(send: Send, request_id: str) -> None:
    body = FAULT + request_id.encode() + b"."
    headers = [(b"content-type", b"text/html; charset=utf-8"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 500, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _log(scope: Scope, request_id: str, status: int, started: float) -> None:
    """The route is the template, not the path: a path may carry a code."""
    fields = {
        "request_id": request_id,
        "method": scope["method"],
        "route": getattr(scope.get("route"), "path", None),
        "status": status,
        "error_code": scope["state"].get("error_code"),
        "duration_ms": int((time.monotonic() - started) * 1000),
    }
    logger.info("console request", extra=fields)


def _log_fault(exc: Exception, request_id: str) -> None:
    """Where it happened and of which kind; never its message, which may quote a token."""
    frames = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(exc.__traceback__)]
    logger.error("console fault", extra={"request_id": request_id, "exception": type(exc).__name__, "frames": frames[-12:]})
