"""The Lambda Runtime API, as https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html and runtimes-custom.html say it."""

import asyncio
import base64
import time
from dataclasses import dataclass

from navplane_runtime.fault import Fault
from navplane_runtime.http1 import CONNECTION_LOST, Answer, BadAnswer, Connection, request_head

RUNTIME = "/2018-06-01/runtime"
ERROR_TYPE = "Lambda-Runtime-Function-Error-Type"
ERROR_BODY = "Lambda-Runtime-Function-Error-Body"
STREAMING = {
    "Lambda-Runtime-Function-Response-Mode": "streaming",
    "Transfer-Encoding": "chunked",
    "Content-Type": "application/vnd.awslambda.http-integration-response",
    "Trailer": f"{ERROR_TYPE}, {ERROR_BODY}",
}


class RuntimeAPIError(Exception):
    """The Runtime API refused something that no retry can mend."""


class ResponseRefused(OSError):
    """The Runtime API takes no more of this response: it is too large, too late, or nobody reads it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Invocation:
    """`deadline` is in seconds of the monotonic clock. `invocation_id` is echoed where the platform sent one."""

    request_id: str
    event: bytes
    deadline: float
    trace_id: str | None
    invocation_id: str | None

    @property
    def echo(self) -> dict[str, str]:
        return {"Lambda-Runtime-Invocation-Id": self.invocation_id} if self.invocation_id else {}


def parse_invocation(answer: Answer) -> Invocation:
    if answer.status != 200:
        raise RuntimeAPIError(f"/next answered {answer.status}")
    headers = answer.headers
    try:
        request_id, deadline_ms = headers["lambda-runtime-aws-request-id"], int(headers["lambda-runtime-deadline-ms"])
    except (KeyError, ValueError) as exc:
        raise BadAnswer(f"/next answered without a request id or a deadline: {exc!r}") from exc
    # The header is wall-clock time; only the distance to it is kept, because the wall clock may be set meanwhile.
    seconds_left = deadline_ms / 1000 - time.time()
    return Invocation(
        request_id=request_id,
        event=answer.body,
        deadline=time.monotonic() + seconds_left,
        trace_id=headers.get("lambda-runtime-trace-id"),
        invocation_id=headers.get("lambda-runtime-invocation-id"),
    )


class RuntimeAPI:
    """Everything but `/next`: each call has a connection of its own."""

    def __init__(self, address: str) -> None:
        """`address` is AWS_LAMBDA_RUNTIME_API: host:port."""
        self.host, _, port = address.rpartition(":")
        self.port = int(port)
        self._host_header = {"Host": address}

    async def open(self) -> Connection:
        return await Connection.open(self.host, self.port)

    def head(self, method: str, path: str, headers: dict[str, str]) -> bytes:
        return request_head(method, RUNTIME + path, self._host_header | headers)

    async def respond(self, invocation: Invocation) -> "ResponseStream":
        """Begin the response. Raise OSError if the Runtime API can't be reached."""
        connection = await self.open()
        connection.write(self.head("POST", f"/invocation/{invocation.request_id}/response", STREAMING | invocation.echo))
        return ResponseStream(connection)

    async def invocation_error(self, invocation: Invocation, fault: Fault) -> None:
        """Only before the response has begun."""
        await self._report(f"/invocation/{invocation.request_id}/error", fault, invocation.echo)

    async def init_error(self, fault: Fault) -> None:
        await self._report("/init/error", fault, {})

    async def restore_next(self) -> None:
        """Return once the process runs from a snapshot. The snapshot is taken while this waits."""
        await self._ask("GET", "/restore/next", {}, b"", expected=200)

    async def restore_error(self, fault: Fault) -> None:
        await self._report("/restore/error", fault, {})

    async def _report(self, path: str, fault: Fault, echo: dict[str, str]) -> None:
        headers = {"Content-Type": "application/vnd.aws.lambda.error+json", ERROR_TYPE: fault.header}
        await self._ask("POST", path, headers | echo, fault.to_json(), expected=202)

    async def _ask(self, method: str, path: str, headers: dict[str, str], body: bytes, *, expected: int) -> None:
        connection = await self.open()
        try:
            connection.write(self.head(method, path, headers | {"Content-Length": str(len(body))}), body)
            answer = await connection.answer()
        finally:
            connection.abort()
        if answer.status != expected:
            raise RuntimeAPIError(f"{path} answered {answer.status}: {answer.body[:200]!r}")


class Poller:
    """Asks for invocations, one after the other, on a connection that stays open."""

    def __init__(self, api: RuntimeAPI) -> None:
        self._api = api
        self._question = api.head("GET", "/invocation/next", {})
        self._connection: Connection | None = None

    async def next(self) -> Invocation:
        """Wait for an invocation, for as long as it takes: the process may be frozen for hours in here.

        Raise RuntimeAPIError, BadAnswer or OSError when the Runtime API is gone: the process must then end.
        """
        try:
            return parse_invocation(await self._ask())
        except CONNECTION_LOST:
            # The connection may have died while we were frozen. Asking twice is safe, and a second failure is a real one.
            self.close()
        try:
            return parse_invocation(await self._ask())
        except EOFError as exc:
            raise ConnectionResetError("the Runtime API closed the connection twice") from exc

    async def _ask(self) -> Answer:
        if self._connection is None:
            self._connection = await self._api.open()
        self._connection.write(self._question)
        return await self._connection.answer()

    def close(self) -> None:
        if self._connection is not None:
            self._connection.abort()
            self._connection = None


class ResponseStream:
    """One response under way. An answer that comes before the end is a refusal, and is noticed while writing."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._answer = asyncio.ensure_future(connection.answer())

    async def write(self, data: bytes) -> None:
        """Send one chunk, and return when the kernel took it whole. Raise ResponseRefused when it is no longer wanted.

        An empty chunk would end the response: it is skipped.
        """
        if not data:
            return
        await self._check_wanted()
        self._connection.write(b"%x\r\n" % len(data), data, b"\r\n")
        if self._connection.unsent:
            await self._drain()

    async def end(self, fault: Fault | None = None) -> None:
        """Send the last chunk, and the fault in the trailers; return on the Runtime API's 202, or raise ResponseRefused."""
        await self._check_wanted()
        self._connection.write(b"0\r\n", trailers(fault) if fault else b"", b"\r\n")
        await self._accepted()

    def abort(self) -> None:
        self._answer.cancel()
        self._connection.abort()

    async def _drain(self) -> None:
        # Who refuses a response early also stops reading it, so waiting for room alone could last for ever.
        drained = asyncio.ensure_future(self._connection.drain())
        try:
            await asyncio.wait((drained, self._answer), return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not drained.cancel() and not drained.cancelled():
                drained.exception()  # the same loss ends the answer, which is where it is reported
        await self._check_wanted()

    async def _check_wanted(self) -> None:
        if self._answer.done():
            answer = await self._read_answer()
            self._connection.abort()
            raise ResponseRefused(f"the Runtime API answered {answer.status} before the response ended")

    async def _accepted(self) -> None:
        answer = await self._read_answer()
        self._connection.close()
        if answer.status != 202:
            raise ResponseRefused(f"the Runtime API answered {answer.status} to the response")

    async def _read_answer(self) -> Answer:
        try:
            return await asyncio.shield(self._answer)
        except (*CONNECTION_LOST, BadAnswer) as exc:
            self._connection.abort()
            raise ResponseRefused(f"the Runtime API closed the response: {exc!r}") from exc


def trailers(fault: Fault) -> bytes:
    body = base64.b64encode(fault.to_json())
    return b"%s: %s\r\n%s: %s\r\n" % (ERROR_TYPE.encode(), fault.header.encode(), ERROR_BODY.encode(), body)
