"""What arrived and what was answered, kept for tests to read: the last requests, with headers and bytes as they were."""

import base64
import hashlib
import itertools
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from navplane_local.demo_upstream.exchange import Headers, Request

KEPT_REQUESTS = 1000
KEPT_BODY_BYTES = 4 * 1024 * 1024


@dataclass(slots=True)
class Body:
    """A body of which the hash is complete and the bytes are kept up to a limit."""

    size: int = 0
    kept: bytearray = field(default_factory=bytearray)
    _hash: Any = field(default_factory=hashlib.sha256)

    def add(self, chunk: bytes) -> None:
        self.size += len(chunk)
        self._hash.update(chunk)
        self.kept += chunk[: max(0, KEPT_BODY_BYTES - len(self.kept))]

    def render(self) -> dict[str, Any]:
        encoded = base64.b64encode(self.kept).decode()
        return {"bytes": self.size, "body_sha256": self._hash.hexdigest(), "body_base64": encoded}


@dataclass(slots=True, kw_only=True)
class Captured:
    """`ended` is None while the answer is on its way, then `complete`, `cut` (by us) or `disconnected` (by the caller)."""

    request: Request
    status: int | None = None
    headers: Headers = ()
    sent: Body = field(default_factory=Body)
    ended: str | None = None

    def render(self) -> dict[str, Any]:
        received = Body()
        received.add(self.request.body)
        return {
            "id": self.request.capture_id,
            "method": self.request.method,
            "path": self.request.path,
            "query": self.request.query,
            "headers": self.request.headers,
            **received.render(),
            "answer": {"status": self.status, "headers": self.headers, "ended": self.ended, **self.sent.render()},
        }


@dataclass(slots=True)
class Captures:
    _serial: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _kept: deque[Captured] = field(default_factory=lambda: deque(maxlen=KEPT_REQUESTS))

    def next_id(self) -> int:
        return next(self._serial)

    def keep(self, captured: Captured) -> None:
        self._kept.append(captured)

    def since(self, capture_id: int) -> list[Captured]:
        """Those with a greater id, oldest first."""
        return [captured for captured in self._kept if captured.request.capture_id > capture_id]

    def clear(self) -> None:
        self._kept.clear()
