"""The same prompt costs the same, streamed or not: every count of the two rows, per dialect.

Prints one JSON line per dialect. PROMPTS sets how many prompts.
"""

import json
import os
import random
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import httpx2
import pytest
from navplane.model.tenancy import StreamUsage
from navplane.model.usage import Usage, UsageQuality
from navplane_local.demo_upstream.app import DemoUpstream

from tests.support.gateway import GatewayServer, HostedApp, Tenant, sealed_key

PROMPTS = int(os.environ.get("PROMPTS", "20"))
SEED = 20261121
_WORDS = ["straße", "你好", "🌍", "lorem", "ipsum", "\\", '"quoted"', "\n", "naïve", "0123456789" * 5, "data:", "[DONE]"]
# The path, the model, and the member that holds the prompt.
DIALECTS = {
    "openai chat": ("/v1/chat/completions", "gpt-5", "messages"),
    "openai responses": ("/v1/responses", "gpt-5", "input"),
    "anthropic": ("/v1/messages", "claude-opus-5", "messages"),
    "gemini": ("/google/v1/chat/completions", "gemini-3", "messages"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """`different`: pairs of rows that don't say the same. `zero`: pairs that count nothing."""

    harness: str
    dialect: str
    prompts: int
    tokens: int
    different: int
    zero: int


class UnderAnyPath:
    """The demo upstream where Gemini would have it, too."""

    def __init__(self) -> None:
        self._app = DemoUpstream(accept_any_key=True)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            path = scope["raw_path"].replace(b"/v1beta/openai/", b"/v1/")
            scope = {**scope, "raw_path": path, "path": path.decode()}
        await self._app(scope, receive, send)


@pytest.fixture(scope="module")
def server() -> Iterator[GatewayServer]:
    upstream = HostedApp(UnderAnyPath())
    upstream.start()
    with GatewayServer(dict.fromkeys(("openai", "anthropic", "google"), upstream.url)) as running:
        yield running
    upstream.stop()


def compare(server: GatewayServer, dialect: str, tenant: Tenant, prompts: int) -> Report:
    chance = random.Random(SEED)
    pairs = []
    with server.client() as client:
        for _ in range(prompts):
            prompt = " ".join(chance.choices(_WORDS, k=chance.randrange(1, 60)))
            pairs.append([_counted(server, client, tenant, dialect, prompt, streamed=streamed) for streamed in (False, True)])
    return Report(
        harness="streamed_usage",
        dialect=dialect,
        prompts=prompts,
        tokens=sum(usage.total_tokens for (usage, _), _ in pairs),
        different=sum(whole != streamed for whole, streamed in pairs),
        zero=sum(usage == Usage() for (usage, _), _ in pairs),
    )


def _counted(
    server: GatewayServer, client: httpx2.Client, tenant: Tenant, dialect: str, prompt: str, *, streamed: bool
) -> tuple[Usage, UsageQuality]:
    path, model, member = DIALECTS[dialect]
    said: Any = prompt if member == "input" else [{"role": "user", "content": prompt}]
    body = {"model": model, member: said, "stream": streamed, **({"max_tokens": 200} if dialect == "anthropic" else {})}
    answered = client.post(path, json=body, headers={"authorization": f"Bearer {tenant.key}"})
    assert answered.status_code == 200, answered.text
    rows = server.log.wait_for(len(server.log.of(tenant.org_id)) or 1, org_id=tenant.org_id)
    while str(rows[-1].request_id) != answered.headers["x-navplane-request-id"]:
        rows = server.log.wait_for(len(rows) + 1, org_id=tenant.org_id)
    return rows[-1].usage, rows[-1].usage_quality


def tenant_of(server: GatewayServer, mode: StreamUsage) -> Tenant:
    tenant = server.tenant(stream_usage=mode)
    server.gate.add_provider_key(sealed_key(tenant.org_id, "google"))
    return tenant


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_prompt_costs_the_same_streamed_or_not(dialect: str, server: GatewayServer) -> None:
    report = compare(server, dialect, tenant_of(server, StreamUsage.INJECT), PROMPTS)
    print(json.dumps(asdict(report)))
    assert (report.prompts, report.different, report.zero) == (PROMPTS, 0, 0)


@pytest.mark.parametrize("dialect", ["openai chat", "gemini"])
def test_the_harness_catches_streams_that_are_not_asked_for_their_usage(dialect: str, server: GatewayServer) -> None:
    """Which is what a gateway does that never adds the option."""
    assert compare(server, dialect, tenant_of(server, StreamUsage.OBSERVE), 5).different == 5
