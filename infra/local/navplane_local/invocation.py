"""One invocation: an event in, an answer out as it comes, and how it ended."""

import asyncio
import json
import time
from collections import deque
from collections.abc import AsyncIterator
from uuid import uuid4

PIECES_IN_FLIGHT = 64


class FunctionError(Exception):
    """The function failed. `kind` is Lambda's error type, such as `Sandbox.Timedout` or the exception's name."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(f"{kind}: {message}")
        self.kind, self.message = kind, message


class FunctionTimeout(FunctionError):
    def __init__(self, seconds: float) -> None:
        super().__init__("Sandbox.Timedout", f"The function did not end within {seconds:g} seconds.")


class TooManyRequests(Exception):
    """Every environment that the function may have is busy."""


def error_from(kind: str | None, body: bytes) -> FunctionError:
    """From what a runtime posts to `/error`: `{"errorMessage", "errorType", "stackTrace"}`."""
    try:
        report = json.loads(body)
        return FunctionError(kind or report["errorType"], str(report["errorMessage"]))
    except (ValueError, KeyError, TypeError):
        return FunctionError(kind or "Runtime.Unknown", body[:2000].decode(errors="replace"))


class Invocation:
    """`await started` gives up with FunctionError if the function fails before its answer begins. The answer is then read
    once, with `chunks` or `payload`; both raise FunctionError where it breaks off. `ended` is set once it is complete."""

    def __init__(self, event: bytes, *, arn: str, timeout_seconds: float) -> None:
        self.request_id = str(uuid4())
        self.event = event
        self.timeout_seconds = timeout_seconds
        self.streaming = False
        self.content_type = ""
        self.responding = False
        self.ended = asyncio.Event()
        self.error: FunctionError | None = None
        self._arn = arn
        self._deadline_ms = 0
        self._started = asyncio.Event()
        self._pieces: deque[bytes] = deque()
        self._arrived, self._taken = asyncio.Event(), asyncio.Event()

    def headers(self) -> dict[str, str]:
        """What goes with the event to the function; the deadline counts from the moment it was set."""
        return {
            "Lambda-Runtime-Aws-Request-Id": self.request_id,
            "Lambda-Runtime-Deadline-Ms": str(self._deadline_ms),
            "Lambda-Runtime-Invoked-Function-Arn": self._arn,
            "Lambda-Runtime-Trace-Id": f"Root=1-{int(time.time()):08x}-{uuid4().hex[:24]};Sampled=0",
        }

    def set_deadline(self) -> None:
        self._deadline_ms = int((time.time() + self.timeout_seconds) * 1000)

    async def started(self) -> None:
        await self._started.wait()
        if self.error is not None and not self.responding:
            raise self.error

    def begin(self, *, streaming: bool, content_type: str) -> None:
        self.responding, self.streaming, self.content_type = True, streaming, content_type
        self._started.set()

    async def feed(self, piece: bytes) -> None:
        """Waits while the reader is behind: that is the function's backpressure."""
        self._pieces.append(piece)
        self._arrived.set()
        while len(self._pieces) >= PIECES_IN_FLIGHT and not self.ended.is_set():
            self._taken.clear()
            await self._taken.wait()

    def finish(self, error: FunctionError | None) -> None:
        """The first end counts."""
        if self.ended.is_set():
            return
        self.error = error
        for event in (self.ended, self._started, self._arrived, self._taken):
            event.set()

    async def chunks(self) -> AsyncIterator[bytes]:
        while self._pieces or not self.ended.is_set():
            if self._pieces:
                self._taken.set()
                yield self._pieces.popleft()
            else:
                self._arrived.clear()
                await self._arrived.wait()
        if self.error is not None:
            raise self.error

    async def payload(self) -> bytes:
        await self.started()
        return b"".join([piece async for piece in self.chunks()])
