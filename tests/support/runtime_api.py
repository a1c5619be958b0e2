"""A Lambda Runtime API to test the runtime against: raw sockets, because what matters is which bytes arrive when."""

import asyncio
import base64
import json
import struct
import time
from socket import SO_LINGER, SOL_SOCKET
from types import TracebackType
from typing import Any, Self

PREFIX = "/2018-06-01/runtime/"
PRELUDE_END = b"\0" * 8
Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter


class Invocation:
    """One event, how to treat its response, and what came of it. `chunks` are HTTP chunks, in the order of their arrival."""

    def __init__(self, request_id: str, event: object, *, seconds: float, headers: dict[str, str]) -> None:
        self.request_id = request_id
        self.body = json.dumps(event).encode()
        self.deadline_ms = int((time.time() + seconds) * 1000)
        self.extra_headers = headers
        # The test's hand on the response: answer this after n chunks and read no more, or reset the connection instead.
        self.refuse_with: tuple[int, int] | None = None
        self.reset_after: int | None = None
        self.final_status = 202
        self.may_read = asyncio.Event()
        self.may_read.set()
        self.may_accept = asyncio.Event()
        self.may_accept.set()
        self.request_headers: dict[str, str] = {}
        self.chunks: list[bytes] = []
        self.trailers: dict[str, str] = {}
        self.error: dict[str, Any] | None = None
        self.error_headers: dict[str, str] = {}
        self.done = asyncio.Event()
        self._changed = asyncio.Condition()

    @property
    def prelude(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.chunks[0].removesuffix(PRELUDE_END))
        return document

    @property
    def content(self) -> bytes:
        return b"".join(self.chunks[1:])

    @property
    def error_body(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(base64.b64decode(self.trailers["lambda-runtime-function-error-body"]))
        return document

    async def arrived(self, chunks: int) -> None:
        """Wait until so many chunks, the prelude included, are here."""
        async with self._changed:
            await asyncio.wait_for(self._changed.wait_for(lambda: len(self.chunks) >= chunks), 20)

    async def finished(self) -> None:
        await asyncio.wait_for(self.done.wait(), 20)

    async def take(self, chunk: bytes) -> None:
        async with self._changed:
            self.chunks.append(chunk)
            self._changed.notify_all()


class RuntimeAPI:
    """`journal` has every call and every end of a response, in the order in which they came."""

    def __init__(self) -> None:
        self.journal: list[str] = []
        self.init_errors: list[dict[str, Any]] = []
        self.restore_errors: list[dict[str, Any]] = []
        self.restored = asyncio.Event()
        # How many of the coming /next calls are answered by closing the connection.
        self.close_next = 0
        self.next_status = 200
        self.connections = 0
        self._pending: asyncio.Queue[Invocation] = asyncio.Queue()
        self._invocations: dict[str, Invocation] = {}
        self._handlers: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Condition()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self._server.close()
        await self.drop_connections()

    def invoke(self, event: object, *, seconds: float = 60, headers: dict[str, str] | None = None) -> Invocation:
        invocation = Invocation(f"request-{len(self._invocations)}", event, seconds=seconds, headers=headers or {})
        self._invocations[invocation.request_id] = invocation
        self._pending.put_nowait(invocation)
        return invocation

    async def drop_connections(self) -> None:
        """Close every connection, the one that waits in /next included."""
        for task in list(self._handlers):
            task.cancel()
        await asyncio.gather(*self._handlers, return_exceptions=True)

    async def journal_has(self, entry: str, times: int = 1) -> None:
        async with self._changed:
            await asyncio.wait_for(self._changed.wait_for(lambda: self.journal.count(entry) >= times), 20)

    async def _note(self, entry: str) -> None:
        async with self._changed:
            self.journal.append(entry)
            self._changed.notify_all()

    async def _connected(self, reader: Reader, writer: Writer) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._handlers.add(task)
        self.connections += 1
        try:
            while True:
                await self._request(reader, writer)
        except (EOFError, OSError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            self._handlers.discard(task)

    async def _request(self, reader: Reader, writer: Writer) -> None:
        _method, path, headers = await read_head(reader)
        call = path.removeprefix(PREFIX)
        if call == "invocation/next":
            await self._next(writer)
        elif call == "restore/next":
            await self._note("restore/next")
            await self.restored.wait()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        elif call.endswith("/response"):
            await self._response(self._invocations[call.split("/")[1]], headers, reader, writer)
        else:
            await self._error(call, headers, json.loads(await reader.readexactly(int(headers["content-length"]))))
            writer.write(status_line(202))

    async def _next(self, writer: Writer) -> None:
        await self._note("next")
        if self.close_next:
            self.close_next -= 1
            raise EOFError
        if self.next_status != 200:
            writer.write(status_line(self.next_status))
            return
        invocation = await self._pending.get()
        headers = {
            "Lambda-Runtime-Aws-Request-Id": invocation.request_id,
            "Lambda-Runtime-Deadline-Ms": str(invocation.deadline_ms),
            "Lambda-Runtime-Trace-Id": f"Root=1-{invocation.request_id}",
            "Content-Length": str(len(invocation.body)),
            **invocation.extra_headers,
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        writer.write(f"HTTP/1.1 200 OK\r\n{head}\r\n".encode("latin-1") + invocation.body)

    async def _response(self, invocation: Invocation, headers: dict[str, str], reader: Reader, writer: Writer) -> None:
        await self._note(f"response {invocation.request_id}")
        invocation.request_headers = headers
        while True:
            await invocation.may_read.wait()
            if invocation.refuse_with and len(invocation.chunks) >= invocation.refuse_with[0]:
                await self._refuse(invocation.refuse_with[1], writer)
            if invocation.reset_after is not None and len(invocation.chunks) >= invocation.reset_after:
                self._reset(writer)
            size = int(await reader.readuntil(b"\r\n"), 16)
            if size == 0:
                break
            await invocation.take((await reader.readexactly(size + 2))[:-2])
        while line := (await reader.readuntil(b"\r\n")).strip():
            name, _, value = line.decode().partition(": ")
            invocation.trailers[name.lower()] = value
        await self._note(f"end {invocation.request_id}")
        await invocation.may_accept.wait()
        writer.write(status_line(invocation.final_status))
        await self._note(f"accepted {invocation.request_id}")
        invocation.done.set()

    async def _refuse(self, status: int, writer: Writer) -> None:
        """Answer early and stop reading, with the connection left open: the worst that a server may do."""
        writer.write(status_line(status))
        await asyncio.Event().wait()

    def _reset(self, writer: Writer) -> None:
        writer.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
        raise EOFError

    async def _error(self, call: str, headers: dict[str, str], document: dict[str, Any]) -> None:
        await self._note(call)
        if call == "init/error":
            self.init_errors.append(document)
        elif call == "restore/error":
            self.restore_errors.append(document)
        else:
            invocation = self._invocations[call.split("/")[1]]
            invocation.error, invocation.error_headers = document, headers
            invocation.done.set()


async def read_head(reader: Reader) -> tuple[str, str, dict[str, str]]:
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").strip().split("\r\n")
    method, path, _ = first.split(" ")
    return method, path, {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}


def status_line(status: int) -> bytes:
    return f"HTTP/1.1 {status} Whatever\r\nContent-Length: 2\r\n\r\n{{}}".encode()


def function_url_event(**changes: Any) -> dict[str, Any]:
    """A GET /, and what a test changes of it; `requestContext` is merged."""
    context = {"stage": "$default", "http": {"method": "GET", "protocol": "HTTP/1.1", "sourceIp": "192.0.2.7"}}
    event = {
        "version": "2.0",
        "rawPath": "/",
        "rawQueryString": "",
        "headers": {"host": "np.example"},
        "isBase64Encoded": False,
    }
    return {**event, **changes, "requestContext": {**context, **changes.get("requestContext", {})}}


def rest_event(**changes: Any) -> dict[str, Any]:
    context = {"stage": "live", "identity": {"sourceIp": "192.0.2.8"}, "protocol": "HTTP/1.1"}
    event: dict[str, Any] = {
        "resource": "/{proxy+}",
        "path": "/",
        "httpMethod": "GET",
        "headers": {"Host": "np.example"},
        "multiValueHeaders": {"Host": ["np.example"]},
        "queryStringParameters": None,
        "multiValueQueryStringParameters": None,
        "body": None,
        "isBase64Encoded": False,
    }
    return {**event, **changes, "requestContext": {**context, **changes.get("requestContext", {})}}
