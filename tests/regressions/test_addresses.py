"""Where the provider's key goes: nobody but the registry, and who may change it, has a say in that."""

import json
from collections.abc import Iterator

import pytest

from tests.regressions.conftest import Application
from tests.support.gateway import PROVIDER_SECRET, GatewayServer, exchange, sealed_key
from tests.support.provider import FakeProvider, json_answer

CHAT = "/v1/chat/completions"
ANSWER = b'{"model":"gpt-5","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1}}'
HEADERS = [
    "base-url", "x-base-url", "openai-base-url", "x-openai-base-url", "openai-api-base", "x-api-base", "x-upstream",
    "x-upstream-url", "x-target-url", "x-custom-host", "x-portkey-custom-host", "x-forwarded-host", "x-stainless-base-url",
    "helicone-target-url", "x-host", "forwarded",
]  # fmt: skip
FIELDS = ["api_base", "base_url", "api_host", "custom_host", "endpoint", "azure_endpoint", "url", "proxy"]
# Every spelling under which one operation is served, those that are there for old clients among them.
ROUTES = ["/v1/chat/completions", "/chat/completions", "/v1/v1/chat/completions", "/openai/v1/chat/completions"]


@pytest.fixture(scope="module")
def evil() -> Iterator[FakeProvider]:
    """Where the caller would like the key to go."""
    with FakeProvider() as listening:
        listening.script(json_answer(ANSWER))
        yield listening


def goes_to_the_provider(application: Application, provider: FakeProvider, path: str, body: bytes, **headers: str) -> None:
    provider.script(json_answer(ANSWER))
    called = len(provider.requests)
    answer = application.post(path, body, **headers)
    assert (answer.status_code, answer.content) == (200, ANSWER)
    assert len(provider.requests) == called + 1
    assert provider.last.all("authorization") == [f"Bearer {PROVIDER_SECRET}"]


def test_caller_chosen_base_url_receiving_the_key(application: Application, provider: FakeProvider, evil: FakeProvider) -> None:
    body, reached = b'{"model":"gpt-5"}', evil.connections
    for name in HEADERS:
        goes_to_the_provider(application, provider, CHAT, body, **{name.replace("-", "_"): evil.url})
    for query in (f"?base_url={evil.url}", f"?api_base={evil.url}&host=127.0.0.1:{evil.port}"):
        goes_to_the_provider(application, provider, CHAT + query, body)
    for target in (f"{evil.url}{CHAT}", f"//127.0.0.1:{evil.port}{CHAT}", f"/@127.0.0.1:{evil.port}{CHAT}"):
        head = f"POST {target} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {application.key}\r\n"
        framing = f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        answer = exchange(application.server.port, (head + framing).encode() + body)
        assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 404 ")), (target, answer)
    assert evil.connections == reached


def test_callers_api_base_receives_our_key(application: Application, provider: FakeProvider, evil: FakeProvider) -> None:
    """In the body it is the caller's own, and goes to the provider as it was; it leads nowhere."""
    reached = evil.connections
    for name in FIELDS:
        body = json.dumps({"model": "gpt-5", name: evil.url, "metadata": {name: evil.url}, "extra_body": {name: evil.url}})
        goes_to_the_provider(application, provider, CHAT, body.encode())
        assert provider.last.body == body.encode()
    assert evil.connections == reached


def test_ssrf_by_a_custom_host_header_and_again_through_an_old_route(
    application: Application, provider: FakeProvider, evil: FakeProvider
) -> None:
    reached = evil.connections
    for path in ROUTES:
        for name in ("x_custom_host", "x_portkey_custom_host", "custom_host", "x_forwarded_host"):
            for host in (f"127.0.0.1:{evil.port}", evil.url, "http://169.254.169.254/latest/meta-data"):
                goes_to_the_provider(application, provider, path, b'{"model":"gpt-5"}', **{name: host})
    assert evil.connections == reached


def test_ssrf_through_a_row_that_no_validator_has_seen(evil: FakeProvider) -> None:
    """As an old route, or a hand in the database, would have left it: an address is read again each time that it is used."""
    reached = evil.connections
    with GatewayServer({}) as server, server.client() as http:
        for provider, address in (("custom", f"https://localhost:{evil.port}"), ("azure", f"https://127.0.0.1:{evil.port}")):
            tenant = server.tenant()
            server.gate.add_provider_key(sealed_key(tenant.org_id, provider, base_url=address))
            headers = {"authorization": f"Bearer {tenant.key}"}
            answer = http.post(f"/{provider}/v1/chat/completions", json={"model": "gpt-5"}, headers=headers)
            assert answer.status_code == 502, answer.text
            assert PROVIDER_SECRET not in answer.text
    assert evil.connections == reached
