"""No side door: whatever is asked for, in whatever spelling, no connection to a provider without an admission.

Prints one JSON line. SIDE_DOOR_STEP=1 asks for every path; a larger one for every so many.
"""

import http.client
import itertools
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import httpx2
import pytest
from navplane.gate.gate import Admission, Ask, Refusal
from navplane.gateway.limits import Limits

from tests.support.demo_upstream import NO_TLS
from tests.support.gate_memory import MemoryGate
from tests.support.gateway import GatewayServer, add_tenant, sealed_key
from tests.support.provider import FakeProvider, json_answer

STEP = int(os.environ.get("SIDE_DOOR_STEP", "7"))
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "QUERY", "post"]
OPERATIONS = [
    "chat/completions", "responses", "responses/resp_1", "responses/resp_1/cancel", "responses/resp_1/input_items",
    "embeddings", "models", "models/gpt-5", "moderations", "images/generations", "images/edits", "images/variations",
    "audio/speech", "audio/transcriptions", "audio/translations", "messages", "messages/count_tokens", "messages/batches",
    "files", "files/f/content", "batches", "fine_tuning/jobs", "assistants", "threads", "vector_stores", "realtime",
    "completions", "organization/usage", "containers", "evals", "skills", "rerank", "proxy", "passthrough",
]  # fmt: skip
PREFIXES = [
    "/v1/", "/", "/v1/v1/", "/openai/v1/", "/anthropic/v1/", "/azure/openai/v1/", "/azure/openai/deployments/d/", "/google/v1/",
    "/openrouter/v1/", "/custom/v1/", "/nobody/v1/", "/v2/", "/api/v1/", "/admin/", "/_demo/", "/openai/", "/v1beta/openai/",
]  # fmt: skip
SPELLINGS = [
    "{}",
    "{}/",
    "/{}",
    "/.{}",
    "/x/..{}",
    "{}%2f",
    "{}?x=1",
    "{}#x",
    "http://evil.example{}",
    "{};x",
    "{}%00",
    "/%76{}",
]
BODY = b'{"model":"gpt-5"}'
UNSIGNED, SIGNED = "without a key", "with a key"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """`side_doors`: requests that reached a provider beyond those that were admitted."""

    harness: str
    requests: int
    unsigned: int
    admitted: int
    upstream: int
    side_doors: list[str]


class CountingGate(MemoryGate):
    def __init__(self) -> None:
        super().__init__()
        self.admitted = 0

    def admit(self, ask: Ask, now: datetime) -> Admission | Refusal:
        answer = super().admit(ask, now)
        self.admitted += isinstance(answer, Admission)
        return answer


class WithSideDoor:
    """A mutant: a convenient route to the provider, beside the gateway."""

    def __init__(self, app: Any, provider: str) -> None:
        self._app, self._provider = app, provider

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["raw_path"].endswith(b"passthrough"):
            async with httpx2.AsyncClient(trust_env=False, verify=NO_TLS) as client:
                await client.post(self._provider, content=b"")
        await self._app(scope, receive, send)


@pytest.fixture(scope="module")
def provider() -> Iterator[FakeProvider]:
    with FakeProvider() as playing:
        playing.script(json_answer(b'{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1}}'))
        yield playing


def sweep(server: GatewayServer, gate: CountingGate, provider: FakeProvider, operations: list[str], *, step: int = 1) -> Report:
    tenant, doors, seen, asked = add_tenant(gate), [], len(provider.requests), 0
    for name in ("google", "openrouter"):
        gate.add_provider_key(sealed_key(tenant.org_id, name))
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    paths = [spelling.format(prefix + name) for prefix, name, spelling in itertools.product(PREFIXES, operations, SPELLINGS)]
    for at, path in enumerate(paths[::step]):
        # Each path by two methods, in turn, and once with a key and once without.
        for method in {"POST", METHODS[at % len(METHODS)]}:
            for key in (None, tenant.key):
                before, admitted = len(provider.requests), gate.admitted
                _ask(connection, method, path, key)
                asked += 1
                if len(provider.requests) - before > gate.admitted - admitted:
                    doors.append(f"{method} {path} {SIGNED if key else UNSIGNED}")
    connection.close()
    return Report(
        harness="side_doors", requests=asked, unsigned=asked // 2, admitted=gate.admitted,
        upstream=len(provider.requests) - seen, side_doors=doors,
    )  # fmt: skip


def _ask(connection: http.client.HTTPConnection, method: str, path: str, key: str | None) -> None:
    headers = {"content-type": "application/json", **({"authorization": f"Bearer {key}"} if key else {})}
    try:
        connection.request(method, path, body=BODY, headers=headers)
        connection.getresponse().read()
    except (http.client.HTTPException, OSError):
        # What is no HTTP to the server ends the connection.
        connection.close()


def test_nothing_reaches_a_provider_that_was_not_admitted(provider: FakeProvider) -> None:
    gate = CountingGate()
    urls = dict.fromkeys(("openai", "anthropic", "google", "openrouter"), provider.url)
    with GatewayServer(urls, gate=gate, limits=Limits(request_body=0.5)) as server:
        report = sweep(server, gate, provider, OPERATIONS, step=STEP)
    print(json.dumps(asdict(report)))
    assert report.side_doors == []
    # A sweep that never gets through would prove nothing.
    assert report.admitted >= report.upstream > 50 // STEP


def test_the_sweep_catches_a_side_door(provider: FakeProvider) -> None:
    gate = CountingGate()
    server = GatewayServer({"openai": provider.url}, gate=gate)
    server.app = WithSideDoor(server.app, provider.url)  # type: ignore[assignment]
    with server:
        assert sweep(server, gate, provider, ["passthrough"], step=STEP).side_doors
