"""Bytes on the wire, one row each: the exact status and code, and whether the provider saw anything of it."""

import json
import socket
import time
from collections.abc import Iterator

import pytest
from navplane.gateway.limits import Limits

from tests.support.gateway import GatewayServer, Tenant, exchange
from tests.support.provider import FakeProvider, json_answer

CHAT = "/v1/chat/completions"
OK_BODY = b'{"model":"gpt-5"}'
OK = (200, None)
FRAMING, PATH, QUERY, JSON = (400, "bad_framing"), (400, "bad_path"), (400, "bad_query"), (400, "invalid_json")
MODEL, UNKNOWN, METHOD = (400, "invalid_model"), (404, "unknown_endpoint"), (405, "method_not_allowed")
KEY, TWO_KEYS, MEDIA = (401, "invalid_api_key"), (400, "ambiguous_credentials"), (415, "unsupported_media_type")
HEADERS, LARGE = (431, "headers_too_large"), (413, "request_too_large")
Expected = tuple[int, str | None]


@pytest.fixture(scope="module")
def provider() -> Iterator[FakeProvider]:
    with FakeProvider() as playing:
        playing.script(json_answer(b'{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1}}'))
        yield playing


@pytest.fixture(scope="module")
def server(provider: FakeProvider) -> Iterator[GatewayServer]:
    limits = Limits(request_body=0.3)
    with GatewayServer({"openai": provider.url, "anthropic": provider.url}, limits=limits) as running:
        yield running


@pytest.fixture(scope="module")
def tenant(server: GatewayServer) -> Tenant:
    return server.tenant()


def request(
    target: str = CHAT,
    body: bytes = OK_BODY,
    *,
    method: str = "POST",
    version: str = "1.1",
    auth: str | None = None,
    media: str = "content-type: application/json\r\n",
    length: str | None = None,
    extra: str = "",
) -> bytes:
    """`KEY` in it is replaced by the key of the organization. `length` is the framing header, where it is not the usual one."""
    credential = "authorization: Bearer KEY\r\n" if auth is None else auth
    framing = f"content-length: {len(body)}\r\n" if length is None else length
    head = f"{method} {target} HTTP/{version}\r\nhost: x\r\n{credential}{media}{framing}{extra}\r\n"
    return head.encode("latin-1") + body


def chunked(*chunks: bytes, ending: bytes = b"0\r\n\r\n", coding: str = "chunked", extra: str = "") -> bytes:
    data = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    return request(body=data + ending, length=f"transfer-encoding: {coding}\r\n", extra=extra)


def in_chunks(body: bytes) -> bytes:
    return request(body=body, length="transfer-encoding: chunked\r\n")


def with_body(text: str | bytes) -> bytes:
    return request(body=text if isinstance(text, bytes) else text.encode())


FRAMINGS: dict[str, tuple[bytes, Expected]] = {
    "plain": (request(), OK),
    "chunked": (chunked(OK_BODY[:5], OK_BODY[5:]), OK),
    "chunked in capitals": (chunked(OK_BODY, coding="CHUNKED"), OK),
    "chunk extension": (in_chunks(b'11;a=b;c="d"\r\n' + OK_BODY + b"\r\n0\r\n\r\n"), OK),
    "trailers are no headers": (chunked(OK_BODY, ending=b"0\r\nauthorization: Bearer x\r\nx-navplane-hop: 1\r\n\r\n"), OK),
    "both": (chunked(OK_BODY, extra="content-length: 5\r\n"), FRAMING),
    "two lengths": (request(extra="content-length: 3\r\n"), FRAMING),
    "the same length twice": (request(extra=f"content-length: {len(OK_BODY)}\r\n"), FRAMING),
    "list of lengths": (request(length="content-length: 17, 17\r\n"), FRAMING),
    "length with plus": (request(length="content-length: +17\r\n"), FRAMING),
    "negative length": (request(length="content-length: -1\r\n"), FRAMING),
    "length in hex": (request(length="content-length: 0x11\r\n"), FRAMING),
    "length of no number": (request(length="content-length: x\r\n"), FRAMING),
    "length beyond 64 bits": (request(length="content-length: 99999999999999999999999\r\n"), FRAMING),
    "length beyond the limit": (request(length="content-length: 999999999999999999\r\n"), LARGE),
    "blank before the colon": (request(length="content-length : 17\r\n"), FRAMING),
    "length shorter than the body": (request(length="content-length: 5\r\n"), JSON),
    "body that never comes": (request(length="content-length: 18\r\n"), FRAMING),
    "chunks that never end": (chunked(OK_BODY, ending=b""), FRAMING),
    "no length": (request(length=""), JSON),
    "coding identity": (chunked(OK_BODY, coding="identity"), FRAMING),
    "coding gzip": (chunked(OK_BODY, coding="gzip, chunked"), FRAMING),
    "coding after chunked": (chunked(OK_BODY, coding="chunked, gzip"), FRAMING),
    "chunked twice": (chunked(OK_BODY, coding="chunked, chunked"), FRAMING),
    "coding twice": (chunked(OK_BODY, extra="transfer-encoding: chunked\r\n"), FRAMING),
    "coding alike": (chunked(OK_BODY, coding="xchunked"), FRAMING),
    "coding behind a control character": (chunked(OK_BODY, coding="\x0bchunked"), FRAMING),
    "chunk size of no number": (in_chunks(b"zz\r\n"), FRAMING),
    "chunk size with 0x": (in_chunks(b"0x5\r\nhello\r\n0\r\n\r\n"), FRAMING),
    "chunk size beyond 64 bits": (in_chunks(b"F" * 17 + b"\r\n"), FRAMING),
    "chunk in bare LF": (in_chunks(b"11\n" + OK_BODY + b"\n0\n\n"), FRAMING),
    "chunk longer than said": (in_chunks(b"5\r\n" + OK_BODY + b"\r\n0\r\n\r\n"), FRAMING),
    "head in bare LF": (request().replace(b"\r\n", b"\n"), FRAMING),
    "CR in a value": (request(extra="x-a: a\rb: c\r\n"), FRAMING),
    "NUL in a value": (request(extra="x-a: a\0b\r\n"), FRAMING),
    "control character in a value": (request(extra="x-a: a\x01b\r\n"), FRAMING),
    "DEL in a value": (request(extra="x-a: a\x7fb\r\n"), FRAMING),
    "latin-1 in a value": (request(extra="x-a: \xe9\r\n"), FRAMING),
    "tab in a value": (request(extra="x-a: a\tb\r\n"), OK),
    "UTF-8 in a value": (request(extra="x-a: \xc3\xa9\r\n"), OK),
    "folded value": (request(extra="x-a: a\r\n b\r\n"), FRAMING),
    "bracket in a name": (request(extra="x(a: b\r\n"), FRAMING),
    "blank in a name": (request(extra="x a: b\r\n"), FRAMING),
    "no name": (request(extra=": b\r\n"), FRAMING),
    "no colon": (request(extra="nonsense\r\n"), FRAMING),
    "two hosts": (request(extra="host: y\r\n"), FRAMING),
    "a host that is none": (request().replace(b"host: x", b"host: evil@x/.."), OK),
    "HTTP/1.0": (request(version="1.0"), OK),
    "HTTP/1.9": (request(version="1.9"), FRAMING),
    "HTTP/2's preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", FRAMING),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"a" * 99, FRAMING),
    "garbage": (b"\0\xff\xfe" * 99 + b"\r\n\r\n", FRAMING),
    "h2c offered": (request(extra="Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABk\r\n"), OK),
    "websocket offered": (request(extra="upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\n"), OK),
    "101 headers": (request(extra="".join(f"x-{n}: y\r\n" for n in range(101))), HEADERS),
    "10,000 headers": (request(extra="".join(f"x-{n}: y\r\n" for n in range(10_000))), HEADERS),
    "header of 70 KB": (request(extra=f"x-a: {'y' * 70_000}\r\n"), HEADERS),
    "head without an end": (b"GET / HTTP/1.1\r\nx-a: " + b"y" * 300_000, HEADERS),
    "loop": (request(extra="x-navplane-hop: 1\r\n"), (508, "loop_detected")),
    "loop by via": (request(extra="via: 1.1 NavPlane\r\n"), (508, "loop_detected")),
}

TARGETS: dict[str, Expected] = {
    "/chat/completions": OK,
    "/v1/v1/chat/completions": OK,
    "/openai/v1/chat/completions": OK,
    f"{CHAT}?": OK,
    f"{CHAT}?a=b&c": OK,
    f"{CHAT}?a=%0d%0ax": OK,
    f"{CHAT}?key=x": QUERY,
    f"{CHAT}?%6bey=x": QUERY,
    f"{CHAT}?KEY=x": QUERY,
    f"{CHAT}?a=1;api_key=x": QUERY,
    f"{CHAT}?access_token=x": QUERY,
    f"{CHAT}?x=KEY": QUERY,
    f"{CHAT}?x=ESCAPED": QUERY,
    f'{CHAT}?a="b': QUERY,
    "http://evil.example/v1/chat/completions": PATH,
    "https://api.openai.com:443/v1/chat/completions": PATH,
    "http://u:p@h/v1/chat/completions": PATH,
    "http://x": PATH,
    "//evil.example/v1/chat/completions": PATH,
    "/@evil.example/v1/chat/completions": PATH,
    "/v1/@evil.example/chat": PATH,
    "/v1\\chat/completions": PATH,
    "/v1/../v1/chat/completions": PATH,
    "/v1/./chat/completions": PATH,
    "/..": PATH,
    "/v1/%2e%2e/v1/chat/completions": PATH,
    "/v1%2fchat/completions": PATH,
    "/v1/chat/completions%00": PATH,
    "/v1/chat/%63ompletions": PATH,
    "/v1/chat/completions#f": PATH,
    "/v1/chat/completions?#f": PATH,
    "/v1//chat/completions": PATH,
    "/v1/chat/completions;x=1": PATH,
    "*": PATH,
    "@evil.example/v1/chat/completions": FRAMING,
    "?x": FRAMING,
    "": FRAMING,
    "/v1/chat/completions\xe9": FRAMING,
    f"{CHAT}?a=b c": FRAMING,
    "/": UNKNOWN,
    "/v1": UNKNOWN,
    "/v1/v1/v1/chat/completions": UNKNOWN,
    "/V1/chat/completions": UNKNOWN,
    "/v1/Chat/completions": UNKNOWN,
    "/v1/chat/completions/": UNKNOWN,
    "/health/": UNKNOWN,
    "/HEALTH": UNKNOWN,
    "/admin/orgs": UNKNOWN,
    "/v1/uploads": UNKNOWN,
    "/v1/files/": UNKNOWN,
    "/v1/batches/batch_1/": UNKNOWN,
    "/v1/batches/batch_1/results": UNKNOWN,
    "/v1/KEY": UNKNOWN,
}

METHODS: dict[str, Expected] = {
    **dict.fromkeys(("GET", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "M-SEARCH", "CONNECT"), METHOD),
    **dict.fromkeys(("post", "FOO", "PRI"), FRAMING),
}

CREDENTIALS: dict[str, Expected] = {
    "x-api-key: KEY\r\n": OK,
    "api-key: KEY\r\n": OK,
    "Authorization: bearer KEY\r\n": OK,
    "api-key: KEY\r\nx-api-key: KEY\r\nauthorization: Bearer KEY\r\n": OK,
    "api-key: KEY\r\nx-api-key: np_0b0f6f2e-7c0e-4c58-8f0b-0e4a5a1f9f1e\r\n": TWO_KEYS,
    "authorization: Bearer KEY\r\nauthorization: Basic eDp5\r\n": TWO_KEYS,
    "authorization: Basic KEY\r\n": KEY,
    "authorization: Bearer KEY x\r\n": KEY,
    "authorization: Bearer KEY, Bearer KEY\r\n": KEY,
    "authorization: Bearer Bearer KEY\r\n": KEY,
    "authorization: Bearer KEY\xe9\r\n": FRAMING,
    "authorization: Bearer\r\n": KEY,
    f"authorization: Bearer np_{'a' * 30_000}\r\n": KEY,
    "cookie: authorization=KEY\r\n": KEY,
    "proxy-authorization: Bearer KEY\r\n": KEY,
    "": KEY,
}

MEDIA_TYPES: dict[str, Expected] = {
    "content-type: application/json; charset=UTF-8\r\n": OK,
    "content-type: application/json\r\ncontent-type: application/json\r\n": OK,
    "": MEDIA,
    "content-type: text/plain\r\n": MEDIA,
    "content-type: application/json\r\ncontent-type: text/plain\r\n": MEDIA,
    "content-type: application/json; charset=utf-16\r\n": MEDIA,
    "content-type: application/json-patch+json\r\n": MEDIA,
    "content-type: application/json, text/plain\r\n": MEDIA,
    "content-type: multipart/form-data; boundary=x\r\n": MEDIA,
    "content-type: application/json\r\ncontent-encoding: gzip\r\n": MEDIA,
    "content-type: application/json\r\ncontent-encoding: identity, br\r\n": MEDIA,
}

BODIES: dict[bytes, Expected] = {
    b'{"model":"gpt-5","a":"\\ud83d\\ude00"}': OK,
    b'{"model":"gpt-5","a":{"b":1,"b":2}}': OK,
    b'{"model":"gpt-5","a":1e-999}': OK,
    b'{"model":"gpt-5","stream_options":"x"}': OK,
    b'{"model":"gpt-5","max_tokens":99999999999999999999}': OK,
    b'{"model":"gpt-5","__proto__":{"model":"x"}}': OK,
    b'{"model":"gpt-5","max_tokens":-5}': OK,
    b'{"model":"gpt-5","model":"gpt-4"}': MODEL,
    b'{"model":"gpt-5","\\u006dodel":"gpt-4"}': MODEL,
    b'{"Model":"gpt-5"}': MODEL,
    b'{"model":["gpt-5"]}': MODEL,
    b'{"model":null}': MODEL,
    b'{"model":1}': MODEL,
    b'{"model":""}': MODEL,
    b"{}": MODEL,
    b'{"model":"gpt-\\u0000"}': MODEL,
    b'{"model":"gpt-' + b"a" * 300 + b'"}': MODEL,
    b'{"model":"KEY"}': MODEL,
    '{"model":"gpt-\u202e"}'.encode(): MODEL,
    b'{"model":"llama-9"}': (404, "model_not_found"),
    b'{"model":" gpt-5"}': (404, "model_not_found"),
    b"": JSON,
    b"[]": JSON,
    b'"model"': JSON,
    b'\xef\xbb\xbf{"model":"gpt-5"}': JSON,
    b'{"model":"gpt-5"}x': JSON,
    b'{"model":"gpt-5"}\0': JSON,
    b'\x0b{"model":"gpt-5"}': JSON,
    b'{"model":"gpt-5",}': JSON,
    b'{"model":"gpt-5"/**/}': JSON,
    b'{"model":"gpt-5","a":Infinity}': JSON,
    b'{"model":"gpt-5","a":NaN}': JSON,
    b'{"model":"gpt-5","a":1E+999}': JSON,
    b'{"model":"gpt-5","a":' + b"9" * 400 + b"}": JSON,
    b'{"model":"gpt-5","a":01}': JSON,
    b'{"model":"gpt-5","a":+1}': JSON,
    b'{"model":"gpt-5","a":"\x01"}': JSON,
    b'{"model":"gpt-5","a":"\\ud800"}': JSON,
    b'{"model":"gpt-5","a":"\xff"}': JSON,
    b'{"model":"gpt-5","a":"\xed\xa0\x80"}': JSON,
    b'{"model":"gpt-5","a":"\xc0\xaf"}': JSON,
    b'{"model":"gpt-5","stream":true,"stream":false}': JSON,
    b'{"model":"gpt-5","max_tokens":1,"max_tokens":2}': JSON,
    b'{"model":"gpt-5","a":' + b"[" * 300 + b"]" * 300 + b"}": JSON,
    '{"model":"gpt-5"}'.encode("utf-16"): JSON,
}

ROWS = [
    *((f"framing: {name}", data, expected) for name, (data, expected) in FRAMINGS.items()),
    *((f"target: {target}", request(target), expected) for target, expected in TARGETS.items()),
    *((f"method: {method}", request(method=method), expected) for method, expected in METHODS.items()),
    *((f"credential: {line[:60]!r}", request(auth=line), expected) for line, expected in CREDENTIALS.items()),
    *((f"media: {line!r}", request(media=line), expected) for line, expected in MEDIA_TYPES.items()),
    *((f"body: {body[:60]!r}", with_body(body), expected) for body, expected in BODIES.items()),
]


@pytest.mark.parametrize(("data", "expected"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_row(data: bytes, expected: Expected, server: GatewayServer, provider: FakeProvider, tenant: Tenant) -> None:
    before = len(provider.requests)
    answer = exchange(server.port, _filled(data, tenant))
    assert _read(answer) == expected
    seen = provider.requests[before:]
    assert len(seen) == (1 if expected == OK else 0)
    for request_seen in seen:
        assert tenant.key.encode() not in request_seen.raw
        assert request_seen.target.startswith(CHAT)


def test_there_are_enough_rows() -> None:
    assert len(ROWS) >= 150


def test_requests_in_one_packet_are_answered_in_order(server: GatewayServer, provider: FakeProvider, tenant: Tenant) -> None:
    before = len(provider.requests)
    last = request(body=b"{}", extra="connection: close\r\n")
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(_filled(request() + request() + last, tenant))
        received = b"".join(iter(lambda: connection.recv(65536), b""))
    assert [part[:3] for part in received.split(b"HTTP/1.1 ")[1:]] == [b"200", b"200", b"400"]
    assert len(provider.requests) == before + 2


def test_request_is_answered_whatever_follows_it_and_that_is_not(server: GatewayServer, tenant: Tenant) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(_filled(request() + b"GARBAGE\r\n\r\n", tenant))
        received = b"".join(iter(lambda: connection.recv(65536), b""))
    assert received.startswith(b"HTTP/1.1 200 ")
    assert received.count(b"HTTP/1.1 ") == 1


def test_a_body_without_an_end_is_read_only_for_a_while_once_it_was_answered(server: GatewayServer, tenant: Tenant) -> None:
    """The answer arrives although the body was not read, and then the connection ends, whatever still comes."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(_filled(request(length="content-length: 999999999\r\n"), tenant))
        assert connection.recv(65536).startswith(b"HTTP/1.1 413 ")
        with pytest.raises(OSError):  # noqa: PT011 - which one, the kernel decides
            _send_until_refused(connection)


def _send_until_refused(connection: socket.socket) -> None:
    give_up_at = time.monotonic() + 15
    while time.monotonic() < give_up_at:
        connection.sendall(b" ")
        time.sleep(0.1)


def _filled(data: bytes, tenant: Tenant) -> bytes:
    """The lengths stay right: a key and what stands for it are not equally long."""
    head, _, body = data.partition(b"\r\n\r\n")
    filled = body.replace(b"KEY", tenant.key.encode())
    if filled != body:
        head = head.replace(b"content-length: %d" % len(body), b"content-length: %d" % len(filled))
    escaped = tenant.key.replace("_", "%5f").replace("-", "%2D").encode()
    head = head.replace(b"?KEY=", b"?K\0Y=").replace(b"KEY", tenant.key.encode()).replace(b"?K\0Y=", b"?KEY=")
    return head.replace(b"ESCAPED", escaped) + b"\r\n\r\n" * (b"\r\n\r\n" in data) + filled


def _read(answer: bytes) -> Expected:
    """Status and code of the first answer."""
    head, _, body = answer.partition(b"\r\n\r\n")
    status = int(head[9:12])
    return status, None if status == 200 else json.JSONDecoder().raw_decode(body.decode())[0]["error"]["code"]
