"""One HTTP request as the gateways see it, read whole: Lambda gets a request as one event."""

from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

# The size of an invocation's payload, https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
EVENT_LIMIT = 6 * 1024 * 1024


class RequestTooLarge(Exception):
    """The request does not fit into an event."""


class ClientGone(Exception):
    """The client left before its request was complete: nobody is invoked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRequest:
    """`raw_path` and `raw_query` are as they were sent. `headers` has lower-case names, in order, with repeats."""

    method: str
    raw_path: str
    raw_query: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    source_ip: str
    host: str

    def header(self, name: str) -> str:
        return next((value for key, value in self.headers if key == name), "")


async def read_request(scope: Scope, receive: Receive) -> HttpRequest:
    """Raise RequestTooLarge as soon as that is known, or ClientGone."""
    headers = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"])
    return HttpRequest(
        method=scope["method"],
        raw_path=scope["raw_path"].decode("latin-1"),
        raw_query=scope["query_string"].decode("latin-1"),
        headers=headers,
        body=await _body(receive),
        source_ip=(scope.get("client") or ("127.0.0.1", 0))[0],
        host=next((value for name, value in headers if name == "host"), "localhost"),
    )


async def _body(receive: Receive) -> bytes:
    body = bytearray()
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > EVENT_LIMIT:
            raise RequestTooLarge
    return bytes(body)
