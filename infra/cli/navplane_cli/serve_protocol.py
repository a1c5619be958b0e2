"""uvicorn's HTTP/1.1, with what it leaves to a proxy in front of it: bounds on how large a head may get and how long anything
may take to arrive, no second reading of a target or a trailer, and refusals that an SDK can read."""

import asyncio
import re

from navplane.errors import BadFraming, HeadersTooLarge, NavPlaneError
from navplane.gateway.render import render
from navplane.model.dialect import Dialect
from navplane.model.ids import new_id
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

# The gateway answers from 64 KB on; beyond this a head is not even read to its end.
MAX_HEAD_BYTES = 256 * 1024
HEAD_SECONDS = 30.0
# How long what is left of a body is read and thrown away once its request was answered: closing at once could lose the answer.
LINGER_SECONDS = 5.0
# No path of ours has it: what a target that is no path becomes.
NO_PATH = b"/%"
_PHRASES = {400: b"Bad Request", 431: b"Request Header Fields Too Large"}
_UPGRADE = re.compile(rb"(?<=\r\n)upgrade(?=[ \t]*:)", re.IGNORECASE)
_IGNORED = b"x-h2c--"


class StrictProtocol(HttpToolsProtocol):
    """One connection."""

    _timer: asyncio.TimerHandle | None = None
    _in_head = True
    _head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._close_in(HEAD_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._in_head and self._timer is None:
            self._close_in(HEAD_SECONDS)
        super().data_received(self._without_upgrade(data) if self._in_head else data)
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._refuse(HeadersTooLarge(f"More than {MAX_HEAD_BYTES // 1024} KB of headers."))

    def on_header(self, name: bytes, value: bytes) -> None:
        """A trailer is not a header: whoever checked the headers has not seen it."""
        if self._in_head and name != _IGNORED:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head, self._head_bytes = False, 0
        self._cancel()
        if not self.url.startswith(b"/") or b"#" in self.url:
            self.url = NO_PATH
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._in_head = True
        if self.cycle.response_complete:
            self._close_in(HEAD_SECONDS)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self._in_head:
            self._close_in(LINGER_SECONDS)

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - the signature is uvicorn's
        self._refuse(BadFraming("This is not valid HTTP."))

    def _refuse(self, error: NavPlaneError) -> None:
        if self.transport.is_closing():
            return
        if self._is_next():
            answer = render(error, Dialect.OPENAI, str(new_id()))
            lines = [b"HTTP/1.1 %d %s" % (answer.status, _PHRASES[answer.status]), b"connection: close"]
            lines += [name + b": " + value for name, value in answer.headers]
            self.transport.write(b"\r\n".join(lines) + b"\r\n\r\n" + answer.body)
        elif self._in_head:
            # It stands behind a request that is being served: that one is answered, and nothing after it.
            self.cycle.keep_alive = False
            return
        self.transport.close()

    def _is_next(self) -> bool:
        """Whether what is written now answers what was just read, and no request before it."""
        if self.cycle is None or self.cycle.response_complete:
            return True
        return not (self._in_head or self.pipeline or self.cycle.response_started)

    def _without_upgrade(self, data: bytes) -> bytes:
        """An offer of h2c, as Java's client makes it, may be ignored; but the parser would take the body for h2c."""
        head, blank, rest = data.partition(b"\r\n\r\n")
        return _UPGRADE.sub(_IGNORED, head) + blank + rest

    def _close_in(self, seconds: float) -> None:
        self._cancel()
        self._timer = self.loop.call_later(seconds, self._late)

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _late(self) -> None:
        self._timer = None
        if self.cycle is not None and not self.cycle.response_complete:
            # The head of a pipelined request may wait for as long as the answer before it takes.
            self._close_in(HEAD_SECONDS)
        else:
            self.transport.close()
