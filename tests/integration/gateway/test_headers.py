"""Headers on the wire: what providers receive, what clients receive, and which secrets never cross."""

import base64
import json

import httpx2
import pytest

from tests.integration.gateway.conftest import Application
from tests.support.gateway import PROVIDER_SECRET
from tests.support.log_lines import captured_log
from tests.support.provider import FakeProvider, answer, json_answer, stream

CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
BODY = b'{"model":"gpt-5"}'
STREAM_BODY = b'{"model":"gpt-5","stream":true}'
NATIVE = [
    ("x-request-id", "req_1"),
    ("openai-processing-ms", "12"),
    ("openai-version", "2020-10-01"),
    ("x-ratelimit-remaining-requests", "99"),
    ("anthropic-ratelimit-tokens-remaining", "5"),
    ("retry-after", "1"),
    ("retry-after-ms", "900"),
    ("x-should-retry", "true"),
    ("apim-request-id", "a1"),
]
CONNECTION_ONLY = [
    ("set-cookie", "__cf_bm=1"),
    ("alt-svc", "h3=1"),
    ("server", "cloudflare"),
    ("cf-ray", "1-FRA"),
    ("keep-alive", "timeout=5"),
    ("connection", "keep-alive, x-nominated"),
    ("x-nominated", "1"),
]


@pytest.mark.parametrize(
    ("path", "model", "expected"),
    [
        (CHAT, "gpt-5", ("authorization", f"Bearer {PROVIDER_SECRET}")),
        (MESSAGES, "claude-opus-5", ("x-api-key", PROVIDER_SECRET)),
    ],
)
@pytest.mark.parametrize("presented", ["authorization", "x-api-key", "api-key"])
def test_provider_gets_its_own_key_and_never_the_callers(
    application: Application, provider: FakeProvider, path: str, model: str, expected: tuple[str, str], presented: str
) -> None:
    provider.script(json_answer(b"{}"))
    key = application.tenant.key
    credential = {presented: f"Bearer {key}" if presented == "authorization" else key}
    others = {
        "cookie": f"session={key}",
        "x-forwarded-for": "1.2.3.4",
        "x-debug": key,
        "proxy-authorization": f"Basic {base64.b64encode(key.encode()).decode()}",
        "x-amzn-trace-id": "Root=1",
        "openai-organization": "org-1",
    }
    response = application.http.post(path, json={"model": model}, headers={**credential, **others})
    assert response.status_code == 200
    received = provider.last
    assert received.all(expected[0]) == [expected[1]]
    assert key.encode() not in received.raw
    assert key.removeprefix("np_").encode() not in received.raw
    names = [name.lower() for name, _ in received.headers]
    assert not {b"cookie", b"x-forwarded-for", b"x-debug", b"proxy-authorization", b"openai-organization"} & set(names)
    assert len([name for name in names if name in (b"authorization", b"x-api-key", b"api-key")]) == 1


def test_anthropic_version_decides_how_its_key_is_sent(application: Application, provider: FakeProvider) -> None:
    provider.script(json_answer(b"{}"))
    body = b'{"model":"claude-opus-5"}'
    application.post(MESSAGES, body, headers={"anthropic-version": "2026-10-21", "anthropic-beta": "a,b"})
    assert provider.last.all("authorization") == [f"Bearer {PROVIDER_SECRET}"]
    assert provider.last.all("anthropic-version") == ["2026-10-21"]
    assert provider.last.all("anthropic-beta") == ["a,b"]
    application.post(MESSAGES, body)
    assert provider.last.all("x-api-key") == [PROVIDER_SECRET]
    assert provider.last.all("anthropic-version") == ["2023-06-01"]


def test_sdk_headers_arrive_and_nothing_of_our_client(application: Application, provider: FakeProvider) -> None:
    provider.script(json_answer(b"{}"))
    sent = {"user-agent": "OpenAI/Python", "x-stainless-retry-count": "0", "idempotency-key": "k", "openai-beta": "b"}
    application.post(CHAT, BODY, headers={**sent, "accept-encoding": "gzip, br", "te": "trailers"})
    received = provider.last
    for name, value in sent.items():
        assert received.all(name) == [value]
    assert received.all("accept-encoding") == ["identity"]
    assert received.all("content-length") == [str(len(BODY))]
    assert received.all("te") == []
    assert b"aiohttp" not in received.raw.lower()


def test_header_nominated_by_connection_is_dropped_and_the_key_is_not(application: Application, provider: FakeProvider) -> None:
    provider.script(json_answer(b"{}"))
    application.post(CHAT, BODY, headers={"connection": "authorization, x-drop", "x-drop": "1"})
    assert provider.last.all("authorization") == [f"Bearer {PROVIDER_SECRET}"]
    assert provider.last.all("x-drop") == []


@pytest.mark.parametrize("body", [BODY, STREAM_BODY], ids=["unstreamed", "streamed"])
def test_native_headers_and_ids_survive_on_stream_and_non_stream_alike(
    application: Application, provider: FakeProvider, body: bytes
) -> None:
    headers = [*NATIVE, *CONNECTION_ONLY]
    done = [b"data: [DONE]\n\n"]
    provider.script(stream(done, headers=headers) if body is STREAM_BODY else json_answer(b"{}", headers=headers))
    response = application.post(CHAT, body)
    for name, value in NATIVE:
        assert response.headers[name] == value
    for name in ("set-cookie", "alt-svc", "server", "cf-ray", "x-nominated"):
        assert name not in response.headers
    row = application.row()
    assert response.headers["x-navplane-request-id"] == str(row.request_id)
    assert row.provider_request_id == "req_1"


def test_repeated_headers_of_the_provider_stay_repeated(application: Application, provider: FakeProvider) -> None:
    provider.script(json_answer(b"{}", headers=[("x-note", "one"), ("x-note", "two")]))
    assert application.post(CHAT, BODY).headers.get_list("x-note") == ["one", "two"]


@pytest.mark.parametrize("status", ["400 Bad Request", "429 Too Many Requests", "500 Internal Server Error"])
def test_key_that_a_provider_echoes_never_reaches_the_client(
    application: Application, provider: FakeProvider, status: str
) -> None:
    text = f'{{"error":{{"message":"Incorrect key {PROVIDER_SECRET} and {PROVIDER_SECRET}!"}}}}'.encode()
    provider.script(json_answer(text, status, headers=[("x-echo", f"Bearer {PROVIDER_SECRET}"), ("x-fine", "1")]))
    response = application.post(CHAT, BODY)
    stars = b"*" * len(PROVIDER_SECRET)
    assert response.content == text.replace(PROVIDER_SECRET.encode(), stars)
    assert "x-echo" not in response.headers
    assert response.headers["x-fine"] == "1"


@pytest.mark.parametrize("at", [0, 5, len(PROVIDER_SECRET)])
@pytest.mark.parametrize(("path", "model"), [(CHAT, "gpt-5"), (MESSAGES, "claude-opus-5")])
def test_stream_that_repeats_the_key_ends_before_anybody_has_all_of_it(
    application: Application, provider: FakeProvider, path: str, model: str, at: int
) -> None:
    """Nothing of it is edited: what has gone out is what the provider sent, and then comes the error."""
    first, key = b'data: {"choices":[]}\n\n', PROVIDER_SECRET.encode()
    provider.script(stream([first, b"data: x" + key[:at], key[at:] + b" and more\n\n"]))
    body = json.dumps({"model": model, "stream": True, "stream_options": {"include_usage": True}}).encode()
    content = application.post(path, body).content
    # How much has gone out depends on how the provider's bytes came together.
    sent, _, error = content.partition(b"event: error\n" if path == MESSAGES else b'data: {"error"')
    assert (first + b"data: x" + key[:at]).startswith(sent.removesuffix(b"\n\n"))
    assert b"repeats the key" in error
    assert key not in content
    row = application.row()
    assert (row.outcome.value, row.error_code) == ("failed", "upstream_error")


def test_body_that_repeats_the_key_is_left_unfinished(application: Application, provider: FakeProvider) -> None:
    text = f'{{"choices":[{{"message":{{"content":"{PROVIDER_SECRET}"}}}}]}}'.encode()
    provider.script(json_answer(text))
    with pytest.raises(httpx2.RemoteProtocolError):
        application.post(CHAT, BODY)
    row = application.row()
    assert (row.status, row.outcome.value, row.error_code) == (200, "failed", "upstream_error")


@pytest.mark.parametrize("status", ["401 Unauthorized", "403 Forbidden"])
@pytest.mark.parametrize(("path", "model"), [(CHAT, "gpt-5"), (MESSAGES, "claude-opus-5")])
def test_providers_own_refusal_of_the_key_is_ours_to_explain(
    application: Application, provider: FakeProvider, status: str, path: str, model: str
) -> None:
    provider.script(json_answer(f'{{"error":"bad key {PROVIDER_SECRET}"}}'.encode(), status))
    response = application.post(path, json.dumps({"model": model}).encode())
    assert response.status_code == 502
    assert response.headers["x-should-retry"] == "false"
    error = response.json()["error"]
    assert error.get("code", error["type"]) == ("provider_key_rejected" if path == CHAT else "api_error")
    assert PROVIDER_SECRET not in response.text
    row = application.row()
    assert (row.status, row.error_code, row.outcome.value) == (502, "provider_key_rejected", "failed")
    assert (row.usage.total_tokens, row.usage_quality.value) == (0, "exact")


def test_redirect_is_never_followed_and_its_target_withheld(application: Application, provider: FakeProvider) -> None:
    provider.script(answer("307 Temporary Redirect", headers=[("location", f"http://evil.example/?{PROVIDER_SECRET}")]))
    before = len(provider.requests)
    response = application.post(CHAT, BODY)
    assert (response.status_code, response.json()["error"]["code"]) == (502, "upstream_redirected")
    assert "location" not in response.headers
    assert len(provider.requests) == before + 1
    assert application.row().usage.total_tokens == 0


def test_no_secret_is_in_logs_or_usage_events(application: Application, provider: FakeProvider) -> None:
    prompt = "canary-prompt-5511"
    with captured_log() as log:
        for steps in (
            json_answer(b'{"choices":[],"usage":{"prompt_tokens":1}}'),
            json_answer(f"{PROVIDER_SECRET}".encode(), "500 Internal Server Error"),
            json_answer(b"{}", "401 Unauthorized"),
            [b"garbage\r\n\r\n"],
        ):
            provider.script(steps)
            application.post(CHAT, json.dumps({"model": "gpt-5", "messages": [prompt]}).encode())
        application.post("/v1/nothing", b"")
        events = application.server.log.wait_for(4, org_id=application.tenant.org_id)
    lines = log.getvalue()
    assert lines.count('"endpoint":"chat.completions"') == 4
    for secret in (PROVIDER_SECRET, application.tenant.key, prompt):
        for form in (secret, base64.b64encode(secret.encode()).decode().rstrip("="), secret.encode().hex()):
            assert form not in lines
            assert not [event for event in events if form in event.to_json()]


def test_key_that_stands_where_a_name_should_is_not_kept(application: Application, provider: FakeProvider) -> None:
    provider.script(json_answer(b"{}"))
    body = b'{"model":"gpt-5"}'
    assert application.post("/v1/chat/completions", body, headers={"user-agent": application.tenant.key}).status_code == 200
    assert application.row().client is None
