"""Bytes reach the other side as they are: fuzzed requests and streams through a gateway that observes, compared by SHA-256.

Prints one JSON line. FUZZED_STREAMS sets how many.
"""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import httpx2
import pytest
from navplane.model.tenancy import StreamUsage

from tests.faults.fuzzed_streams import Exchange, exchange
from tests.support.gateway import GatewayServer, Tenant
from tests.support.provider import FakeProvider, stream

STREAMS = int(os.environ.get("FUZZED_STREAMS", "100"))
SEED = int(os.environ.get("FUZZED_SEED", "20261121"))
MUTANT_STREAMS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """`changed`: where the two sides differ, in how many calls. `chunks`: pieces that the provider sent."""

    harness: str
    seed: int
    streams: int
    chunks: int
    bytes: int
    rows: int
    changed: dict[str, int]


@pytest.fixture(scope="module")
def provider() -> Iterator[FakeProvider]:
    with FakeProvider() as playing:
        yield playing


class Altered:
    """The gateway behind something that means well: what a mutant does to bodies on their way."""

    def __init__(self, app: Any, *, up: Callable[[bytes], bytes], down: Callable[[bytes], bytes]) -> None:
        self._app, self._up, self._down = app, up, down

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def received() -> Any:
            message = await receive()
            return {**message, "body": self._up(message["body"])} if message.get("body") else message

        async def sent(message: Any) -> None:
            await send({**message, "body": self._down(message["body"])} if message.get("body") else message)

        if scope["type"] == "http":
            headers = [(name, value) for name, value in scope["headers"] if name != b"content-length"]
            scope = {**scope, "headers": headers} if self._up is not same else scope
        await self._app(scope, received, sent)


def same(body: bytes) -> bytes:
    return body


def serialized_again(body: bytes) -> bytes:
    return json.dumps(json.loads(body)).encode()


def without_ttl(body: bytes) -> bytes:
    return body.replace(b', "ttl": "1h"', b"").replace(b', "ttl": "5m"', b"")


MUTANTS: dict[str, tuple[Callable[[bytes], bytes], Callable[[bytes], bytes]]] = {
    "body serialized again": (serialized_again, same),
    "cache_control.ttl stripped": (without_ttl, same),
    "line ends normalised": (same, lambda body: body.replace(b"\r\n", b"\n")),
    "ids reframed": (same, lambda body: body.replace(b"id: ", b"id:")),
    "text decoded chunk by chunk": (same, lambda body: body.decode(errors="replace").encode()),
    "bare carriage returns dropped": (same, lambda body: body.replace(b"\r", b"")),
}


def run(server: GatewayServer, tenant: Tenant, provider: FakeProvider, count: int) -> Report:
    changed: Counter[str] = Counter()
    chunks = size = 0
    with server.client() as client:
        for seed in range(SEED, SEED + count):
            given = exchange(seed)
            changed.update(differences(client, tenant, provider, given))
            chunks, size = chunks + len(given.chunks), size + len(given.answer)
    rows = len(server.log.wait_for(count, org_id=tenant.org_id))
    return Report(
        harness="stream_bytes", seed=SEED, streams=count, chunks=chunks, bytes=size, rows=rows, changed=dict(changed)
    )  # fmt: skip


def differences(client: httpx2.Client, tenant: Tenant, provider: FakeProvider, given: Exchange) -> list[str]:
    provider.script(stream(list(given.chunks)))
    before = len(provider.requests)
    headers = {"authorization": f"Bearer {tenant.key}", "content-type": "application/json", **dict(given.headers)}
    answered = client.post(given.path, content=given.body, headers=headers)
    arrived = provider.requests[before:]
    found = [] if answered.status_code == 200 and _sha(answered.content) == _sha(given.answer) else ["answer"]
    if len(arrived) != 1 or _sha(arrived[0].body) != _sha(given.body):
        found.append("request")
    elif any(arrived[0].all(name) != [value] for name, value in given.headers):
        found.append("headers")
    return found


def _sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_what_is_observed_arrives_byte_by_byte_as_it_was_sent(provider: FakeProvider) -> None:
    with GatewayServer({"openai": provider.url, "anthropic": provider.url}) as server:
        report = run(server, server.tenant(stream_usage=StreamUsage.OBSERVE), provider, STREAMS)
    print(json.dumps(asdict(report)))
    assert report.changed == {}
    assert report.rows == STREAMS


@pytest.mark.parametrize("mutant", MUTANTS)
def test_the_harness_catches_the_mutant(mutant: str, provider: FakeProvider) -> None:
    up, down = MUTANTS[mutant]
    server = GatewayServer({"openai": provider.url, "anthropic": provider.url})
    server.app = Altered(server.app, up=up, down=down)  # type: ignore[assignment]
    with server:
        report = run(server, server.tenant(stream_usage=StreamUsage.OBSERVE), provider, MUTANT_STREAMS)
    assert report.changed
