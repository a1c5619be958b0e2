"""An ASGI app on a loopback socket, inside a running event loop."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Generator
from typing import Any

import uvicorn

# uvicorn reports each cut connection as a fault of the app; here a cut is how a broken stream ends.
logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Signals belong to whoever started the local cloud."""
        yield


class Listener:
    def __init__(self, app: Any, bound: socket.socket, *, grace_seconds: int = 10) -> None:
        self._socket = bound
        self._server = _Server(
            uvicorn.Config(
                app, http="httptools", ws="none", loop="asyncio", lifespan="off", access_log=False, log_config=None,
                server_header=False, date_header=True, timeout_graceful_shutdown=grace_seconds,
            )
        )  # fmt: skip
        self._task: asyncio.Task[None] | None = None

    @property
    def port(self) -> int:
        return int(self._socket.getsockname()[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Connections are accepted from here on: the socket listens before the server's task has run."""
        self._socket.listen(512)
        self._task = asyncio.create_task(self._server.serve(sockets=[self._socket]))

    async def stop(self) -> None:
        """Takes no more requests; those under way have `grace_seconds`."""
        self._server.should_exit = True
        if self._task is not None:
            await self._task


def bind(port: int = 0) -> socket.socket:
    """Raise OSError when the port is taken."""
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind(("127.0.0.1", port))
    except OSError:
        bound.close()
        raise
    return bound
