"""The ASGI lifespan protocol's first half. There is no second half: Lambda ends a process without a word."""

import asyncio
from typing import Any

from navplane_runtime.loop import App
from navplane_runtime.response import Message


class StartupFailed(Exception):
    """The app said that it can't start, or failed while it did."""


class Unsupported(Exception):
    """The app does not speak the lifespan protocol, which it need not."""


class Lifespan:
    """Starts the app up and keeps its lifespan task alive. `state` is what the app shares with its requests."""

    def __init__(self, app: App) -> None:
        self.state: dict[str, Any] = {}
        self._app = app
        self._task: asyncio.Future[None] | None = None
        self._asked = False
        self._started: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def startup(self) -> None:
        """Raise StartupFailed. An app that gives up before it asked for the first message does not speak the protocol."""
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self.state}
        self._task = asyncio.ensure_future(self._app(scope, self._receive, self._send))
        await asyncio.wait((self._task, self._started), return_when=asyncio.FIRST_COMPLETED)
        if self._started.done():
            self._started.result()
            return
        exc = self._task.exception()
        if exc and self._asked and not isinstance(exc, Unsupported):
            raise StartupFailed(f"the app failed while it started: {exc!r}") from exc

    async def _receive(self) -> Message:
        if self._asked:
            await asyncio.Event().wait()
        self._asked = True
        return {"type": "lifespan.startup"}

    async def _send(self, message: Message) -> None:
        match message["type"]:
            case "lifespan.startup.complete":
                self._started.set_result(None)
            case "lifespan.startup.failed":
                self._started.set_exception(StartupFailed(message.get("message", "")))
            case _:
                raise Unsupported
