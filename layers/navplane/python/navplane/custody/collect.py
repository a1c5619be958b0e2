"""Asks a provider what a batch, or a response in the background, used. Counts go out of here and nothing of the content."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import httpx2

from navplane.model.ids import OBJECT_ID
from navplane.model.probe import Awaited, Collected, CollectState
from navplane.model.provider_key import Secret
from navplane.model.reading import Reading, response_ended
from navplane.model.usage import Endpoint
from navplane.telemetry import logger
from navplane.upstream.echoes import spellings, without_secret
from navplane.upstream.plain_get import getting
from navplane.upstream.provider import Origin, Provider
from navplane.upstream.readers import READERS
from navplane.upstream.usage import UsageReader
from navplane.upstream.usage_batches import OVER

# What shows an object, by the call that made it.
SHOWN = {
    Endpoint.BATCHES: Endpoint.BATCH,
    Endpoint.MESSAGE_BATCHES: Endpoint.MESSAGE_BATCH,
    Endpoint.RESPONSES: Endpoint.RESPONSE,
}
# All questions about one object together, well within the time that the function has.
COLLECT_SECONDS = 8.0
WAIT_SECONDS = 4.0
# As much as the proxy reads of a body that has to be parsed as a whole, and lines of a size that can be read in time.
MAX_BODY_BYTES = 8 * 1024 * 1024
MAX_LINES_BYTES = 128 * 1024 * 1024


class TooLarge(Exception):
    """The answer has more bytes than are read here."""


class Untold(Exception):
    """The provider did not answer, not in time, or not with the whole of what was asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Collector:
    """`max_lines_bytes`: how much is read of a batch's output."""

    provider: Provider
    secret: Secret
    origin: Origin
    max_lines_bytes: int = MAX_LINES_BYTES

    def collect(self, awaited: Awaited) -> Collected:
        """Raises nothing that a provider can cause."""
        give_up_at = time.monotonic() + COLLECT_SECONDS
        try:
            reading = self._told(awaited, give_up_at)
        except TooLarge:
            return Collected(state=CollectState.TOO_LARGE)
        # The readers raise on nonsense, and what they raise is not known beforehand.
        except Exception as exc:
            logger.warning("collect.untold", extra={"provider": self.provider.name, "error": type(exc).__name__})
            return Collected(state=CollectState.UNTOLD)
        if reading is None:
            return Collected(state=CollectState.UNDER_WAY)
        return Collected(state=CollectState.OVER, reading=without_secret(reading, spellings(self.secret.reveal())))

    def _told(self, awaited: Awaited, give_up_at: float) -> Reading | None:
        """None while the object is under way. Raise Untold, TooLarge, or what a reader raises."""
        shown = SHOWN.get(awaited.endpoint)
        if shown is None:
            raise Untold
        reader, size = self._read(shown, awaited.object_id, give_up_at)
        reading = reader.reading()
        if shown is Endpoint.RESPONSE:
            # An answer without usage is taken for text as a whole, as in the proxy.
            return replace(reading, text_bytes=size if reader.is_text else 0) if response_ended(reading) else None
        if reading.finish_reason not in OVER:
            return None
        return reading if reading.final else self._added_up(shown, awaited.object_id, reader, give_up_at)

    def _added_up(self, shown: Endpoint, batch_id: str, batch: UsageReader, give_up_at: float) -> Reading:
        """Of a batch that is over and does not count itself: its lines."""
        if shown is Endpoint.MESSAGE_BATCH:
            reader, _ = self._read(Endpoint.MESSAGE_BATCH_RESULTS, batch_id, give_up_at)
        else:
            [output] = [file_id for file_id, counts in batch.files if counts] or [""]
            reader, _ = self._read(Endpoint.FILE_CONTENT, output, give_up_at)
        reading = reader.reading()
        if not reading.final:
            raise Untold
        return reading

    def _read(self, endpoint: Endpoint, object_id: str, give_up_at: float) -> tuple[UsageReader, int]:
        """A reader that has read the whole answer, and how many bytes that were."""
        path = self.provider.paths.get(endpoint)
        if path is None or not OBJECT_ID.fullmatch(object_id):
            raise Untold
        reader, size, body = READERS[endpoint](), 0, bytearray()
        for chunk in self._chunks(path.replace("{id}", object_id), give_up_at):
            size += len(chunk)
            if size > (self.max_lines_bytes if reader.incremental else MAX_BODY_BYTES):
                raise TooLarge
            if reader.incremental:
                reader.chunk(chunk)
            else:
                body += chunk
        reader.body(bytes(body))
        return reader, size

    def _chunks(self, path: str, give_up_at: float) -> Iterator[bytes]:
        seconds = min(WAIT_SECONDS, max(0.1, give_up_at - time.monotonic()))
        try:
            with getting(self.provider, self.secret, origin=self.origin, path=path, seconds=seconds) as answer:
                # Without framing that tells the end, what was cut off would pass for a whole.
                if answer.status_code != 200 or not {"content-length", "transfer-encoding"} & set(answer.headers):
                    raise Untold
                for chunk in answer.iter_raw():
                    if time.monotonic() > give_up_at:
                        raise Untold
                    yield chunk
        except (httpx2.HTTPError, OSError) as exc:
            raise Untold from exc
