"""The shapes of ASGI 3, as far as the data plane uses them."""

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
RawHeaders = tuple[tuple[bytes, bytes], ...]

# The Lambda runtime's extension: when the invocation ends, in seconds of the monotonic clock. Servers don't have it.
DEADLINE = "navplane.deadline"


def values_of(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> list[bytes]:
    """All values of a header; ASGI gives request header names in lower case."""
    return [value for found, value in headers if found == name]


def first_of(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> bytes | None:
    for found, value in headers:
        if found == name:
            return value
    return None
