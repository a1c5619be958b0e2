"""From what a function answers to HTTP: a prelude and a stream, or one JSON object. Chunks go out as they come in."""

import base64
import json
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from navplane_local.http_request import Send
from navplane_local.invocation import FunctionError, FunctionTimeout, Invocation, TooManyRequests

STREAM_CONTENT_TYPE = "application/vnd.awslambda.http-integration-response"
SEPARATOR = b"\0" * 8
# Lambda keeps these for itself and hands on a function's own under another name.
REMAPPED = {"connection", "content-length", "date", "server", "transfer-encoding"}


class MalformedAnswer(FunctionError):
    def __init__(self, message: str) -> None:
        super().__init__("MalformedAnswer", message)


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    status: int
    headers: list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusals:
    """What a gateway says itself: (status, JSON body) for each reason."""

    failed: tuple[int, Mapping[str, str]]
    timed_out: tuple[int, Mapping[str, str]]
    throttled: tuple[int, Mapping[str, str]]
    too_large: tuple[int, Mapping[str, str]]

    async def send(self, send: Send, reason: Exception) -> None:
        if isinstance(reason, TooManyRequests):
            await send_json(send, *self.throttled)
        elif isinstance(reason, FunctionTimeout):
            await send_json(send, *self.timed_out)
        else:
            await send_json(send, *self.failed)


async def send_json(send: Send, status: int, body: Mapping[str, Any]) -> None:
    payload = json.dumps(body).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(payload)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": payload})


async def send_stream(send: Send, head: Head, pieces: AsyncIterator[bytes]) -> None:
    """Where the function breaks off, return without ending the response: the server then cuts the connection."""
    await send({"type": "http.response.start", "status": head.status, "headers": head.headers})
    try:
        async for piece in pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
    except FunctionError:
        return
    await send({"type": "http.response.body", "body": b""})


async def read_streamed(invocation: Invocation) -> tuple[Head, AsyncIterator[bytes]]:
    """Raise FunctionError when there is no answer, or none that has a prelude."""
    await invocation.started()
    pieces = invocation.chunks()
    if invocation.content_type != STREAM_CONTENT_TYPE:
        if invocation.streaming:
            return Head(status=200, headers=[(b"content-type", b"application/octet-stream")]), pieces
        return _read_v2(b"".join([piece async for piece in pieces]))
    prelude, first = await _split_prelude(pieces)
    return _head_of(prelude), _prepend(first, pieces)


async def read_buffered(invocation: Invocation) -> tuple[Head, AsyncIterator[bytes]]:
    """The HTTP API's and the REST API's way: the whole answer is one JSON object."""
    return _read_v2(await invocation.payload())


async def _split_prelude(pieces: AsyncIterator[bytes]) -> tuple[bytes, bytes]:
    seen = b""
    async for piece in pieces:
        seen += piece
        if SEPARATOR in seen:
            prelude, _, first = seen.partition(SEPARATOR)
            return prelude, first
    raise MalformedAnswer("The stream ended before its prelude did.")


async def _prepend(first: bytes, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    if first:
        yield first
    async for piece in pieces:
        yield piece


def _read_v2(payload: bytes) -> tuple[Head, AsyncIterator[bytes]]:
    try:
        answer = json.loads(payload)
        if not isinstance(answer, dict) or "statusCode" not in answer:
            # Payload 2.0: whatever has no statusCode is itself the body.
            return Head(status=200, headers=[(b"content-type", b"application/json")]), _once(payload)
        body = answer.get("body") or ""
        content = base64.b64decode(body) if answer.get("isBase64Encoded") else str(body).encode()
    except ValueError as exc:
        raise MalformedAnswer(f"not an answer: {exc}") from exc
    return _head_of(json.dumps(answer).encode()), _once(content)


async def _once(content: bytes) -> AsyncIterator[bytes]:
    yield content


def _head_of(prelude: bytes) -> Head:
    try:
        fields = json.loads(prelude)
        pairs = [*_pairs(fields), *(("set-cookie", cookie) for cookie in fields.get("cookies") or ())]
        headers = [(_name(name), str(value).encode("latin-1")) for name, value in pairs]
        return Head(status=int(fields.get("statusCode", 200)), headers=headers)
    except (ValueError, AttributeError, TypeError) as exc:
        raise MalformedAnswer(f"not a prelude: {exc}") from exc


def _pairs(fields: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    multiple = fields.get("multiValueHeaders") or {}
    repeated = {name.lower() for name in multiple}
    yield from ((name, value) for name, value in (fields.get("headers") or {}).items() if name.lower() not in repeated)
    yield from ((name, value) for name, values in multiple.items() for value in values)


def _name(name: str) -> bytes:
    lower = name.lower()
    return (f"x-amzn-remapped-{lower}" if lower in REMAPPED else lower).encode("latin-1")
