"""What every provider of the registry must keep, on fixtures of its documented shapes: one file of fixtures for each."""

import json
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx2
import pytest
from navplane.errors import DependencyUnavailable, ProviderKeyInvalid
from navplane.model.dialect import Dialect
from navplane.model.provider_key import Secret
from navplane.model.usage import Outcome, Usage, UsageQuality
from navplane.upstream.origin import Origins
from navplane.upstream.provider import Origin
from navplane.upstream.providers import PROVIDERS
from navplane.upstream.validate import validate_key

from tests.support.gateway import PROVIDER_SECRET, GatewayServer, Tenant, sealed_key
from tests.support.provider import FakeProvider, json_answer, stream

FIXTURES = {path.stem: json.loads(path.read_text()) for path in (Path(__file__).parent / "fixtures").glob("*.json")}
KEY = Secret(PROVIDER_SECRET.encode())
pytestmark = pytest.mark.parametrize("name", PROVIDERS)


@pytest.fixture(scope="module")
def provider() -> Iterator[FakeProvider]:
    with FakeProvider() as playing:
        yield playing


@pytest.fixture(scope="module")
def server(provider: FakeProvider) -> Iterator[GatewayServer]:
    with GatewayServer(dict.fromkeys(PROVIDERS, provider.url)) as running:
        yield running


@pytest.fixture
def tenant(server: GatewayServer, name: str) -> Tenant:
    tenant = server.tenant()
    server.gate.remove_provider_keys(tenant.org_id)
    server.gate.add_provider_key(sealed_key(tenant.org_id, name, base_url=FIXTURES[name]["base_url"]))
    return tenant


def surface(name: str) -> str:
    """The provider's main operation, on the path that names the provider."""
    return f"/{name}/v1/" + ("messages" if PROVIDERS[name].dialect is Dialect.ANTHROPIC else "chat/completions")


def post(server: GatewayServer, tenant: Tenant, name: str, **members: Any) -> httpx2.Response:
    asked = {"model": FIXTURES[name]["model"], "max_tokens": 50, "messages": [{"role": "user", "content": "Hi"}], **members}
    with server.client() as http:
        return http.post(surface(name), json=asked, headers={"authorization": f"Bearer {tenant.key}"})


def events_of(name: str) -> list[bytes]:
    lines = []
    for event in FIXTURES[name]["events"]:
        if isinstance(event, str):
            lines.append(event.encode() + b"\n\n")
        elif PROVIDERS[name].dialect is Dialect.ANTHROPIC:
            lines.append(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())
        else:
            lines.append(f"data: {json.dumps(event)}\n\n".encode())
    return lines if PROVIDERS[name].dialect is Dialect.ANTHROPIC else [*lines, b"data: [DONE]\n\n"]


def test_provider_has_fixtures_and_the_address_they_document(name: str) -> None:
    fixture = FIXTURES[name]
    origins = Origins(overrides={}, demo_url=None)
    origin = origins.of(PROVIDERS[name], demo=False, base_url=fixture["base_url"])
    assert (origin.scheme, origin.host, origin.port) == ("https", fixture["host"], 443)
    assert origins.admit(origin)
    assert not origins.admit(replace(origin, scheme="http"))
    assert not origins.admit(replace(origin, host="evil.example", guarded=False))
    assert (PROVIDERS[name].origin is None) == (fixture["base_url"] is not None)


def test_key_whose_address_is_of_the_wrong_kind_is_not_used(
    name: str, server: GatewayServer, provider: FakeProvider, tenant: Tenant
) -> None:
    """One too many, or none where one is needed: refused by the gateway, whatever the database says."""
    server.gate.remove_provider_keys(tenant.org_id)
    wrong = None if FIXTURES[name]["base_url"] else "https://llm.example.com"
    server.gate.add_provider_key(sealed_key(tenant.org_id, name, base_url=wrong))
    called = len(provider.requests)
    assert post(server, tenant, name).status_code == 400
    assert len(provider.requests) == called


def test_key_goes_where_the_provider_reads_it_and_the_callers_key_nowhere(
    name: str, server: GatewayServer, provider: FakeProvider, tenant: Tenant
) -> None:
    provider.script(json_answer(json.dumps(FIXTURES[name]["answer"]).encode()))
    assert post(server, tenant, name).status_code == 200
    header, scheme = FIXTURES[name]["key_header"]
    assert provider.last.target == FIXTURES[name]["chat_path"]
    assert provider.last.all(header) == [scheme + PROVIDER_SECRET]
    assert sum(value.endswith(PROVIDER_SECRET.encode()) for _, value in provider.last.headers) == 1
    assert tenant.key.encode() not in provider.last.raw


def test_answer_passes_byte_for_byte_and_its_usage_is_exact(
    name: str, server: GatewayServer, provider: FakeProvider, tenant: Tenant
) -> None:
    body = json.dumps(FIXTURES[name]["answer"], indent=2).encode()
    provider.script(json_answer(body))
    assert post(server, tenant, name).content == body
    (row,) = server.log.wait_for(1, org_id=tenant.org_id)
    assert (row.outcome, row.usage_quality, row.provider) == (Outcome.OK, UsageQuality.EXACT, name)
    assert row.usage == Usage(**FIXTURES[name]["counts"])


def test_stream_counts_the_same_as_the_whole_answer(
    name: str, server: GatewayServer, provider: FakeProvider, tenant: Tenant
) -> None:
    events = events_of(name)
    provider.script(stream(events))
    answer = post(server, tenant, name, stream=True)
    asks = FIXTURES[name]["asks_for_usage"]
    # The event that was asked for by us alone is withheld; everything else arrives as it was sent.
    assert answer.content == b"".join(events[:-2] + events[-1:] if asks else events)
    assert (b"include_usage" in provider.last.body) == asks == PROVIDERS[name].accepts_include_usage
    (row,) = server.log.wait_for(1, org_id=tenant.org_id)
    assert (row.outcome, row.usage_quality) == (Outcome.OK, UsageQuality.EXACT)
    assert row.usage == Usage(**FIXTURES[name]["counts"])


def test_cost_is_taken_from_those_who_report_it(
    name: str, server: GatewayServer, provider: FakeProvider, tenant: Tenant
) -> None:
    """What any other provider calls `cost` is not known to be in USD, or to be a cost."""
    answer = json.loads(json.dumps(FIXTURES[name]["answer"]))
    answer["usage"].setdefault("cost", 12.5)
    provider.script(json_answer(json.dumps(answer).encode()))
    post(server, tenant, name)
    (row,) = server.log.wait_for(1, org_id=tenant.org_id)
    cost = FIXTURES[name]["cost_usd"]
    assert row.provider_cost_usd == (Decimal(cost) if cost else None)


def test_cut_stream_is_never_exact(name: str, server: GatewayServer, provider: FakeProvider, tenant: Tenant) -> None:
    """Also where the provider counts along with every event."""
    first = next(event for event in events_of(name) if event.startswith((b"data", b"event")))
    provider.script(stream([first]))
    answer = post(server, tenant, name, stream=True)
    assert answer.content == first
    (row,) = server.log.wait_for(1, org_id=tenant.org_id)
    assert row.usage_quality is UsageQuality.ESTIMATED


def test_error_passes_as_it_is(name: str, server: GatewayServer, provider: FakeProvider, tenant: Tenant) -> None:
    error = FIXTURES[name]["error"]
    body = json.dumps(error["body"], indent=1).encode()
    provider.script(json_answer(body, f"{error['status']} Error", headers=[("retry-after", "7"), ("x-request-id", "r-1")]))
    answer = post(server, tenant, name)
    assert (answer.status_code, answer.content) == (error["status"], body)
    assert (answer.headers["retry-after"], answer.headers["x-request-id"]) == ("7", "r-1")
    (row,) = server.log.wait_for(1, org_id=tenant.org_id)
    assert (row.outcome, row.usage, row.status) == (Outcome.FAILED, Usage(), error["status"])


def test_refused_provider_key_is_a_502_that_does_not_show_it(
    name: str, server: GatewayServer, provider: FakeProvider, tenant: Tenant
) -> None:
    provider.script(json_answer(f'{{"error": "bad key {PROVIDER_SECRET}"}}'.encode(), "401 Unauthorized"))
    answer = post(server, tenant, name)
    assert answer.status_code == 502
    assert PROVIDER_SECRET not in answer.text


def test_key_is_validated_where_the_provider_tells_good_from_bad(name: str, provider: FakeProvider) -> None:
    row, validation = PROVIDERS[name], FIXTURES[name]["validation"]
    origin = Origin.parse(provider.url)
    provider.script(json_answer(b"{}"))
    validate_key(row, KEY, origin=origin)
    header, scheme = FIXTURES[name]["key_header"]
    assert (provider.last.method, provider.last.target) == ("GET", validation["path"])
    assert provider.last.all(header) == [scheme + PROVIDER_SECRET]
    provider.script(json_answer(PROVIDER_SECRET.encode(), f"{validation['refusal']} Refused"))
    with pytest.raises(ProviderKeyInvalid) as caught:
        validate_key(row, KEY, origin=origin)
    assert PROVIDER_SECRET not in caught.value.message
    provider.script(json_answer(b"{}", "500 Broken"))
    with pytest.raises(DependencyUnavailable):
        validate_key(row, KEY, origin=origin)
