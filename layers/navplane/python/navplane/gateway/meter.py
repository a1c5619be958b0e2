"""Watches a copy of the answer and says what it used. Nothing here can fail the stream it watches."""

from collections.abc import Callable
from dataclasses import replace

from navplane.model.reading import Reading
from navplane.telemetry import logger
from navplane.upstream.echoes import spellings, without_secret
from navplane.upstream.sse import Splitter
from navplane.upstream.usage import UsageReader

# One event of Responses repeats the whole answer, images included, and has the usage in it.
MAX_EVENT_BYTES = 8 * 1024 * 1024
MAX_BODY_BYTES = 8 * 1024 * 1024
TAIL_BYTES = 64 * 1024


class Meter:
    """Fed with the chunks of one answer, which is a stream of events or one body. `secret` is the key of its provider."""

    def __init__(
        self, reader: UsageReader, *, events: bool, max_event_bytes: int = MAX_EVENT_BYTES, secret: bytes | None = None
    ) -> None:
        self._reader, self._events = reader, events
        self._spellings = spellings(secret) if secret else ()
        self._splitter = Splitter(limit=max_event_bytes)
        self._body = bytearray()
        self._overflowed = False
        self._failed = False
        self.received_bytes = 0
        self._closed: Reading | None = None

    @property
    def ended(self) -> bool:
        """The stream's own end mark was seen."""
        return self._reader.ended

    @property
    def object_id(self) -> str | None:
        """The id of what the provider made and keeps, as far as it was read; of a body, once it was closed."""
        return self._reader.object_id

    @property
    def files(self) -> tuple[tuple[str, bool], ...]:
        """The ids of what came of a batch, and whether its usage can be read off that."""
        return self._reader.files

    def split(self, chunk: bytes) -> list[bytes]:
        """The pieces that `chunk` completes; `watch` them afterwards."""
        self.received_bytes += len(chunk)
        return self._splitter.feed(chunk)

    def watch(self, pieces: list[bytes]) -> None:
        if pieces and self._reader.skim(b"".join(pieces)):
            for piece in pieces:
                self._try(self._reader.event, piece)

    def feed(self, chunk: bytes) -> None:
        if self._events:
            self.watch(self.split(chunk))
            return
        self.received_bytes += len(chunk)
        if self._reader.incremental:
            self._try(self._reader.chunk, chunk)
        elif self._reader.tail_only:
            self._body = (self._body + chunk)[-TAIL_BYTES:]
        elif len(self._body) + len(chunk) <= MAX_BODY_BYTES:
            self._body += chunk
        else:
            self._overflowed = True

    def rest(self) -> bytes:
        """The last event, where the stream ends without its blank line; it has been watched."""
        tail = self._splitter.finish()
        if tail:
            self.watch([tail])
        return tail

    def close(self) -> Reading:
        """What was read when no more comes; the same when asked again."""
        self._closed = self._closed or self._close()
        return self._closed

    def _close(self) -> Reading:
        if self._events:
            self.rest()
        elif self._reader.incremental:
            self._try(self._reader.body, b"")
        elif self._body and not self._overflowed:
            self._try(self._reader.body, bytes(self._body))
            self._body.clear()
        reading = without_secret(self._reader.reading(), self._spellings)
        # An unstreamed answer without usage is taken for text as a whole.
        whole = self.received_bytes if self._reader.is_text else 0
        return reading if self._events else replace(reading, text_bytes=whole)

    def _try(self, read: Callable[[bytes], None], data: bytes) -> None:
        try:
            read(data)
        except Exception as exc:
            # A provider's nonsense costs an exact count, never the stream. One line is enough for all of it.
            if not self._failed:
                logger.warning("meter.unreadable", extra={"reader": type(self._reader).__name__, "error": type(exc).__name__})
            self._failed = True
