"""Every bad request has one answer, in the dialect of its surface, before any provider is called."""

import asyncio
import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from navplane.crypto.api_key import new_api_key
from navplane.gateway.app import Gateway
from navplane.gateway.asgi import Message
from navplane.model.policy import Policy
from navplane.model.tenancy import Region
from navplane.model.usage import Outcome, Usage, UsageQuality

from tests.integration.gateway.conftest import Application
from tests.support.gateway import MAX_BODY_BYTES, GatewayServer, exchange
from tests.support.provider import FakeProvider

CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
SURFACES = [(CHAT, b'{"model":"gpt-5","messages":[]}'), (MESSAGES, b'{"model":"claude-opus-5","messages":[],"max_tokens":1}')]


@pytest.fixture(autouse=True)
def _no_upstream(provider: FakeProvider) -> Iterator[None]:
    before = (len(provider.requests), provider.connections)
    yield
    assert (len(provider.requests), provider.connections) == before


def error_of(path: str, response: Any) -> tuple[int, str]:
    """Status and what names the error in its dialect, whose shape is checked on the way."""
    body = response.json()
    ours = response.headers["x-navplane-request-id"]
    if "messages" in path:
        assert (body["type"], body["request_id"], response.headers["request-id"]) == ("error", ours, ours)
        assert set(body) == {"type", "error", "request_id"}
        assert set(body["error"]) == {"type", "message"}
        return response.status_code, body["error"]["type"]
    assert response.headers["x-request-id"] == ours
    assert set(body) == {"error"}
    assert set(body["error"]) == {"message", "type", "param", "code"}
    return response.status_code, body["error"]["code"]


def expect(path: str, response: Any, openai: tuple[int, str], anthropic: tuple[int, str]) -> None:
    assert error_of(path, response) == (anthropic if "messages" in path else openai)


INVALID = "invalid_request_error"
BODIES = [
    (b"{", (400, "invalid_json"), (400, INVALID)),
    (b"", (400, "invalid_json"), (400, INVALID)),
    (b"[]", (400, "invalid_json"), (400, INVALID)),
    (b'{"model":"gpt-5","model":"gpt-4"}', (400, "invalid_model"), (400, INVALID)),
    (b'{"model":"gpt-5","\\u006dodel":"gpt-4"}', (400, "invalid_model"), (400, INVALID)),
    (b'{"messages":[]}', (400, "invalid_model"), (400, INVALID)),
    (b'{"model":5}', (400, "invalid_model"), (400, INVALID)),
    (b'{"model":"gpt-5","a":NaN}', (400, "invalid_json"), (400, INVALID)),
    (b'{"model":"gpt-5","a":1e999}', (400, "invalid_json"), (400, INVALID)),
    (b"[" * 100_000, (400, "invalid_json"), (400, INVALID)),
    (b'\xef\xbb\xbf{"model":"gpt-5"}', (400, "invalid_json"), (400, INVALID)),
    ('{"model":"gpt-5"}'.encode("utf-16"), (400, "invalid_json"), (400, INVALID)),
    (b'{"model":"gpt-5"} {}', (400, "invalid_json"), (400, INVALID)),
    (b'{"model":"gpt-5","a":"\\ud800"}', (400, "invalid_json"), (400, INVALID)),
    (b" " * (MAX_BODY_BYTES + 1), (413, "request_too_large"), (413, "request_too_large")),
]


@pytest.mark.parametrize("path", [CHAT, MESSAGES])
@pytest.mark.parametrize(("body", "openai", "anthropic"), BODIES, ids=range(len(BODIES)))
def test_bad_body(
    application: Application, path: str, body: bytes, openai: tuple[int, str], anthropic: tuple[int, str]
) -> None:
    asked = len(application.server.gate.asks)
    response = application.post(path, body)
    expect(path, response, openai, anthropic)
    assert response.headers["x-should-retry"] == "false"
    assert application.server.gate.asks[asked:] == []


HEADERS: list[tuple[dict[str, str], tuple[int, str], tuple[int, str]]] = [
    ({"content-type": "text/plain"}, (415, "unsupported_media_type"), (415, INVALID)),
    ({"content-encoding": "gzip"}, (415, "unsupported_media_type"), (415, INVALID)),
    ({"x-api-key": "something-else"}, (400, "ambiguous_credentials"), (400, INVALID)),
    ({"api-key": new_api_key("np_")}, (400, "ambiguous_credentials"), (400, INVALID)),
    ({"authorization": "Bearer sk-not-ours"}, (401, "invalid_api_key"), (401, "authentication_error")),
    ({"authorization": ""}, (401, "invalid_api_key"), (401, "authentication_error")),
    ({"authorization": f"Bearer {new_api_key('np_')}"}, (401, "invalid_api_key"), (401, "authentication_error")),
    ({"x-large": "x" * 60_000, "x-larger": "x" * 6_000}, (431, "headers_too_large"), (431, INVALID)),
    ({f"x-{i}": "" for i in range(101)}, (431, "headers_too_large"), (431, INVALID)),
    ({"x-navplane-hop": "1"}, (508, "loop_detected"), (508, "api_error")),
]


@pytest.mark.parametrize(("path", "body"), SURFACES)
@pytest.mark.parametrize(("headers", "openai", "anthropic"), HEADERS, ids=range(len(HEADERS)))
def test_bad_headers(
    application: Application,
    path: str,
    body: bytes,
    headers: dict[str, str],
    openai: tuple[int, str],
    anthropic: tuple[int, str],
) -> None:
    expect(path, application.post(path, body, headers=headers), openai, anthropic)


@pytest.mark.parametrize("path", [CHAT, MESSAGES])
def test_key_in_the_query_is_refused(application: Application, path: str) -> None:
    for query in (f"key={application.tenant.key}", f"x={application.tenant.key}"):
        expect(path, application.post(f"{path}?{query}", b"{}"), (400, "bad_query"), (400, INVALID))


def test_malformed_key_is_refused_without_asking_the_gate(application: Application) -> None:
    asked = len(application.server.gate.asks)
    assert application.post(CHAT, SURFACES[0][1], headers={"authorization": "Bearer np_nonsense"}).status_code == 401
    assert len(application.server.gate.asks) == asked


def test_unknown_and_revoked_keys_look_alike(application: Application) -> None:
    application.server.gate.revoke(application.tenant.caller.key_id)
    revoked = application.post(CHAT, SURFACES[0][1])
    unknown = application.post(CHAT, SURFACES[0][1], headers={"authorization": f"Bearer {new_api_key('np_')}"})
    malformed = application.post(CHAT, SURFACES[0][1], headers={"authorization": "Bearer np_"})
    assert revoked.status_code == unknown.status_code == malformed.status_code == 401
    assert revoked.json() == unknown.json() == malformed.json()


PATHS = [
    ("POST", "/v1/nothing", (404, "unknown_endpoint")),
    ("POST", "/admin/orgs", (404, "unknown_endpoint")),
    ("POST", "/", (404, "unknown_endpoint")),
    ("GET", "/v1/chat/completions", (405, "method_not_allowed")),
    ("POST", "/v1/models", (405, "method_not_allowed")),
    ("DELETE", "/v1/embeddings", (405, "method_not_allowed")),
    ("OPTIONS", "/v1/chat/completions", (405, "method_not_allowed")),
]


@pytest.mark.parametrize(("method", "path", "expected"), PATHS)
def test_unknown_paths_and_methods_are_refused_before_anything_else(
    application: Application, method: str, path: str, expected: tuple[int, str]
) -> None:
    assert error_of(path, application.http.request(method, path)) == expected


def test_unknown_path_is_answered_in_the_dialect_of_who_asks(application: Application) -> None:
    response = application.http.post("/v1/nothing", headers={"anthropic-version": "2023-06-01"})
    assert error_of("messages", response) == (404, "not_found_error")
    assert error_of("messages", application.http.get("/v1/messages")) == (405, INVALID)


TARGETS = [
    "/v1/../admin", "/v1/%2e%2e/admin", "/v1/chat%2fcompletions", "/v1/chat/completions%00", "/@evil.example/v1/messages",
    "/v1\\chat", "/v1//chat/completions", "/v1/chat/completions;x", "/./v1/chat/completions",
]  # fmt: skip


@pytest.mark.parametrize("target", TARGETS)
def test_path_tricks_on_the_wire(application: Application, target: str) -> None:
    request = f"POST {target} HTTP/1.1\r\nhost: x\r\n{_auth(application)}content-length: 2\r\n\r\n{{}}"
    answer = exchange(application.server.port, request.encode())
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b'"code": "bad_path"' in answer or b"invalid_request_error" in answer


@pytest.mark.parametrize(
    "target", ["//evil.example/v1/chat/completions", "http://evil.example/v1/chat/completions", "/v1/chat/completions#x"]
)
def test_targets_that_name_a_host_or_fragment_never_reach_it(application: Application, target: str) -> None:
    """The server parses these before we see them; what is left of them leads to the registry or nowhere."""
    request = f"GET {target} HTTP/1.1\r\nhost: x\r\n{_auth(application)}\r\n"
    assert exchange(application.server.port, request.encode())[9:12] in (b"400", b"404", b"405")


@pytest.mark.parametrize(
    "framing",
    [
        "content-length: 2\r\ncontent-length: 3\r\n",
        "content-length: 2\r\ntransfer-encoding: chunked\r\n",
        "content-length: x\r\n",
        "x-evil: a\x00b\r\n",
        "transfer-encoding: gzip\r\n",
    ],
)
def test_ambiguous_framing_on_the_wire(application: Application, framing: str) -> None:
    request = f"POST {CHAT} HTTP/1.1\r\nhost: x\r\n{_auth(application)}content-type: application/json\r\n{framing}\r\n{{}}"
    assert exchange(application.server.port, request.encode()).startswith(b"HTTP/1.1 400 ")


def test_body_that_grows_beyond_the_limit_is_cut_off_while_it_is_read(application: Application) -> None:
    fields = f"{_auth(application)}content-type: application/json\r\ntransfer-encoding: chunked\r\n"
    head = f"POST {CHAT} HTTP/1.1\r\nhost: x\r\n{fields}\r\n"
    piece = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    with socket.create_connection(("127.0.0.1", application.server.port), timeout=10) as connection:
        connection.sendall(head.encode())
        for _ in range(MAX_BODY_BYTES // 0x10000 + 1):
            connection.sendall(piece)
        assert connection.recv(65536).startswith(b"HTTP/1.1 413 ")


def _auth(application: Application) -> str:
    return f"authorization: Bearer {application.tenant.key}\r\n"


# -- refused by the gate: a caller is known, so there is a row -------------------------------------------------------------


@pytest.mark.parametrize(("path", "body"), SURFACES)
def test_disabled_organization(application: Application, path: str, body: bytes) -> None:
    application.server.gate.set_enabled(application.tenant.org_id, False)
    response = application.post(path, body)
    expect(path, response, (403, "organization_disabled"), (403, "permission_error"))
    assert response.headers["x-should-retry"] == "false"
    row = application.row()
    assert (row.status, row.error_code, row.outcome) == (403, "organization_disabled", Outcome.REFUSED)
    assert (row.usage, row.usage_quality, row.attempts) == (Usage(), UsageQuality.EXACT, 0)
    assert str(row.request_id) == response.headers["x-navplane-request-id"]


@pytest.mark.parametrize(("path", "body"), SURFACES)
def test_model_that_is_blocked(application: Application, path: str, body: bytes) -> None:
    settings = Policy(block_models=("gpt-*", "claude-*"))
    application.server.gate.set_policy(application.tenant.org_id, settings)
    expect(path, application.post(path, body), (403, "model_not_allowed"), (403, "permission_error"))
    assert application.row().error_code == "model_not_allowed"


@pytest.mark.parametrize("path", [CHAT, MESSAGES])
@pytest.mark.parametrize("model", ["llama-9", "nobody/gpt-5", "gpt", "claude"])
def test_model_that_nobody_serves(application: Application, path: str, model: str) -> None:
    response = application.post(path, json.dumps({"model": model}).encode())
    expect(path, response, (404, "model_not_found"), (404, "not_found_error"))
    row = application.row()
    assert (row.status, row.error_code, row.provider, row.model) == (404, "model_not_found", None, model)


@pytest.mark.parametrize(("path", "body"), SURFACES)
def test_missing_provider_key_names_the_way_to_add_one(application: Application, path: str, body: bytes) -> None:
    application.server.gate.remove_provider_keys(application.tenant.org_id)
    response = application.post(path, body)
    expect(path, response, (400, "provider_key_missing"), (400, INVALID))
    assert f"/admin/orgs/{application.tenant.org_id}/provider-keys" in response.json()["error"]["message"]
    assert application.row().error_code == "provider_key_missing"


def test_workspace_of_another_region(provider: FakeProvider) -> None:
    with GatewayServer({"openai": provider.url}, region=Region.EU) as server, server.client() as http:
        tenant = server.tenant()
        headers = {"authorization": f"Bearer {tenant.key}"}
        response = http.post(CHAT, json={"model": "gpt-5"}, headers=headers)
        assert error_of(CHAT, response) == (403, "region_mismatch")


# -- without a server between: what uvicorn would never let through --------------------------------------------------------


def test_raw_headers_of_another_server_are_checked_too(server: GatewayServer) -> None:
    assert _call(server.app, [(b"x-evil", b"a\r\nb: c")])["status"] == 400
    assert _call(server.app, [(b"content-length", b"2"), (b"content-length", b"2")])["status"] == 400
    assert _call(server.app, [(b"content-length", b"2"), (b"transfer-encoding", b"chunked")])["status"] == 400


def _call(app: Gateway, headers: list[tuple[bytes, bytes]]) -> Message:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"{}", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": CHAT, "raw_path": CHAT.encode(), "query_string": b"", "headers": headers}
    asyncio.run(app(scope, receive, send))
    return sent[0]
