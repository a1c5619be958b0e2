"""Server-sent events, split without changing a byte (WHATWG HTML, section 9.2.6: a line ends in LF, CRLF or CR)."""

import re

# Two line ends in a row. The groups are atomic, so that a CRLF is never read as a CR and a LF.
_BLANK_LINE = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")
_LINE_END = re.compile(rb"\r\n|\n|\r")


class Splitter:
    """Cuts a stream into pieces that each end with a blank line, whatever the boundaries of the chunks it is fed.

    The pieces joined are the input, byte for byte. An event longer than `limit` comes in several pieces, so that memory is
    bounded; none of them is an event that anything here would read. A LF whose CR ended the piece before, in another
    chunk, comes as a piece of its own. Nothing here can raise.
    """

    def __init__(self, *, limit: int) -> None:
        self._limit = limit
        self._tail = bytearray()
        self._ended_in_cr = False

    def feed(self, chunk: bytes) -> list[bytes]:
        """The pieces that `chunk` completes; what follows them is kept."""
        pieces: list[bytes] = []
        if self._ended_in_cr and chunk:
            self._ended_in_cr = False
            if chunk.startswith(b"\n"):
                pieces.append(b"\n")
                chunk = chunk[1:]
        seen, start = len(self._tail), 0
        self._tail += chunk
        # A blank line can begin up to three bytes before the new chunk: CR LF CR | LF.
        position = max(0, seen - 3)
        while (found := _BLANK_LINE.search(self._tail, position)) is not None:
            pieces.append(bytes(self._tail[start : found.end()]))
            start = position = found.end()
        if len(self._tail) - start > self._limit:
            pieces.append(bytes(self._tail[start:]))
            start = len(self._tail)
        self._ended_in_cr |= start > 0 and start == len(self._tail) and self._tail.endswith(b"\r")
        del self._tail[:start]
        return pieces

    def finish(self) -> bytes:
        """What is left at the end of the stream: an event without its blank line, or nothing."""
        tail = bytes(self._tail)
        self._tail.clear()
        return tail


def data_of(event: bytes) -> bytes:
    """The payload of an event: its `data` lines joined with LF; b"" when it has none."""
    if event.startswith(b"data: ") and event.endswith(b"\n\n") and event.find(b"\n", 0, -2) < 0 and b"\r" not in event:
        return event[6:-2]
    lines = []
    for line in _LINE_END.split(event):
        field, _, value = line.partition(b":")
        if field == b"data":
            lines.append(value.removeprefix(b" "))
    return b"\n".join(lines)
