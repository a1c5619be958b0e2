"""The way down to the client: what was sent, and what happens when nobody takes it."""

from navplane.errors import NavPlaneError
from navplane.gateway.asgi import Send
from navplane.gateway.call import Call
from navplane.gateway.intake import ClientLeft
from navplane.gateway.render import error_event, render

_BLANK_LINES = (b"\n\n", b"\r\r", b"\r\n\r\n", b"\n\r\n", b"\r\n\n")


class Reply:
    """`drain`: the server can't tell us that a client left before something was sent, and stopping would save nothing there
    (Lambda): the provider's answer is then read to its end, for its usage, and goes nowhere."""

    def __init__(self, send: Send, call: Call, *, drain: bool) -> None:
        self._send, self._call, self._drain = send, call, drain
        self._last = b""
        self.started = False
        self.finished = False
        self.events = False
        self.deaf = False

    async def start(self, status: int, headers: list[tuple[bytes, bytes]], *, events: bool) -> None:
        self.events = events
        self._call.status = status
        self.started = True
        await self._try({"type": "http.response.start", "status": status, "headers": headers})

    async def write(self, chunk: bytes) -> None:
        """An empty chunk would end the answer on some servers, so it is left out."""
        if not chunk:
            return
        await self._try({"type": "http.response.body", "body": chunk, "more_body": True})
        if not self.deaf:
            self._call.response_bytes += len(chunk)
            self._last = (self._last + chunk)[-4:]
            if self._call.content is not None:
                self._call.content.answered(chunk)

    async def end(self) -> None:
        # Nothing may follow, not even when this is interrupted.
        self.finished = True
        await self._try({"type": "http.response.body", "body": b"", "more_body": False})

    async def fail(self, error: NavPlaneError) -> None:
        """The error as an answer of its own; as the stream's last event, if it has begun; else the answer is left unfinished,
        so that the server breaks the connection and nobody takes it for whole."""
        call = self._call
        if not self.started:
            rendered = render(error, call.dialect, str(call.request_id))
            await self.start(rendered.status, list(rendered.headers), events=False)
            await self.write(rendered.body)
            await self.end()
        elif self.events and not self.finished:
            assert call.route is not None
            await self.write(self._fresh_line() + error_event(error, call.route.endpoint, call.dialect, str(call.request_id)))
            await self.end()

    def _fresh_line(self) -> bytes:
        """An event that was cut in its middle must not swallow the one that says so."""
        return b"" if not self._last or self._last.endswith(_BLANK_LINES) else b"\n\n"

    async def _try(self, message: dict[str, object]) -> None:
        if self.deaf:
            return
        try:
            await self._send(message)
        except OSError as exc:
            if not self._drain:
                raise ClientLeft from exc
            self.deaf = True
