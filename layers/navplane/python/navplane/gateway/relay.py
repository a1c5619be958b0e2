"""The provider's answer on its way to the client: raw bytes at once, and a copy for the meter after them."""

import time
from collections.abc import Awaitable, Callable
from typing import Protocol
from urllib.parse import quote

from navplane.errors import ProviderKeyRejected, UpstreamCut, UpstreamError
from navplane.gateway.asgi import first_of, values_of
from navplane.gateway.call import Call
from navplane.gateway.headers import Redactor, Sighting, downstream_headers, native_id
from navplane.gateway.meter import MAX_EVENT_BYTES, Meter
from navplane.gateway.reply import Reply
from navplane.gateway.watch import Watch
from navplane.model.provider_key import Secret
from navplane.model.usage import Outcome
from navplane.upstream.client import UpstreamResponse
from navplane.upstream.readers import READERS
from navplane.upstream.usage_openai import is_usage_alone, may_be_usage_alone

# What a header carries as it is; anything else of a route's name is percent-encoded.
PRINTABLE = " !#$&'()*+,/:;=?@[]^`{|}~"
Bind = Callable[[Call, str], Awaitable[None]]
# A usage event has a few hundred bytes; a longer one is not it and need not be held until it is whole.
MAX_WITHHELD_BYTES = 64 * 1024


class Body(Protocol):
    async def read(self) -> bytes:
        """The next bytes as soon as there are any; b"" at the end."""
        ...


class WithoutKey:
    """An answer's body, up to where it repeats the provider's key. It is never edited: it goes out whole, or it breaks off
    before anybody has all of the key (docs/adr/0048)."""

    def __init__(self, body: Body, secret: bytes) -> None:
        self._body, self._sighting = body, Sighting(secret)

    async def read(self) -> bytes:
        chunk = await self._body.read()
        if self._sighting.of(chunk):
            raise UpstreamError("The provider's answer repeats the key it was called with, and goes no further.")
        return chunk


async def relay(
    call: Call,
    response: UpstreamResponse,
    reply: Reply,
    watch: Watch,
    *,
    secret: Secret,
    withhold: bool,
    bind: Bind | None,
    max_bytes: int,
) -> None:
    """Pass on a whole answer. Raise ProviderKeyRejected before its first byte, UpstreamCut or UpstreamError after it.

    `withhold`: the usage event was asked for by us and not by the client, so it is taken out of the stream. `bind` is told
    what the provider made, before the client can have all of it.
    """
    call.provider_request_id = native_id(response.headers, secret=secret.reveal())
    assert call.provider is not None
    if response.status in call.provider.key_refusals:
        call.written = False
        raise ProviderKeyRejected(_rejected(call))
    failed = response.status >= 400
    if failed and not _is_plain(response):
        # An error may repeat the provider's key, and in here it could not be found.
        call.written = False
        raise UpstreamError(f"The provider answered {response.status}, compressed, which it was asked not to.")
    events = not failed and _has_events(response)
    withhold = withhold and events
    headers = downstream_headers(response.headers, secret=secret.reveal(), request_id=str(call.request_id), resized=withhold)
    if call.route_name is not None:
        headers.append((b"x-navplane-route", quote(call.route_name, safe=PRINTABLE).encode()))
    await reply.start(response.status, headers, events=events)
    if failed:
        # A refusal is not billed.
        call.written, call.error_code = False, UpstreamError.code
        await _pass_redacted(call, response, reply, watch, Redactor(secret.reveal()), max_bytes)
    else:
        limit = MAX_WITHHELD_BYTES if withhold else MAX_EVENT_BYTES
        assert call.route is not None
        body = WithoutKey(response, secret.reveal())
        call.meter = Meter(READERS[call.route.endpoint](), events=events, max_event_bytes=limit, secret=secret.reveal())
        if bind is not None:
            await _pass_binding(call, body, reply, watch, call.meter, max_bytes, events=events, bind=bind)
        else:
            await (_pass_withholding if withhold else _pass_raw)(call, body, reply, watch, call.meter, max_bytes)
        if events and not response.delimited and not call.meter.ended:
            raise UpstreamCut("The provider's answer broke off. Send the request again.")
    await reply.end()
    call.outcome = Outcome.ABORTED if reply.deaf else Outcome.FAILED if failed else Outcome.OK


async def _pass_raw(call: Call, response: Body, reply: Reply, watch: Watch, meter: Meter, max_bytes: int) -> None:
    while chunk := await _next(call, response, watch, max_bytes - meter.received_bytes):
        await reply.write(chunk)
        meter.feed(chunk)


async def _pass_binding(
    call: Call,
    response: Body,
    reply: Reply,
    watch: Watch,
    meter: Meter,
    max_bytes: int,
    *,
    events: bool,
    bind: Bind,
) -> None:
    """A stream goes on as it comes, once its first event has told the id. A body's last chunk waits: its id is sure when all of
    it was read, and whoever has all of it may use the id at once."""
    held, bound = b"", False
    while chunk := await _next(call, response, watch, max_bytes - meter.received_bytes):
        if not events:
            await reply.write(held)
            held = chunk
        meter.feed(chunk)
        if events and not bound and meter.object_id is not None:
            await bind(call, meter.object_id)
            bound = True
        if events:
            await reply.write(chunk)
    if not bound and meter.close() and meter.object_id is not None:
        await bind(call, meter.object_id)
    await reply.write(held)


async def _pass_withholding(call: Call, response: Body, reply: Reply, watch: Watch, meter: Meter, max_bytes: int) -> None:
    """An event goes out when it is whole: until then it could be the one to withhold. Nobody could read a part of it."""
    gap = False
    while chunk := await _next(call, response, watch, max_bytes - meter.received_bytes):
        pieces = passed = meter.split(chunk)
        if gap or may_be_usage_alone(b"".join(pieces)):
            passed = []
            for piece in pieces:
                # The LF of a CRLF whose CR ended the withheld event belongs to that event.
                gap = is_usage_alone(piece) or (gap and piece == b"\n")
                if not gap:
                    passed.append(piece)
        await reply.write(b"".join(passed))
        meter.watch(pieces)
    rest = meter.rest()
    if rest and not is_usage_alone(rest):
        await reply.write(rest)


async def _pass_redacted(call: Call, response: Body, reply: Reply, watch: Watch, redactor: Redactor, max_bytes: int) -> None:
    while chunk := await _next(call, response, watch, max_bytes - call.response_bytes):
        await reply.write(redactor.feed(chunk))
    await reply.write(redactor.finish())


async def _next(call: Call, response: Body, watch: Watch, allowance: int) -> bytes:
    watch.waiting_since = time.monotonic()
    chunk = await response.read()
    if call.first_byte is None:
        call.first_byte = time.monotonic()
    watch.waiting_since = None
    if len(chunk) > allowance:
        call.outcome = Outcome.TERMINATED
        raise UpstreamError("The provider's answer is larger than this gateway passes on.")
    return chunk


def _has_events(response: UpstreamResponse) -> bool:
    """Whether the body is a stream of events that can be told apart; compressed, although we asked for identity, it is not."""
    headers = [(name.lower(), value.lower()) for name, value in response.headers]
    return _is_plain(response) and (first_of(headers, b"content-type") or b"").startswith(b"text/event-stream")


def _is_plain(response: UpstreamResponse) -> bool:
    return all(
        value.strip().lower() in (b"", b"identity")
        for value in values_of(((name.lower(), value) for name, value in response.headers), b"content-encoding")
    )


def _rejected(call: Call) -> str:
    assert call.provider is not None
    return (
        f"{call.provider.title} refused the provider key that this organization has stored. Your NavPlane key is fine; "
        "an administrator must replace the provider key."
    )
