"""The same promises kept by `navplane serve`: two replicas in containers on one Postgres, and no AWS.

tests/integration/serve starts, stops and replays it; here applications use it.
"""

import time
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import httpx2
import pytest
from navplane.model.usage import Usage
from navplane_local.issuer import Issuer

from tests.e2e.proofs.surfaces import ANTHROPIC, OPENAI, SURFACES, Surface, as_json, name_of
from tests.integration.serve.conftest import Replica, environment, issuer, provider, replica, server
from tests.support.demo_upstream import Captured, DemoUpstreamServer
from tests.support.organization import Organization
from tests.support.sdk import Call, run_calls

__all__ = ["environment", "issuer", "provider", "server"]

MAX_BODY_BYTES = 1 << 20
ENDED_SECONDS = 10.0


@pytest.fixture(scope="module")
def settings(environment: dict[str, str], provider: DemoUpstreamServer) -> dict[str, str]:
    more = {"NAVPLANE_UPSTREAM_OVERRIDE_ANTHROPIC": provider.url, "MAX_BODY_BYTES": str(MAX_BODY_BYTES)}
    return {**environment, **more}


@pytest.fixture(scope="module")
def running(settings: dict[str, str]) -> Iterator[Replica]:
    with replica(settings) as started:
        yield started


@pytest.fixture(scope="module")
def other(settings: dict[str, str], running: Replica) -> Iterator[Replica]:
    with replica(settings, "--no-jobs") as started:
        yield started


@pytest.fixture
def organization(running: Replica, issuer: Issuer) -> Organization:
    return Organization.create(admin_url=running.url, admin_token=issuer.mint("local|admin"))


def call(url: str, organization: Organization, surface: Surface, client: httpx2.Client, **changes: Any) -> httpx2.Response:
    return client.post(url + surface.path, json=surface.body(**changes), headers=surface.asked(organization.api_key))


def variables(sdk: str, url: str, key: str) -> dict[str, str]:
    if sdk == "openai":
        return {"OPENAI_BASE_URL": f"{url}/v1", "OPENAI_API_KEY": key}
    return {"ANTHROPIC_BASE_URL": url, "ANTHROPIC_API_KEY": key}


def reported(made: Call) -> dict[str, Any]:
    return {"endpoint": made.call, "stream": made.stream, "model": made.model, **asdict(made.usage)}


@pytest.mark.parametrize("sdk", ["openai", "anthropic"])
def test_every_call_of_the_sdk_is_one_row_with_exact_tokens(sdk: str, running: Replica, organization: Organization) -> None:
    made = run_calls("current", sdk, variables(sdk, running.url, organization.api_key))
    rows = organization.wait_for_rows(len(made))
    names = ["endpoint", "stream", "model", *asdict(Usage())]
    assert [{name: row[name] for name in names} for row in rows] == [reported(each) for each in made]
    assert {(row["status"], row["outcome"], row["usage_quality"], row["demo"]) for row in rows} == {(200, "ok", "exact", False)}


def test_the_kill_switch_of_one_replica_holds_for_the_very_next_call_to_the_other(
    running: Replica, other: Replica, organization: Organization, provider: DemoUpstreamServer, client: httpx2.Client
) -> None:
    words = {"openai": "organization_disabled", "anthropic": "permission_error"}
    for _ in range(10):
        warm = [call(url, organization, surface, client) for url in (running.url, other.url) for surface in SURFACES]
        before = provider.requests()[-1].id
        organization.set_enabled(False)
        for surface in SURFACES:
            for url in (other.url, running.url):
                assert surface.refusal(call(url, organization, surface, client)) == (403, words[surface.name])
        assert provider.requests(since=before) == []
        organization.set_enabled(True)
        restored = [call(other.url, organization, surface, client) for surface in SURFACES]
        assert {answer.status_code for answer in warm + restored} == {200}


def test_a_rotated_key_is_refused_by_both_replicas_at_once(
    running: Replica, other: Replica, organization: Organization, client: httpx2.Client
) -> None:
    old = organization.rotate_key()
    for url in (other.url, running.url):
        refused = client.post(url + OPENAI.path, json=OPENAI.body(), headers=OPENAI.asked(old))
        assert OPENAI.refusal(refused) == (401, "invalid_api_key")
        assert call(url, organization, OPENAI, client).status_code == 200


def captured(provider: DemoUpstreamServer, capture_id: int) -> Captured:
    return next(each for each in provider.requests(since=capture_id - 1) if each.id == capture_id)


@pytest.mark.parametrize("surface", SURFACES, ids=name_of)
def test_observed_streams_arrive_event_by_event_and_byte_by_byte(
    surface: Surface, running: Replica, organization: Organization, provider: DemoUpstreamServer, client: httpx2.Client
) -> None:
    organization.update(stream_usage="observe")
    body = as_json(surface.body(model="demo-gated-one-byte", stream=True))
    headers = surface.asked(organization.api_key)
    with client.stream("POST", running.url + surface.path, content=body, headers=headers) as answer:
        capture_id = int(answer.headers["x-demo-capture-id"])
        got = b""
        for piece in answer.iter_raw():
            got += piece
            # What follows an event is only sent when the client has the event whole.
            if got.endswith(b"\n\n"):
                provider.release(capture_id)
    seen = captured(provider, capture_id)
    assert (seen.body, seen.answer_body, seen.ended) == (body, got, "complete")


@pytest.mark.parametrize("surface", SURFACES, ids=name_of)
@pytest.mark.parametrize("stated", [True, False])
def test_a_body_beyond_the_limit_is_413_in_the_dialect_of_its_surface(
    stated: bool,
    surface: Surface,
    running: Replica,
    organization: Organization,
    provider: DemoUpstreamServer,
    client: httpx2.Client,
) -> None:
    seen = provider.connections
    body = as_json(surface.body("x" * MAX_BODY_BYTES))
    content = body if stated else iter([body[:100], body[100:]])
    answer = client.post(running.url + surface.path, content=content, headers=surface.asked(organization.api_key))
    assert surface.refusal(answer) == (413, "request_too_large")
    assert answer.headers["x-should-retry"] == "false"
    assert provider.connections == seen


def test_a_client_that_leaves_ends_the_call_at_the_provider_and_is_a_row(
    running: Replica, organization: Organization, provider: DemoUpstreamServer, client: httpx2.Client
) -> None:
    """A server is told that a client left, which Lambda is not."""
    body = ANTHROPIC.body(model="demo-gated", stream=True)
    headers = ANTHROPIC.asked(organization.api_key)
    with client.stream("POST", running.url + ANTHROPIC.path, json=body, headers=headers) as answer:
        capture_id = int(answer.headers["x-demo-capture-id"])
        next(answer.iter_raw())
    [row] = organization.wait_for_rows(1)
    assert (row["outcome"], row["usage_quality"], row["input_tokens"] > 0) == ("aborted", "estimated", True)
    deadline = time.monotonic() + ENDED_SECONDS
    while (ended := captured(provider, capture_id).ended) is None and time.monotonic() < deadline:
        time.sleep(0.02)
    assert ended == "disconnected"
