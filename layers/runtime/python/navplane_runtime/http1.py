"""As much HTTP/1.1 as the Runtime API speaks, on asyncio streams."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

# The longest head or chunk-size line that is read. Client contexts arrive in a header and may be long.
MAX_LINE_BYTES = 1 << 20
# What a connection raises once the other side is gone; IncompleteReadError is an EOFError.
CONNECTION_LOST = (EOFError, OSError)


class BadAnswer(Exception):
    """The other side's answer is not HTTP/1.1 as we know it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """`headers` has lower-case names; of repeats the last one stays."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Connection:
    """One connection to the Runtime API, which may be used for several requests, one after the other."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        # Any byte that the kernel does not take at once makes drain() wait, so that backpressure holds for every chunk.
        writer.transport.set_write_buffer_limits(high=0)

    @classmethod
    async def open(cls, host: str, port: int) -> Self:
        return cls(*await asyncio.open_connection(host, port, limit=MAX_LINE_BYTES))

    @property
    def unsent(self) -> int:
        """Bytes that the kernel has not taken yet."""
        return self._writer.transport.get_write_buffer_size()

    def write(self, *parts: bytes) -> None:
        self._writer.write(b"".join(parts))

    async def drain(self) -> None:
        await self._writer.drain()

    async def answer(self) -> Answer:
        """Read one answer. Raise one of CONNECTION_LOST if the connection ends before it does, BadAnswer if it is not HTTP."""
        try:
            head = await self._reader.readuntil(b"\r\n\r\n")
            status, headers = parse_head(head)
            return Answer(status, headers, await self._body(headers))
        except (ValueError, IndexError, asyncio.LimitOverrunError) as exc:
            raise BadAnswer(f"the Runtime API did not answer in HTTP/1.1: {exc}") from exc

    async def _body(self, headers: Mapping[str, str]) -> bytes:
        if headers.get("transfer-encoding", "").lower() == "chunked":
            return await self._chunks()
        return await self._reader.readexactly(int(headers.get("content-length", "0")))

    async def _chunks(self) -> bytes:
        chunks = []
        while size := int((await self._reader.readuntil(b"\r\n")).split(b";")[0], 16):
            chunks.append((await self._reader.readexactly(size + 2))[:-2])
        while await self._reader.readuntil(b"\r\n") != b"\r\n":
            pass
        return b"".join(chunks)

    def close(self) -> None:
        """Close, after what was written has been sent."""
        self._writer.close()

    def abort(self) -> None:
        """Close at once, and drop what was written but not sent."""
        self._writer.transport.abort()


def parse_head(head: bytes) -> tuple[int, dict[str, str]]:
    first, *lines = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    fields = (line.partition(":") for line in lines)
    return int(first.split(" ", 2)[1]), {name.strip().lower(): value.strip() for name, _, value in fields}


def request_head(method: str, path: str, headers: Mapping[str, str]) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
