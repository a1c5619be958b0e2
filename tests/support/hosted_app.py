"""An ASGI app under the runtime's loop, in this process, with a Runtime API of the test's own."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from typing import Any

from navplane_runtime.client import RuntimeAPI as Client
from navplane_runtime.loop import serve

from tests.support.runtime_api import RuntimeAPI

Scope = dict[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


@asynccontextmanager
async def hosted(app: App, *, concurrency: int = 1) -> AsyncIterator[RuntimeAPI]:
    """Fails with the loop's own exception if that ends before the test does."""
    async with RuntimeAPI() as api:
        loop = asyncio.create_task(serve(app, Client(api.address), concurrency=concurrency))
        try:
            yield api
        finally:
            loop.cancel()
            await asyncio.wait((loop,))
        if not loop.cancelled():
            loop.result()


async def start(send: Send, status: int = 200, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})


async def body(send: Send, data: bytes, *, more: bool = False) -> None:
    await send({"type": "http.response.body", "body": data, "more_body": more})
