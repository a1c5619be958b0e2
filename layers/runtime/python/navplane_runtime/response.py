"""ASGI `receive` and `send` for one invocation: what the app sends becomes a prelude, raw chunks and a last chunk."""

import asyncio
import json
from collections.abc import Iterable, MutableMapping
from typing import Any

from navplane_runtime.client import Invocation, ResponseStream, RuntimeAPI
from navplane_runtime.fault import Fault

Message = MutableMapping[str, Any]

PRELUDE_END = b"\0" * 8
# They speak of one connection (RFC 9110, 7.6.1), and here that is not the client's.
CONNECTION_HEADERS = frozenset({"connection", "keep-alive", "transfer-encoding"})


class Exchange:
    """The request that the app receives and the response that it sends.

    `send` raises OSError once the response is refused; `receive` gives `http.disconnect` only when nothing more can be sent.
    """

    def __init__(self, api: RuntimeAPI, invocation: Invocation, body: bytes, *, rest: bool) -> None:
        self._api = api
        self._invocation = invocation
        self._body: bytes | None = body
        self._rest = rest
        self._stream: ResponseStream | None = None
        self._ending: asyncio.Task[None] | None = None
        self._over = asyncio.Event()

    @property
    def started(self) -> bool:
        return self._stream is not None

    @property
    def ending(self) -> bool:
        """The last chunk was sent, whether or not it has been accepted."""
        return self._ending is not None

    @property
    def over(self) -> bool:
        """The response was accepted whole, or refused."""
        return self._over.is_set()

    async def receive(self) -> Message:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        await self._over.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        match message["type"], self._stream:
            case "http.response.start", None:
                await self._start(message)
            case "http.response.body", ResponseStream() as stream if not self.ending:
                await self._continue(stream, message)
            case kind, _:
                raise RuntimeError(f"{kind} is not what an ASGI app may send now")

    async def _start(self, message: Message) -> None:
        written = prelude(message["status"], message.get("headers", ()), rest=self._rest)
        self._stream = await self._api.respond(self._invocation)
        # On its own: in one chunk with the body the platform holds it back now and then.
        await self._write(self._stream, written)

    async def _continue(self, stream: ResponseStream, message: Message) -> None:
        await self._write(stream, message.get("body", b""))
        if not message.get("more_body", False):
            await self.end()

    async def _write(self, stream: ResponseStream, data: bytes) -> None:
        try:
            await stream.write(data)
        except OSError:
            self._over.set()
            raise

    async def end(self, fault: Fault | None = None) -> None:
        """End the response, with the fault in its trailers. A cancelled caller does not stop what has begun."""
        if self._ending is None:
            assert self._stream is not None
            self._ending = asyncio.create_task(self._end(self._stream, fault))
        await asyncio.shield(self._ending)

    async def _end(self, stream: ResponseStream, fault: Fault | None) -> None:
        try:
            await stream.end(fault)
        finally:
            self._over.set()

    def abort(self) -> None:
        if self._stream is not None:
            self._stream.abort()
        self._over.set()


def prelude(status: int, headers: Iterable[tuple[bytes, bytes]], *, rest: bool) -> bytes:
    """Status and headers as JSON, then eight NUL bytes. A function URL takes repeats comma-joined and cookies apart; a REST API
    takes both in `multiValueHeaders`."""
    fields: dict[str, list[str]] = {}
    for name, value in headers:
        fields.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
    for connection_header in CONNECTION_HEADERS & fields.keys():
        del fields[connection_header]
    document: dict[str, Any] = {"statusCode": status}
    if rest:
        document["multiValueHeaders"] = {name: values for name, values in fields.items() if len(values) > 1}
        document["headers"] = {name: values[0] for name, values in fields.items() if len(values) == 1}
    else:
        document["cookies"] = fields.pop("set-cookie", [])
        document["headers"] = {name: ", ".join(values) for name, values in fields.items()}
    return json.dumps(document, separators=(",", ":")).encode() + PRELUDE_END
