"""Clients that leave a tenth, half and nine tenths into their streams: each is one row, and none is zero.

On a server that tells (`navplane serve`) the provider's stream is closed and the usage estimated; on one that can't (Lambda) it
is read to its end and metered exactly. Prints one JSON line for each. DISCONNECTS sets how many streams.
"""

import asyncio
import json
import os
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from typing import Any

import pytest
from navplane.gateway.asgi import DEADLINE
from navplane.model.usage import Outcome, Usage
from navplane.model.usage_event import UsageEvent

from tests.support.gateway import GatewayServer, Tenant
from tests.support.provider import FakeProvider, Hang, stream
from tests.support.request_log_memory import MemoryRequestLog

STREAMS = int(os.environ.get("DISCONNECTS", "30"))
CLIENTS = 15
EVENTS = 20
SHARES = (10, 50, 90)
PATH, BODY = "/v1/messages", b'{"model":"claude-opus-5","stream":true,"max_tokens":100}'
OPENED = b'event: message_start\ndata: {"type":"message_start","message":{"usage":{"input_tokens":77,"output_tokens":1}}}\n\n'
TEXT = (
    b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
    b'"delta":{"type":"text_delta","text":"some words"}}\n\n'
)
CLOSED = [
    b'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":40}}\n\n',
    b'event: message_stop\ndata: {"type":"message_stop"}\n\n',
]

WHOLE = [OPENED, *[TEXT] * (EVENTS - 1), *CLOSED]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """`missing`: streams without a row. `zero`: rows that count nothing."""

    harness: str
    server: str
    streams: int
    rows: int
    missing: int
    zero: int
    outcomes: dict[str, int]
    qualities: dict[str, int]
    reservations_left: int


class LosesAborted(MemoryRequestLog):
    """A mutant: whoever leaves is not worth a row."""

    def publish(self, event: UsageEvent) -> None:
        if event.outcome is not Outcome.ABORTED:
            super().publish(event)


class CountsAbortedAsNothing(MemoryRequestLog):
    """A mutant: what nobody waited for was not used."""

    def publish(self, event: UsageEvent) -> None:
        super().publish(replace(event, usage=Usage()) if event.outcome is Outcome.ABORTED else event)


@pytest.fixture(scope="module")
def provider() -> Iterator[FakeProvider]:
    with FakeProvider() as playing:
        yield playing


def events_before(share: int) -> list[bytes]:
    return [OPENED, *[TEXT] * (EVENTS * share // 100 - 1)]


def on_serve(provider: FakeProvider, log: MemoryRequestLog, streams: int) -> Report:
    with GatewayServer({"anthropic": provider.url}, request_log=log) as server:
        tenant = server.tenant()
        for share in SHARES:
            given, closed = events_before(share), provider.closed_by_peer
            provider.script(stream([*given, Hang()], end=False))
            with ThreadPoolExecutor(CLIENTS) as clients:
                list(clients.map(lambda _: _leave(server, tenant, b"".join(given)), range(streams // len(SHARES))))  # noqa: B023
            provider.wait_until_closed_by_peer(closed + streams // len(SHARES))
        _wait_until(lambda: not server.gate.open_reservations())
        left = len(server.gate.open_reservations())
    return _report("serve", log.of(tenant.org_id), streams, left)


def _leave(server: GatewayServer, tenant: Tenant, after: bytes) -> None:
    headers = {"authorization": f"Bearer {tenant.key}", "content-type": "application/json"}
    with server.client() as client, client.stream("POST", PATH, content=BODY, headers=headers) as answered:
        got = b""
        for chunk in answered.iter_raw():
            got += chunk
            if len(got) >= len(after):
                return


def _wait_until(reached: Any, seconds: float = 10.0) -> None:
    ends = time.monotonic() + seconds
    while not reached() and time.monotonic() < ends:
        threading.Event().wait(0.01)


async def on_lambda(provider: FakeProvider, streams: int) -> Report:
    """As the runtime layer calls the application: with a deadline, and with a way down that is closed from some point on."""
    server = GatewayServer({"anthropic": provider.url})
    tenant = server.tenant()
    for number in range(streams):
        provider.script(stream(WHOLE))
        await _call(server, tenant, heard=SHARES[number % len(SHARES)] * len(b"".join(WHOLE)) // 100)
    await server.app.aclose()
    return _report("lambda", server.log.of(tenant.org_id), streams, len(server.gate.open_reservations()))


async def _call(server: GatewayServer, tenant: Tenant, *, heard: int) -> None:
    """The client hears so many bytes of the body, then nobody is there any more."""
    size = 0

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": BODY, "more_body": False}

    async def send(message: Any) -> None:
        nonlocal size
        size += len(message.get("body", b""))
        if size > heard:
            raise BrokenPipeError

    headers: Sequence[tuple[bytes, bytes]] = [
        (b"authorization", f"Bearer {tenant.key}".encode()),
        (b"content-type", b"application/json"),
        (b"content-length", str(len(BODY)).encode()),
    ]
    scope = {
        "type": "http", "method": "POST", "raw_path": PATH.encode(), "query_string": b"", "headers": headers,
        "extensions": {DEADLINE: time.monotonic() + 60},
    }  # fmt: skip
    await server.app(scope, receive, send)


def _report(server: str, rows: list[UsageEvent], streams: int, left: int) -> Report:
    return Report(
        harness="disconnects",
        server=server,
        streams=streams,
        rows=len(rows),
        missing=streams - len({row.request_id for row in rows}),
        zero=sum(row.usage.input_tokens == 0 or row.usage.output_tokens == 0 for row in rows),
        outcomes=dict(Counter(row.outcome.value for row in rows)),
        qualities=dict(Counter(row.usage_quality.value for row in rows)),
        reservations_left=left,
    )


def test_every_stream_that_is_left_is_a_row_where_the_server_tells(provider: FakeProvider) -> None:
    report = on_serve(provider, MemoryRequestLog(), STREAMS)
    print(json.dumps(asdict(report)))
    assert (report.rows, report.missing, report.zero, report.reservations_left) == (STREAMS, 0, 0, 0)
    assert (report.outcomes, report.qualities) == ({"aborted": STREAMS}, {"estimated": STREAMS})


def test_every_stream_that_is_left_is_read_to_its_end_where_the_server_can_not_tell(provider: FakeProvider) -> None:
    report = asyncio.run(on_lambda(provider, STREAMS))
    print(json.dumps(asdict(report)))
    assert (report.rows, report.missing, report.zero, report.reservations_left) == (STREAMS, 0, 0, 0)
    assert (report.outcomes, report.qualities) == ({"aborted": STREAMS}, {"exact": STREAMS})


def test_the_harness_catches_rows_that_are_left_out(provider: FakeProvider) -> None:
    assert on_serve(provider, LosesAborted(), 3).missing == 3


def test_the_harness_catches_rows_that_count_nothing(provider: FakeProvider) -> None:
    assert on_serve(provider, CountsAbortedAsNothing(), 3).zero == 3
