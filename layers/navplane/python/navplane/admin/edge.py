"""The edge of the admin API: what every request meets first and every answer last."""

import asyncio
import hashlib
import json
import time
import traceback
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from navplane.admin import problem
from navplane.admin.idempotency import REPEATED_HEADERS, Answer, Try
from navplane.errors import BadFraming, BodyTooLarge, NavPlaneError
from navplane.model.ids import new_id
from navplane.telemetry import logger

MAX_BODY_BYTES = 256 * 1024
BODY_SECONDS = 30.0
HEADERS = (
    (b"strict-transport-security", b"max-age=31536000; includeSubDomains"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"no-referrer"),
)
# Whose answer is the resource as it now is, and so has a version.
VERSIONED = frozenset({"GET", "PUT", "PATCH"})
MOVED_BY_TRAFFIC = frozenset({"last_used_at", "used", "used_usd", "resets_at"})


class Edge:
    """An id, a bound on the body, the headers, the version, the answer that is kept under an idempotency key, one log line,
    and the 500 that tells nothing."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        outgoing = _Outgoing(scope, str(new_id()), send)
        state = scope.setdefault("state", {})
        state["request_id"] = outgoing.request_id
        try:
            receive, state["body"] = await _bounded(receive)
            await self._app(scope, receive, outgoing.send)
        except (BodyTooLarge, BadFraming) as exc:
            await problem.response(exc, request_id=outgoing.request_id)(scope, receive, outgoing.send)
        except Exception as exc:
            _log_fault(exc, outgoing.request_id)
            if not outgoing.status:
                await problem.response(NavPlaneError(""), request_id=outgoing.request_id)(scope, receive, outgoing.send)
        outgoing.log()
        return None


class _Outgoing:
    """Puts our headers on the answer that is being sent, and remembers what the log line says of it. A JSON answer is held
    until it is whole, because its version is made of it; a stream goes through."""

    def __init__(self, scope: Scope, request_id: str, send: Send) -> None:
        self.request_id, self.status = request_id, 0
        self._scope, self._send, self._started = scope, send, time.monotonic()
        self._held: Message | None = None
        self._body = bytearray()

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            ours = [*HEADERS, (b"x-navplane-request-id", self.request_id.encode())]
            message = {**message, "headers": [*message.get("headers", []), *ours]}
            if self._is_whole(dict(message["headers"])):
                self._held = message
                return
        elif self._held is not None:
            self._body += message.get("body", b"")
            if message.get("more_body", False):
                return
            await self._send(await self._completed(self._held))
            message, self._held = {**message, "body": bytes(self._body)}, None
        await self._send(message)

    def _is_whole(self, headers: dict[bytes, bytes]) -> bool:
        return self._scope["state"].get("attempt") is not None or (
            self.status == 200
            and self._scope["method"] in VERSIONED
            and headers.get(b"content-type") == b"application/json"
            and b"content-length" in headers
        )

    async def _completed(self, start: Message) -> Message:
        """With the version of what is answered; before the caller hears of it, it is kept for who asks again."""
        if self.status == 200 and self._scope["method"] in VERSIONED:
            start = {**start, "headers": [*start["headers"], (b"etag", version_of(json.loads(self._body)).encode())]}
        attempt: Try | None = self._scope["state"].get("attempt")
        if attempt is not None:
            await asyncio.to_thread(self._keep, attempt, start)
        return start

    def _keep(self, attempt: Try, start: Message) -> None:
        headers = {name.decode(): value.decode() for name, value in start["headers"] if name.decode() in REPEATED_HEADERS}
        try:
            attempt.finish(Answer(status=self.status, headers=headers, body=bytes(self._body)))
        except NavPlaneError as exc:
            # The change stands and its caller has the answer; only a repetition would be told that it was lost.
            logger.warning("idempotency.unkept", extra={"request_id": self.request_id, "error": exc.code})

    def log(self) -> None:
        """The route is the template, not the path: ids are for the audit."""
        fields: dict[str, Any] = {
            "request_id": self.request_id,
            "method": self._scope["method"],
            "route": getattr(self._scope.get("route"), "path", None),
            "status": self.status,
            "error_code": self._scope["state"].get("error_code"),
            "duration_ms": int((time.monotonic() - self._started) * 1000),
        }
        logger.info("admin request", extra=fields)


def version_of(shown: Any) -> str:
    """The ETag of a resource, from what is shown of it (JSON values): the same for the same content, whoever asks. What traffic
    alone changes is no part of it."""
    if isinstance(shown, dict):
        shown = {name: value for name, value in shown.items() if name not in MOVED_BY_TRAFFIC}
    canonical = json.dumps(shown, sort_keys=True, separators=(",", ":"))
    return f'"{hashlib.sha256(canonical.encode()).hexdigest()[:32]}"'


def _log_fault(exc: Exception, request_id: str) -> None:
    """Where it happened and of which kind; never its message, which may quote what was sent."""
    frames = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(exc.__traceback__)]
    logger.error("admin fault", extra={"request_id": request_id, "exception": type(exc).__name__, "frames": frames[-12:]})


async def _bounded(receive: Receive) -> tuple[Receive, bytes]:
    """The whole body, read before anything looks at it, and a `receive` that gives it again. Raise BodyTooLarge, or BadFraming
    when it does not come."""
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await _whole(receive)
    except TimeoutError as exc:
        raise BadFraming(f"The body did not arrive within {BODY_SECONDS:.0f} seconds.") from exc


async def _whole(receive: Receive) -> tuple[Receive, bytes]:
    body, more = bytearray(), True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            return receive, b""
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > MAX_BODY_BYTES:
            raise BodyTooLarge(f"The body is larger than {MAX_BODY_BYTES} bytes.")
    waiting = [{"type": "http.request", "body": bytes(body), "more_body": False}]

    async def replay() -> Message:
        return waiting.pop() if waiting else await receive()

    return replay, bytes(body)
