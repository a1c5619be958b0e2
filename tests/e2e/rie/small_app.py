"""An ASGI app for the emulator, with nothing but the standard library: what it does is in the path."""

import asyncio
import hashlib
import json
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]

after_responses: list[str] = []


async def app(scope: dict[str, Any], receive: Callable[[], Awaitable[Message]], send: Send) -> None:
    if scope["type"] == "lifespan":
        raise NotImplementedError
    body = (await receive())["body"]
    await ROUTES[scope["path"]](scope, body, send)


async def start(send: Send, status: int = 200, *headers: tuple[bytes, bytes]) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})


async def finish(send: Send, data: bytes = b"") -> None:
    await send({"type": "http.response.body", "body": data})


async def stream(scope: dict[str, Any], body: bytes, send: Send) -> None:
    await start(send, 200, (b"content-type", b"text/event-stream"))
    for number in range(5):
        await send({"type": "http.response.body", "body": f"data: {number}\n\n".encode(), "more_body": True})
        await asyncio.sleep(0)
    await finish(send)


async def cookies(scope: dict[str, Any], body: bytes, send: Send) -> None:
    got = dict(scope["headers"]).get(b"cookie", b"")
    await start(send, 200, (b"set-cookie", b"a=1; Path=/"), (b"set-cookie", b"b=2"), (b"vary", b"x"), (b"vary", b"y"))
    await finish(send, got)


async def error_before(scope: dict[str, Any], body: bytes, send: Send) -> None:
    raise ValueError("before the headers")


async def error_after(scope: dict[str, Any], body: bytes, send: Send) -> None:
    await start(send)
    await send({"type": "http.response.body", "body": b"half", "more_body": True})
    raise ValueError("after the headers " + "€" * 10_000)


async def work_after(scope: dict[str, Any], body: bytes, send: Send) -> None:
    await start(send)
    await finish(send, ",".join(after_responses).encode())
    await asyncio.sleep(0.05)
    after_responses.append(scope["extensions"]["aws.request_id"])


async def digest(scope: dict[str, Any], body: bytes, send: Send) -> None:
    await start(send)
    await finish(send, hashlib.sha256(body).hexdigest().encode())


async def big(scope: dict[str, Any], body: bytes, send: Send) -> None:
    await start(send)
    for number in range(50):
        await send({"type": "http.response.body", "body": bytes([number]) * 100_000, "more_body": True})
    await finish(send)


async def slow(scope: dict[str, Any], body: bytes, send: Send) -> None:
    await start(send)
    await send({"type": "http.response.body", "body": b"half", "more_body": True})
    await asyncio.Event().wait()


async def request(scope: dict[str, Any], body: bytes, send: Send) -> None:
    shown = {name: scope[name] for name in ("method", "path", "root_path", "client")}
    shown |= {name: scope[name].decode() for name in ("raw_path", "query_string")}
    await start(send)
    await finish(send, json.dumps(shown).encode())


async def modules(scope: dict[str, Any], body: bytes, send: Send) -> None:
    await start(send)
    await finish(send, json.dumps([sys.prefix, *sys.path]).encode())


ROUTES = {
    "/stream": stream,
    "/cookies": cookies,
    "/error-before": error_before,
    "/error-after": error_after,
    "/work-after": work_after,
    "/digest": digest,
    "/big": big,
    "/slow": slow,
    "/request/é": request,
    "/modules": modules,
}
