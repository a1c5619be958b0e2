"""An async job of somebody else: whoever knows its id could read what stands behind it, with the victim's own key."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from uuid import uuid4

import httpx2
import pytest
from navplane.gate.gate import Owner
from navplane.model.ids import new_id
from navplane.model.policy import Policy

from tests.regressions.conftest import Application
from tests.support.gateway import GatewayServer, sealed_key
from tests.support.provider import FakeProvider, json_answer

VICTIMS_SECRET = "sk-of-the-victim-51d2e84b60aa"


@pytest.fixture
def victim(server: GatewayServer) -> Iterator[Application]:
    """Its key at the provider is one of its own."""
    yield from _with_files(server, VICTIMS_SECRET)


@pytest.fixture
def attacker(server: GatewayServer) -> Iterator[Application]:
    yield from _with_files(server, "sk-of-the-attacker-2d2e84b60bb")


def _with_files(server: GatewayServer, secret: str) -> Iterator[Application]:
    tenant = server.tenant()
    server.gate.set_policy(tenant.org_id, Policy(allow_files=True))
    server.gate.remove_provider_keys(tenant.org_id)
    server.gate.add_provider_key(sealed_key(tenant.org_id, "openai", secret))
    with server.client() as http:
        yield Application(server=server, caller=tenant.caller, key=tenant.key, http=http)


def ways(job: str, batch: str) -> list[tuple[str, str]]:
    return [
        ("GET", f"/v1/responses/{job}"),
        ("GET", f"/responses/{job}"),
        ("GET", f"/openai/v1/responses/{job}"),
        ("GET", f"/v1/responses/{job}/input_items"),
        ("POST", f"/v1/responses/{job}/cancel"),
        ("DELETE", f"/v1/responses/{job}"),
        ("GET", f"/v1/batches/{batch}"),
        ("POST", f"/v1/batches/{batch}/cancel"),
    ]


def test_idor_on_an_async_job_that_used_the_victims_key(
    victim: Application, attacker: Application, provider: FakeProvider, server: GatewayServer
) -> None:
    job, batch = f"resp_{uuid4().hex}", f"batch_{uuid4().hex}"
    provider.script(json_answer(json.dumps({"id": job, "status": "queued", "usage": None}).encode()))
    assert victim.post("/v1/responses", b'{"model":"gpt-5","input":"x","background":true}').status_code == 200
    owner = Owner(org_id=victim.org_id, provider_key_id=new_id())
    server.gate.bind_object("openai", batch, owner, datetime.now(UTC))
    called = len(provider.requests)
    stolen = [asked(attacker, *way) for way in ways(job, batch)]
    invented = [asked(attacker, *way) for way in ways(f"resp_{uuid4().hex}", f"batch_{uuid4().hex}")]
    assert [answer.status_code for answer in stolen] == [404] * len(stolen)
    assert [answer.json() for answer in stolen] == [answer.json() for answer in invented], "as if there were none"
    continued = attacker.post(
        "/v1/responses", json.dumps({"model": "gpt-5", "input": "x", "previous_response_id": job}).encode()
    )
    assert continued.status_code == 404
    assert len(provider.requests) == called, "neither key was used"
    assert asked(victim, "GET", f"/v1/responses/{job}").status_code == 200
    assert provider.last.all("authorization") == [f"Bearer {VICTIMS_SECRET}"]


def asked(application: Application, method: str, path: str) -> httpx2.Response:
    return application.http.request(method, path, headers={"authorization": f"Bearer {application.key}"})
