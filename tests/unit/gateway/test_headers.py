"""Which headers pass."""

import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from navplane.gateway.headers import KeyFinder, Redactor, downstream_headers, native_id, upstream_headers
from navplane.upstream.provider import Provider
from navplane.upstream.providers import ANTHROPIC, OPENAI

KEY = "np_01234567-89ab-4cde-8f01-23456789abcd"
KEYS = KeyFinder(("np_", "lc_"))
SECRET = b"sk-secret-123"
IDENTITY = (b"accept-encoding", b"identity")


def raw(*headers: tuple[str, str]) -> tuple[tuple[bytes, bytes], ...]:
    return tuple((name.encode(), value.encode()) for name, value in headers)


def up(*headers: tuple[str, str], provider: Provider = OPENAI) -> list[tuple[bytes, bytes]]:
    return upstream_headers(raw(*headers), provider, KEYS)


def down(*headers: tuple[str, str], resized: bool = False) -> list[tuple[bytes, bytes]]:
    passed = downstream_headers(raw(*headers), secret=SECRET, request_id="id-1", resized=resized)
    assert passed[-1] == (b"x-navplane-request-id", b"id-1")
    return passed[:-1]


KEPT_UP = [
    ("content-type", "application/json"),
    ("accept", "application/json"),
    ("user-agent", "OpenAI/Python 3.52.0"),
    ("x-stainless-lang", "python"),
    ("x-stainless-timeout", "NOT_GIVEN"),
    ("idempotency-key", "stainless-python-retry-1"),
    ("openai-beta", "assistants=v2"),
    ("openai-max-tokens-beta", "1"),
    ("anthropic-version", "2023-06-01"),
    ("anthropic-beta", "token-efficient-tools-2025-02-19"),
    ("x-request-id", "mine"),
    ("traceparent", "00-abc-def-01"),
    ("x-a-brand-new-beta", "yes"),
]


@pytest.mark.parametrize("header", KEPT_UP)
def test_providers_see_what_sdks_send(header: tuple[str, str]) -> None:
    assert raw(header)[0] in up(header)


def test_repeats_and_order_are_kept() -> None:
    sent = [("b", "1"), ("a", "2"), ("b", "3"), ("accept", "x")]
    assert up(*sent) == [*raw(*sent), IDENTITY]


DROPPED_UP = [
    ("authorization", "Bearer x"),
    ("x-api-key", "x"),
    ("api-key", "x"),
    ("cookie", "a=b"),
    ("host", "evil.example"),
    ("connection", "keep-alive"),
    ("keep-alive", "1"),
    ("proxy-connection", "keep-alive"),
    ("proxy-authorization", "Basic x"),
    ("te", "trailers"),
    ("trailer", "x"),
    ("transfer-encoding", "chunked"),
    ("upgrade", "h2c"),
    ("content-length", "5"),
    ("expect", "100-continue"),
    ("x-forwarded-for", "1.2.3.4"),
    ("x-forwarded-host", "evil.example"),
    ("forwarded", "for=1.2.3.4"),
    ("via", "1.1 x"),
    ("x-amzn-trace-id", "Root=1"),
    ("x-amz-security-token", "x"),
    ("x-amz-date", "x"),
    ("x-navplane-hop", "1"),
    ("x-navplane-anything", "1"),
    ("openai-organization", "org-1"),
    ("openai-project", "proj-1"),
    ("x-auth-user", "x"),
    ("x-my-token", "x"),
    ("x-client-secret", "x"),
    ("x-goog-api-key", "x"),
    ("x-apikey", "x"),
    ("x-cookie-consent", "x"),
    ("openai-api-key", "x"),
    ("anthropic-auth-token", "x"),
    ("x-debug", f"my key is {KEY}"),
    ("user-agent", KEY),
    ("x-debug", KEY.upper()),
    ("x-debug", KEY.replace("np_", "lc_")),
]


@pytest.mark.parametrize("header", DROPPED_UP)
@pytest.mark.parametrize("provider", [OPENAI, ANTHROPIC])
def test_providers_never_see_credentials_or_what_is_ours(header: tuple[str, str], provider: Provider) -> None:
    passed = up(header, provider=provider)
    assert raw(header)[0] not in passed
    assert header[0].encode() not in [name for name, _ in passed]


def test_what_connection_nominates_is_dropped_and_nothing_that_is_ours() -> None:
    sent = [("connection", "x-one, X-Two ,accept-encoding, authorization"), ("x-one", "1"), ("x-two", "2"), ("x-three", "3")]
    assert up(*sent) == [*raw(("x-three", "3")), IDENTITY]


def test_compression_is_never_asked_for() -> None:
    assert up(("accept-encoding", "gzip, br")) == [IDENTITY]


def test_registry_adds_a_version_only_where_the_caller_sent_none() -> None:
    assert (b"anthropic-version", b"2023-06-01") in up(provider=ANTHROPIC)
    sent = ("anthropic-version", "2026-10-21")
    assert [value for name, value in up(sent, provider=ANTHROPIC) if name == b"anthropic-version"] == [b"2026-10-21"]


KEPT_DOWN = [
    "x-request-id", "request-id", "openai-processing-ms", "openai-version", "openai-organization",
    "x-ratelimit-remaining-tokens", "anthropic-ratelimit-requests-limit", "retry-after", "retry-after-ms", "x-should-retry",
    "apim-request-id", "content-type", "content-length", "content-encoding", "date", "cache-control", "x-new-header",
]  # fmt: skip


@pytest.mark.parametrize("name", KEPT_DOWN)
def test_clients_see_the_providers_headers(name: str) -> None:
    assert down((name, "7")) == [(name.encode(), b"7")]


@pytest.mark.parametrize(
    "name",
    ["connection", "keep-alive", "transfer-encoding", "trailer", "upgrade", "set-cookie", "alt-svc", "server", "cf-ray",
     "CF-Cache-Status", "Set-Cookie", "proxy-authenticate", "x-navplane-request-id"],
)  # fmt: skip
def test_clients_never_see_what_belongs_to_one_connection(name: str) -> None:
    assert down((name, "7")) == []


def test_header_that_holds_the_providers_key_is_dropped() -> None:
    assert down(("x-echo", "Bearer sk-secret-123"), ("x-other", "sk-secret-12")) == raw_list(("x-other", "sk-secret-12"))


def test_length_is_dropped_where_an_event_may_be_withheld() -> None:
    assert down(("Content-Length", "10"), resized=True) == []


def raw_list(*headers: tuple[str, str]) -> list[tuple[bytes, bytes]]:
    return list(raw(*headers))


@pytest.mark.parametrize(
    ("name", "value", "kept"),
    [
        ("X-Request-Id", "req_1", "req_1"),
        ("request-id", "req_2", "req_2"),
        ("x-request-id", "x" * 200, None),
        ("date", "x", None),
        ("x-request-id", f"id-{SECRET.decode()}", None),
    ],
)
def test_native_id_is_the_providers_own_and_never_its_key(name: str, value: str, kept: str | None) -> None:
    assert native_id(raw((name, value)), secret=SECRET) == kept


@pytest.mark.parametrize(("name", "value"), [("x-a", "a\x01b"), ("x-a", "a\x7f"), ("x-a", "a\rb: c"), ("x(a)", "b")])
def test_header_that_no_server_would_write_does_not_take_the_answer_with_it(name: str, value: str) -> None:
    assert down((name, value), ("x-b", "a\tb")) == raw_list(("x-b", "a\tb"))


@given(
    parts=st.lists(st.sampled_from([SECRET, SECRET[:-1], SECRET[1:], b"sk-", b"x", b"sk-secret-"]), max_size=12),
    cuts=st.lists(st.integers(0, 120), max_size=6),
)
def test_secret_is_redacted_wherever_chunks_end(parts: list[bytes], cuts: list[int]) -> None:
    text = b"".join(parts)
    places = sorted({min(cut, len(text)) for cut in cuts})
    chunks = [text[start:end] for start, end in zip([0, *places], [*places, len(text)], strict=True)]
    redactor = Redactor(SECRET)
    result = b"".join(redactor.feed(chunk) for chunk in chunks) + redactor.finish()
    assert SECRET not in result
    assert result == text.replace(SECRET, b"*" * len(SECRET))


AWKWARD = "sk-a+/=%&\"'<>\\z"
SPELLED = [
    AWKWARD,
    quote(AWKWARD),
    quote(AWKWARD, safe=""),
    json.dumps(AWKWARD)[1:-1],
    json.dumps(AWKWARD)[1:-1].replace("/", "\\/"),
    json.dumps(AWKWARD)[1:-1].replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"),
]


@pytest.mark.parametrize("size", [1, 5, 1000])
@pytest.mark.parametrize("spelled", SPELLED)
def test_secret_is_redacted_however_it_is_spelled(spelled: str, size: int) -> None:
    text = f'{{"message":"Your key is {spelled}."}}'.encode()
    redactor = Redactor(AWKWARD.encode())
    result = b"".join(redactor.feed(text[at : at + size]) for at in range(0, len(text), size)) + redactor.finish()
    assert result == text.replace(spelled.encode(), b"*" * len(spelled))


@pytest.mark.parametrize("spelled", SPELLED)
def test_header_that_holds_the_providers_key_is_dropped_however_it_is_spelled(spelled: str) -> None:
    headers = raw(("x-echo", f"key={spelled}"), ("x-other", "sk-a"))
    passed = downstream_headers(headers, secret=AWKWARD.encode(), request_id="id-1", resized=False)
    assert passed == [(b"x-other", b"sk-a"), (b"x-navplane-request-id", b"id-1")]
