"""The admin API's application: FastAPI for the resources, and around it what holds for every answer."""

import asyncio
import time
import traceback
from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from navplane import __version__
from navplane.admin import problem
from navplane.admin.plane import Plane
from navplane.errors import BadFraming, BodyTooLarge, NavPlaneError
from navplane.model.ids import new_id
from navplane.telemetry import logger

MAX_BODY_BYTES = 256 * 1024
BODY_SECONDS = 30.0
# What Mangum hands to API Gateway as text; anything else it would encode.
TEXT_TYPES = ["text/", "application/json", problem.MEDIA_TYPE]
HEADERS = (
    (b"strict-transport-security", b"max-age=31536000; includeSubDomains"),
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"no-referrer"),
)


def create(*, title: str, routers: Sequence[APIRouter], plane: Plane) -> FastAPI:
    """One function's application. `routers` are the resources it serves, `plane` what they work with."""
    app = bare(title=title, routers=routers)
    app.state.plane = plane
    return app


def bare(*, title: str, routers: Sequence[APIRouter]) -> FastAPI:
    """The application without anything to work with: enough to describe it."""
    app = FastAPI(
        title=title,
        version=__version__,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
    )
    for router in routers:
        app.include_router(router)
    app.add_exception_handler(NavPlaneError, problem.of_ours)
    app.add_exception_handler(HTTPException, problem.of_routing)
    app.add_exception_handler(RequestValidationError, problem.of_validation)
    app.add_middleware(Edge)
    return app


class Edge:
    """What every request meets first and every answer last: an id, a bound on the body, the headers, one log line, and the
    500 that tells nothing."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        answer = _Answer(str(new_id()), send)
        scope.setdefault("state", {})["request_id"] = answer.request_id
        try:
            await self._app(scope, await _bounded(receive), answer.send)
        except (BodyTooLarge, BadFraming) as exc:
            await problem.response(exc, request_id=answer.request_id)(scope, receive, answer.send)
        except Exception as exc:
            _log_fault(exc, answer.request_id)
            if not answer.status:
                await problem.response(NavPlaneError(""), request_id=answer.request_id)(scope, receive, answer.send)
        answer.log(scope)
        return None


class _Answer:
    """Puts our headers on the answer that is being sent, and remembers what the log line says of it."""

    def __init__(self, request_id: str, send: Send) -> None:
        self.request_id, self.status = request_id, 0
        self._send, self._started = send, time.monotonic()

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            ours = [*HEADERS, (b"x-navplane-request-id", self.request_id.encode())]
            message = {**message, "headers": [*message.get("headers", []), *ours]}
        await self._send(message)

    def log(self, scope: Scope) -> None:
        """The route is the template, not the path: ids are for the audit."""
        fields: dict[str, Any] = {
            "request_id": self.request_id,
            "method": scope["method"],
            "route": getattr(scope.get("route"), "path", None),
            "status": self.status,
            "error_code": scope["state"].get("error_code"),
            "duration_ms": int((time.monotonic() - self._started) * 1000),
        }
        logger.info("admin request", extra=fields)


def _log_fault(exc: Exception, request_id: str) -> None:
    """Where it happened and of which kind; never its message, which may quote what was sent."""
    frames = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(exc.__traceback__)]
    logger.error("admin fault", extra={"request_id": request_id, "exception": type(exc).__name__, "frames": frames[-12:]})


async def _bounded(receive: Receive) -> Receive:
    """The whole body, read before anything looks at it. Raise BodyTooLarge, or BadFraming when it does not come."""
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await _whole(receive)
    except TimeoutError as exc:
        raise BadFraming(f"The body did not arrive within {BODY_SECONDS:.0f} seconds.") from exc


async def _whole(receive: Receive) -> Receive:
    body, more = bytearray(), True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            return receive
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > MAX_BODY_BYTES:
            raise BodyTooLarge(f"The body is larger than {MAX_BODY_BYTES} bytes.")
    waiting = [{"type": "http.request", "body": bytes(body), "more_body": False}]

    async def replay() -> Message:
        return waiting.pop() if waiting else await receive()

    return replay
