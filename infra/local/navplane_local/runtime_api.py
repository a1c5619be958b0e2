"""Lambda's Runtime API for one execution environment: raw asyncio, so that a chunk is passed on when it arrives.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html; RUNTIME_VERSION is the only one there is.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass

from navplane_local.invocation import FunctionError, Invocation, error_from

RUNTIME_VERSION = "2018-06-01"
PREFIX = f"/{RUNTIME_VERSION}/runtime/"
READ_SIZE = 64 * 1024
BUFFERED_RESPONSE_LIMIT = 6 * 1024 * 1024
STREAMED_RESPONSE_LIMIT = 200 * 1024 * 1024
MODE_HEADER = "lambda-runtime-function-response-mode"
ERROR_TYPE_HEADER = "lambda-runtime-function-error-type"
ERROR_BODY_HEADER = "lambda-runtime-function-error-body"


class ProtocolError(Exception):
    """The function's runtime sent what the Runtime API answers with 4xx."""

    def __init__(self, status: int, kind: str, message: str) -> None:
        super().__init__(message)
        self.status, self.kind = status, kind


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    path: str
    headers: dict[str, str]
    reader: asyncio.StreamReader
    trailers: dict[str, str]

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it arrives. Raise asyncio.IncompleteReadError when the connection breaks before its end."""
        if self.headers.get("transfer-encoding", "").lower() == "chunked":
            while size := int((await _line(self.reader)).split(b";")[0], 16):
                async for piece in _exactly(self.reader, size):
                    yield piece
                await self.reader.readexactly(2)
            self.trailers.update(await _headers(self.reader))
        else:
            async for piece in _exactly(self.reader, int(self.headers.get("content-length", "0"))):
                yield piece

    async def body(self) -> bytes:
        return b"".join([piece async for piece in self.chunks()])


class RuntimeApi:
    """`initialised` resolves at the first `/next`, or holds the FunctionError of a failed start. `deliver` hands over one
    invocation; `idle` is set while the function waits for one."""

    def __init__(self, *, streamed_limit: int = STREAMED_RESPONSE_LIMIT) -> None:
        self.initialised: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.idle = asyncio.Event()
        self._streamed_limit = streamed_limit
        self._pending: asyncio.Queue[Invocation] = asyncio.Queue(maxsize=1)
        self._current: Invocation | None = None
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def start(self) -> str:
        """The address for AWS_LAMBDA_RUNTIME_API."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()
        return f"{host}:{port}"

    async def stop(self) -> None:
        """Safe to call twice."""
        if self._server is not None:
            self._server.close()
        connections = list(self._connections)
        for connection in connections:
            connection.cancel()
        if connections:
            await asyncio.wait(connections)

    def deliver(self, invocation: Invocation) -> None:
        self.idle.clear()
        self._current = invocation
        self._pending.put_nowait(invocation)

    def fail(self, error: FunctionError) -> None:
        """The environment is gone: whoever waits for it learns why."""
        if not self.initialised.done():
            self.initialised.set_exception(error)
            self.initialised.exception()
        if self._current is not None:
            self._current.finish(error)
        self.idle.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)
        # Only `stop` cancels, and then there is nobody to tell.
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            while (request := await _request(reader)) is not None and await self._answer(request, writer):
                pass
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    async def _answer(self, request: Request, writer: asyncio.StreamWriter) -> bool:
        """Whether the connection may be used again: after an early 4xx the rest of the body is still under way."""
        try:
            await self._dispatch(request, writer)
        except ProtocolError as exc:
            body = json.dumps({"errorType": exc.kind, "errorMessage": str(exc)}).encode()
            await _reply(writer, exc.status, body, {"Connection": "close"})
            return False
        return True

    async def _dispatch(self, request: Request, writer: asyncio.StreamWriter) -> None:
        match (request.method, request.path.removeprefix(PREFIX).split("/")):
            case ("GET", ["invocation", "next"]):
                await self._next(writer)
            case ("POST", ["invocation", request_id, "response"]):
                await self._response(self._invocation(request_id), request)
                await _reply(writer, 202, b'{"status":"OK"}\n')
            case ("POST", ["invocation", request_id, "error"]):
                invocation = self._invocation(request_id)
                invocation.finish(error_from(request.headers.get(ERROR_TYPE_HEADER), await request.body()))
                await _reply(writer, 202, b'{"status":"OK"}\n')
            case ("POST", ["init", "error"]):
                self.fail(error_from(request.headers.get(ERROR_TYPE_HEADER), await request.body()))
                await _reply(writer, 202, b'{"status":"OK"}\n')
            case _:
                raise ProtocolError(404, "NotFound", f"{request.method} {request.path}")

    async def _next(self, writer: asyncio.StreamWriter) -> None:
        if self._current is not None:
            self._current.finish(
                FunctionError("Runtime.NoResponse", "The function asked for the next event without an answer.")
            )
            self._current = None
        if not self.initialised.done():
            self.initialised.set_result(None)
        self.idle.set()
        invocation = await self._pending.get()
        await _reply(writer, 200, invocation.event, invocation.headers())

    def _invocation(self, request_id: str) -> Invocation:
        if self._current is None or self._current.request_id != request_id:
            raise ProtocolError(400, "InvalidRequestID", "There is no such invocation.")
        if self._current.responding:
            raise ProtocolError(400, "InvalidStateTransition", "The invocation was answered before.")
        return self._current

    async def _response(self, invocation: Invocation, request: Request) -> None:
        streams = request.headers.get(MODE_HEADER, "").lower() == "streaming"
        limit = self._streamed_limit if streams else BUFFERED_RESPONSE_LIMIT
        invocation.begin(streaming=streams, content_type=request.headers.get("content-type", ""))
        size = 0
        try:
            async for piece in request.chunks():
                size += len(piece)
                if size > limit:
                    raise ProtocolError(413, "RequestEntityTooLarge", f"The response is larger than {limit} bytes.")
                await invocation.feed(piece)
        except ProtocolError as exc:
            invocation.finish(FunctionError("Function.ResponseSizeTooLarge", str(exc)))
            raise
        except asyncio.IncompleteReadError:
            invocation.finish(FunctionError("Runtime.TruncatedResponse", "The function's response broke off."))
            raise
        invocation.finish(_trailing_error(request.trailers))


def _trailing_error(trailers: dict[str, str]) -> FunctionError | None:
    if ERROR_TYPE_HEADER not in trailers:
        return None
    return FunctionError(trailers[ERROR_TYPE_HEADER], trailers.get(ERROR_BODY_HEADER, ""))


async def _request(reader: asyncio.StreamReader) -> Request | None:
    line = await reader.readline()
    if not line.strip():
        return None
    method, path, _ = line.decode("latin-1").split(" ", 2)
    return Request(method, path, await _headers(reader), reader, {})


async def _headers(reader: asyncio.StreamReader) -> dict[str, str]:
    headers = {}
    while line := (await _line(reader)).strip():
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.lower()] = value.strip()
    return headers


async def _line(reader: asyncio.StreamReader) -> bytes:
    return await reader.readuntil(b"\n")


async def _exactly(reader: asyncio.StreamReader, size: int) -> AsyncIterator[bytes]:
    while size > 0:
        piece = await reader.read(min(size, READ_SIZE))
        if not piece:
            raise asyncio.IncompleteReadError(b"", size)
        size -= len(piece)
        yield piece


REASONS = {200: "OK", 202: "Accepted", 400: "Bad Request", 404: "Not Found", 413: "Payload Too Large"}


async def _reply(writer: asyncio.StreamWriter, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
    fields = {"Content-Type": "application/json", "Content-Length": str(len(body)), **(headers or {})}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    writer.write(f"HTTP/1.1 {status} {REASONS[status]}\r\n{head}\r\n".encode("latin-1") + body)
    await writer.drain()
