"""A provider of raw bytes: it answers exactly what a test wrote, and keeps exactly what it received.

An answer is a list of steps: bytes to send, or a Pause, Hang or Cut. Nothing is parsed or added on the way.
"""

import asyncio
import threading
from collections.abc import Coroutine, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """One request. `headers` are as they came: order, case and repeats."""

    method: str
    target: str
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes

    def all(self, name: str) -> list[str]:
        return [value.decode("latin-1") for found, value in self.headers if found.lower() == name.encode()]

    @property
    def raw(self) -> bytes:
        """Everything that came, for looking for what must not be there."""
        lines = b"".join(name + b": " + value + b"\r\n" for name, value in self.headers)
        return self.target.encode() + b"\r\n" + lines + self.body


@dataclass(frozen=True, slots=True, eq=False)
class Pause:
    """Go on when the test calls `release`."""

    released: threading.Event = field(default_factory=threading.Event)

    def release(self) -> None:
        self.released.set()


class Hang:
    """Send nothing more until the other side has closed the connection."""


class Cut:
    """Break off: a reset, not an orderly end."""


class Close:
    """End the connection in order."""


Step = bytes | Pause | Hang | Cut | Close


def answer(
    status: str = "200 OK", *, headers: Iterable[tuple[str, str]] = (), body: bytes = b"", length: int | None = None
) -> list[Step]:
    """A whole answer with a content-length (`length`, where it should lie)."""
    fields = [*headers, ("content-length", str(len(body) if length is None else length))]
    return [head(status, fields) + body]


def json_answer(body: bytes, status: str = "200 OK", *, headers: Iterable[tuple[str, str]] = ()) -> list[Step]:
    return answer(status, headers=[("content-type", "application/json"), *headers], body=body)


def stream(events: Sequence[bytes | Step], *, headers: Iterable[tuple[str, str]] = (), end: bool = True) -> list[Step]:
    """An event stream in chunked coding, one chunk for each of `events`."""
    fields = [("content-type", "text/event-stream; charset=utf-8"), ("transfer-encoding", "chunked"), *headers]
    steps: list[Step] = [head("200 OK", fields)]
    steps += [chunk(event) if isinstance(event, bytes) else event for event in events]
    return [*steps, b"0\r\n\r\n"] if end else steps


def head(status: str, headers: Iterable[tuple[str, str]]) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
    return f"HTTP/1.1 {status}\r\n{lines}\r\n".encode("latin-1")


def chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


class FakeProvider:
    """A context manager. `script` sets the answer for all requests from then on."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._received: list[Received] = []
        self._steps: list[Step] = answer("404 Not Found")
        self._turns: list[list[Step]] = []
        self.connections = 0
        self.closed_by_peer = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="fake-provider")
        self._listening = threading.Event()
        self._stop = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._conversations: set[asyncio.Task[None]] = set()
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def requests(self) -> list[Received]:
        with self._changed:
            return list(self._received)

    @property
    def last(self) -> Received:
        return self.requests[-1]

    def script(self, steps: Sequence[Step]) -> None:
        self._steps, self._turns = list(steps), []

    def script_in_turn(self, *answers: Sequence[Step]) -> None:
        """One answer for each request, the last one for all that follow."""
        self._turns, self._steps = [list(steps) for steps in answers[:-1]], list(answers[-1])

    def wait_for_requests(self, count: int) -> list[Received]:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self._received) >= count, SECONDS), "the provider was not called"
            return list(self._received)

    def wait_until_closed_by_peer(self, count: int = 1) -> None:
        """The other side gave up so many connections on which an answer was under way."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.closed_by_peer >= count, SECONDS), "the connection stayed open"

    @contextmanager
    def down(self) -> Iterator[None]:
        """Meanwhile nobody listens on the port, and open connections are closed."""
        self._on_loop(self._hang_up())
        try:
            yield
        finally:
            self._on_loop(self._listen())

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._listening.wait(SECONDS)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(SECONDS)
        assert not self._thread.is_alive(), "the fake provider did not stop"

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        await self._listen()
        self._listening.set()
        await self._stop.wait()
        await self._hang_up()

    async def _listen(self) -> None:
        """On a free port, and on the same one ever after."""
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port, limit=1 << 26)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _hang_up(self) -> None:
        assert self._server is not None
        self._server.close()
        conversations = list(self._conversations)
        for conversation in conversations:
            conversation.cancel()
        await asyncio.gather(*conversations, return_exceptions=True)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = self._loop.create_task(self._converse(reader, writer))
        self._conversations.add(task)
        task.add_done_callback(self._conversations.discard)

    def _on_loop(self, work: Coroutine[None, None, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(SECONDS)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (request := await _read_request(reader)) is not None:
                with self._changed:
                    self._received.append(request)
                    self._changed.notify_all()
                if not await self._play(self._turns.pop(0) if self._turns else list(self._steps), reader, writer):
                    return
        except (ConnectionError, asyncio.IncompleteReadError):
            self._note_closed()
        finally:
            writer.close()

    async def _play(self, steps: list[Step], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Whether the connection may carry another request."""
        for step in steps:
            match step:
                case bytes():
                    writer.write(step)
                    await writer.drain()
                case Pause():
                    if not await self._released(step, reader):
                        return False
                case Hang():
                    await reader.read(1)
                    self._note_closed()
                    return False
                case Cut():
                    writer.transport.abort()
                    return False
                case Close():
                    return False
        return True

    async def _released(self, pause: Pause, reader: asyncio.StreamReader) -> bool:
        """False when the other side left first."""
        leaving = asyncio.ensure_future(reader.read(1))
        try:
            while not pause.released.is_set():
                await asyncio.wait((leaving,), timeout=0.005)
                if leaving.done():
                    self._note_closed()
                    return False
        finally:
            leaving.cancel()
        return True

    def _note_closed(self) -> None:
        with self._changed:
            self.closed_by_peer += 1
            self._changed.notify_all()


async def _read_request(reader: asyncio.StreamReader) -> Received | None:
    try:
        lines = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
    except asyncio.IncompleteReadError:
        return None
    method, target, _ = lines[0].decode("latin-1").split(" ")
    headers = tuple((name, value.strip()) for name, _, value in (line.partition(b":") for line in lines[1:] if line))
    lengths = [int(value) for name, value in headers if name.lower() == b"content-length"]
    body = await reader.readexactly(lengths[0]) if lengths else b""
    return Received(method=method, target=target, headers=headers, body=body)
