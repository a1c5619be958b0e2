"""The hot path's HTTP to providers, and the only importer of aiohttp (docs/adr/0007 says why it is aiohttp).

Raw header lists go in and come out, bodies are bytes as they are on the wire, redirects are never followed, nothing is
decompressed, and no environment variable, cookie or netrc file has a say.
"""

import asyncio
import contextlib
import io
import socket
import time
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass, field

import aiohttp
from aiohttp import DefaultResolver
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.client_reqrep import ClientRequest
from aiohttp.connector import Connection
from aiohttp.tracing import Trace
from multidict import CIMultiDict
from yarl import URL

from navplane.errors import UpstreamCut, UpstreamError, UpstreamRedirected, UpstreamTimeout, UpstreamUnreachable
from navplane.upstream.address import require_public
from navplane.upstream.origin import Origins
from navplane.upstream.provider import Origin

RawHeaders = tuple[tuple[bytes, bytes], ...]
BeforeWriting = Callable[[], Awaitable[None]]

# aiohttp warns about a bytes body of more than 1 MiB and writes it in one go; from a file object it is written in pieces.
LARGE_BODY_BYTES = 1 << 20
MAX_HEADER_BYTES = 64 * 1024
UNWANTED_AUTO_HEADERS = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")

_before_writing: ContextVar[BeforeWriting | None] = ContextVar("before_writing", default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamRequest:
    """`path` begins with a slash and stands below the origin's base path; `query` is raw, without its question mark.
    `headers` hold the provider's key. `before_writing` is awaited when there is a connection, before its first byte."""

    origin: Origin
    method: str
    path: str
    query: str = ""
    headers: RawHeaders = field(repr=False)
    body: bytes | None = field(default=None, repr=False)
    first_byte_seconds: float
    before_writing: BeforeWriting | None = None


class UpstreamResponse:
    """A provider's answer, open until it was read to its end or `aclose` was called."""

    def __init__(self, response: aiohttp.ClientResponse, *, on_close: Callable[[], None]) -> None:
        self._response = response
        self._on_close = on_close
        self.status = response.status
        self.headers: RawHeaders = response.raw_headers

    @property
    def delimited(self) -> bool:
        """Whether the framing tells the end of the body. Otherwise it ends where the connection does, cut or not."""
        return "Content-Length" in self._response.headers or "Transfer-Encoding" in self._response.headers

    async def read(self) -> bytes:
        """The next bytes as soon as there are any; b"" at the end. Raise UpstreamCut when the body breaks off."""
        try:
            return await self._response.content.readany()
        except (aiohttp.ClientError, OSError) as exc:
            raise UpstreamCut("The provider's answer broke off. Send the request again.") from exc

    async def aclose(self) -> None:
        """Give back the connection: to the pool if the body was read to its end, else it is closed."""
        self._response.close()
        self._on_close()


class UpstreamClient:
    """One session for the life of the process, made in the loop that first sends.

    A process that is frozen between requests finds its pooled connections dead when it thaws, and the monotonic clock may
    not have moved: so when nothing was in flight, the pool is dropped by the wall clock's age.
    """

    def __init__(
        self,
        origins: Origins,
        *,
        connect_seconds: float = 5.0,
        keepalive_seconds: float = 30.0,
        wall: Callable[[], float] = time.time,
        names: Callable[[], AbstractResolver] = DefaultResolver,
    ) -> None:
        self.origins = origins
        self._connect_seconds, self._keepalive_seconds, self._wall = connect_seconds, keepalive_seconds, wall
        self._names = names
        # Guarded origins have a session of their own, so that they never share a connection that nobody looked at.
        self._sessions: dict[bool, aiohttp.ClientSession] = {}
        self._in_flight = 0
        self._last_used = 0.0

    async def send(self, request: UpstreamRequest) -> UpstreamResponse:
        """The answer's status and headers, with its body still to read.

        Raise UpstreamUnreachable (`billable` is False while nothing was written), UpstreamTimeout, UpstreamRedirected or
        UpstreamError; and what `before_writing` raises, with nothing written.
        """
        url = self._url(request)
        session = await self._current_session(guarded=request.origin.guarded)
        self._in_flight += 1
        _before_writing.set(request.before_writing)
        try:
            response = await self._exchange(session, url, request)
        except BaseException:
            self._done()
            raise
        opened = UpstreamResponse(response, on_close=_once(self._done))
        if not 200 <= response.status < 600:
            # 101 too: nobody asked for another protocol.
            await opened.aclose()
            raise UpstreamError("The provider's answer has a status that is none of HTTP's.")
        if 300 <= response.status < 400:
            await opened.aclose()
            raise UpstreamRedirected("The provider answered with a redirect, and redirects are not followed.")
        return opened

    async def aclose(self) -> None:
        sessions, self._sessions = self._sessions, {}
        for session in sessions.values():
            await session.close()

    def _url(self, request: UpstreamRequest) -> URL:
        """Built from parts, so that no path can change the host; and checked once more."""
        origin = request.origin
        url = URL.build(
            scheme=origin.scheme,
            host=origin.host,
            port=origin.port,
            path=origin.base_path + request.path,
            query_string=request.query,
            encoded=True,
        )
        dialled = (url.scheme, url.host, url.port)
        if not self.origins.admit(origin) or dialled != (origin.scheme, origin.host, origin.port):
            raise UpstreamUnreachable("This address is not in the registry of providers.", billable=False)
        return url

    async def _current_session(self, *, guarded: bool) -> aiohttp.ClientSession:
        now, idle_since = self._wall(), self._last_used
        self._last_used = now
        if self._sessions and not self._in_flight and now - idle_since > self._keepalive_seconds:
            await self.aclose()
        if guarded not in self._sessions:
            self._sessions[guarded] = self._new_session(guarded=guarded)
        return self._sessions[guarded]

    def _new_session(self, *, guarded: bool) -> aiohttp.ClientSession:
        resolver = PublicResolver(self._names()) if guarded else None
        return aiohttp.ClientSession(
            connector=_AskingConnector(
                limit=0, keepalive_timeout=self._keepalive_seconds, resolver=resolver, use_dns_cache=not guarded
            ),
            timeout=aiohttp.ClientTimeout(total=None, connect=self._connect_seconds),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            skip_auto_headers=UNWANTED_AUTO_HEADERS,
            max_line_size=MAX_HEADER_BYTES,
            max_field_size=MAX_HEADER_BYTES,
        )

    async def _exchange(self, session: aiohttp.ClientSession, url: URL, request: UpstreamRequest) -> aiohttp.ClientResponse:
        """Everything aiohttp can raise becomes one of ours here."""
        try:
            async with asyncio.timeout(request.first_byte_seconds):
                return await session.request(
                    request.method,
                    url,
                    # In lower case: aiohttp would let `X-A` replace `x-a` where it keeps two that are spelled alike.
                    headers=CIMultiDict((name.decode("ascii").lower(), value.decode()) for name, value in request.headers),
                    data=_payload(request.body),
                    allow_redirects=False,
                )
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as exc:
            raise UpstreamUnreachable("No connection to the provider could be made. Try again.", billable=False) from exc
        except (aiohttp.ServerTimeoutError, TimeoutError) as exc:
            raise UpstreamTimeout("The provider did not begin to answer in time.") from exc
        except aiohttp.ClientResponseError as exc:
            raise UpstreamError("The provider's answer is not valid HTTP.") from exc
        except (aiohttp.ClientError, OSError) as exc:
            raise UpstreamUnreachable("The provider closed the connection without an answer.") from exc

    def _done(self) -> None:
        self._in_flight -= 1
        self._last_used = self._wall()


class PublicResolver(AbstractResolver):
    """Resolves as `names` does, and only to public addresses: one that is not spoils the name. What is answered here is what
    is connected to, so a name can't point elsewhere in between."""

    def __init__(self, names: AbstractResolver) -> None:
        self._names = names

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> list[ResolveResult]:
        found = await self._names.resolve(host, port, family)
        require_public([answer["host"] for answer in found])
        return found

    async def close(self) -> None:
        await self._names.close()


class _AskingConnector(aiohttp.TCPConnector):
    """Asks once more when there is a connection, whether the request may still be written to it."""

    # The signature is aiohttp's.
    async def connect(self, req: ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout) -> Connection:  # noqa: ASYNC109
        connection = await super().connect(req, traces, timeout)
        ask = _before_writing.get()
        if ask is not None:
            try:
                await ask()
            except BaseException:
                connection.close()
                raise
        return connection


def _payload(body: bytes | None) -> bytes | io.BytesIO | None:
    return io.BytesIO(body) if body is not None and len(body) >= LARGE_BODY_BYTES else body


def _once(action: Callable[[], None]) -> Callable[[], None]:
    remaining = [action]

    def run() -> None:
        with contextlib.suppress(IndexError):
            remaining.pop()()

    return run
