"""The HTTP client to providers, against a provider of raw bytes."""

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from navplane.errors import (
    NavPlaneError,
    OrganizationDisabled,
    UpstreamCut,
    UpstreamRedirected,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from navplane.upstream.client import UpstreamClient, UpstreamRequest, UpstreamResponse
from navplane.upstream.origin import Origins
from navplane.upstream.provider import Origin

from tests.support.provider import Close, Cut, FakeProvider, Hang, answer, json_answer, stream


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def request(provider: FakeProvider, **changes: object) -> UpstreamRequest:
    values = {
        "origin": Origin.parse(provider.url),
        "method": "POST",
        "path": "/v1/x",
        "headers": ((b"X-Case", b"1"), (b"x-other", b"o"), (b"x-case", b"2")),
        "body": b"{}",
        "first_byte_seconds": 5.0,
    }
    return UpstreamRequest(**{**values, **changes})  # type: ignore[arg-type]


async def read_all(response: UpstreamResponse) -> bytes:
    body = b""
    while chunk := await response.read():
        body += chunk
    await response.aclose()
    return body


def with_client(
    provider: FakeProvider, use: Callable[[UpstreamClient], Awaitable[None]], *, clock: Callable[[], float] = time.time
) -> None:
    async def run() -> None:
        client = UpstreamClient(Origins(overrides={"openai": provider.url}, demo_url=None), wall=clock)
        try:
            await use(client)
        finally:
            await client.aclose()

    asyncio.run(run())


def test_headers_are_raw_lists_in_both_directions() -> None:
    with FakeProvider() as provider:
        provider.script(json_answer(b"{}", headers=[("X-Reply", "a"), ("x-reply", "b")]))

        async def use(client: UpstreamClient) -> None:
            response = await client.send(request(provider))
            assert await read_all(response) == b"{}"
            assert [pair for pair in response.headers if pair[0].lower() == b"x-reply"] == [
                (b"X-Reply", b"a"),
                (b"x-reply", b"b"),
            ]

        with_client(provider, use)
        names = [name for name, _ in provider.last.headers]
        assert names == [b"Host", b"x-case", b"x-other", b"x-case", b"Content-Length"]
        assert provider.last.all("x-case") == ["1", "2"]


def test_connections_are_reused_after_a_whole_answer_and_dropped_after_a_broken_one() -> None:
    with FakeProvider() as provider:
        provider.script(json_answer(b"{}"))

        async def use(client: UpstreamClient) -> None:
            for _ in range(3):
                await read_all(await client.send(request(provider)))
            assert provider.connections == 1
            abandoned = await client.send(request(provider))
            await abandoned.aclose()
            await read_all(await client.send(request(provider)))

        with_client(provider, use)
        assert provider.connections <= 2


def test_pool_is_dropped_when_the_wall_clock_jumped_while_nothing_was_in_flight() -> None:
    """As after a thaw: the monotonic clock may have stood still, and the provider has long closed its side."""
    clock = Clock()
    with FakeProvider() as provider:
        provider.script(json_answer(b"{}"))

        async def use(client: UpstreamClient) -> None:
            await read_all(await client.send(request(provider)))
            clock.now += 29
            await read_all(await client.send(request(provider)))
            assert provider.connections == 1
            clock.now += 31
            await read_all(await client.send(request(provider)))
            assert provider.connections == 2

        with_client(provider, use, clock=clock)


def test_requests_that_come_together_after_a_pause_never_meet_a_closed_pool() -> None:
    clock = Clock()
    with FakeProvider() as provider:
        provider.script(json_answer(b"{}"))

        async def send(client: UpstreamClient) -> bytes:
            return await read_all(await client.send(request(provider)))

        async def use(client: UpstreamClient) -> None:
            for _ in range(3):
                assert await asyncio.gather(*(send(client) for _ in range(8))) == [b"{}"] * 8
                clock.now += 31

        with_client(provider, use, clock=clock)


def test_pool_is_kept_while_something_is_in_flight() -> None:
    clock = Clock()
    with FakeProvider() as provider:

        async def use(client: UpstreamClient) -> None:
            provider.script(stream([b"data: 1\n\n", Hang()], end=False))
            open_one = await client.send(request(provider))
            assert await open_one.read() == b"data: 1\n\n"
            clock.now += 3600
            provider.script(json_answer(b"{}"))
            await read_all(await client.send(request(provider)))
            await open_one.aclose()

        with_client(provider, use, clock=clock)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "https://api.openai.com:444", "http://169.254.169.254"])
def test_address_outside_the_registry_is_never_dialled(url: str) -> None:
    with FakeProvider() as provider:

        async def use(client: UpstreamClient) -> None:
            with pytest.raises(UpstreamUnreachable) as caught:
                await client.send(request(provider, origin=Origin.parse(url)))
            assert not caught.value.billable
            assert "registry" in caught.value.message

        with_client(provider, use)


@pytest.mark.parametrize("path", ["//evil.example/x", "/@evil.example", "/..//evil.example", "/x?y#z", "/%2e%2e/x"])
def test_no_path_changes_the_host(path: str) -> None:
    with FakeProvider() as provider:
        provider.script(json_answer(b"{}"))

        async def use(client: UpstreamClient) -> None:
            await read_all(await client.send(request(provider, path=path)))

        with_client(provider, use)
        assert provider.last.all("host") == [provider.url.removeprefix("http://")]


def test_base_path_of_an_override_comes_first() -> None:
    with FakeProvider() as provider:
        provider.script(json_answer(b"{}"))

        async def run() -> None:
            origins = Origins(overrides={"openai": provider.url + "/base"}, demo_url=None)
            client = UpstreamClient(origins)
            await read_all(await client.send(request(provider, origin=Origin.parse(provider.url + "/base"), query="a=%2F")))
            await client.aclose()

        asyncio.run(run())
        assert provider.last.target == "/base/v1/x?a=%2F"


@pytest.mark.parametrize(
    ("steps", "expected", "billable"),
    [
        ([Cut()], UpstreamUnreachable, True),
        ([Close()], UpstreamUnreachable, True),
        ([Hang()], UpstreamTimeout, True),
        (answer("301 Moved", headers=[("location", "http://127.0.0.1:1/")]), UpstreamRedirected, True),
    ],
)
def test_foreign_errors_become_ours(steps: list[object], expected: type[NavPlaneError], billable: bool) -> None:
    with FakeProvider() as provider:
        provider.script(steps)  # type: ignore[arg-type]

        async def use(client: UpstreamClient) -> None:
            with pytest.raises(expected) as caught:
                await client.send(request(provider, first_byte_seconds=0.2))
            assert caught.value.billable is billable  # type: ignore[attr-defined]

        with_client(provider, use)
        assert len(provider.requests) == 1


def test_body_that_breaks_off_raises() -> None:
    with FakeProvider() as provider:
        provider.script([*answer(body=b"half", length=10), Close()])

        async def use(client: UpstreamClient) -> None:
            response = await client.send(request(provider))
            assert await response.read() == b"half"
            with pytest.raises(UpstreamCut):
                await response.read()
            await response.aclose()

        with_client(provider, use)


def test_what_before_writing_raises_stops_the_request_with_nothing_written() -> None:
    with FakeProvider() as provider:
        provider.script(json_answer(b"{}"))

        async def refuse() -> None:
            raise OrganizationDisabled("off")

        async def use(client: UpstreamClient) -> None:
            with pytest.raises(OrganizationDisabled):
                await client.send(request(provider, before_writing=refuse))
            assert provider.requests == []
            await read_all(await client.send(request(provider)))

        with_client(provider, use)
        assert len(provider.requests) == 1


def test_environment_names_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with FakeProvider() as provider:
        provider.script(json_answer(b"{}"))

        async def use(client: UpstreamClient) -> None:
            assert (await client.send(request(provider))).status == 200

        with_client(provider, use)


def test_cookies_are_not_kept() -> None:
    with FakeProvider() as provider:
        provider.script(json_answer(b"{}", headers=[("set-cookie", "a=b")]))

        async def use(client: UpstreamClient) -> None:
            for _ in range(2):
                await read_all(await client.send(request(provider)))

        with_client(provider, use)
        assert provider.last.all("cookie") == []


def self_signed(folder: Path) -> ssl.SSLContext:
    """Of 127.0.0.1, valid now, and vouched for by nobody."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "both.pem").write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "both.pem")
    return context


@pytest.mark.parametrize("speaks", ["a certificate of its own making", "no TLS at all"])
def test_who_can_not_prove_to_be_the_provider_is_sent_nothing(tmp_path: Path, speaks: str) -> None:
    received: list[bytes] = []

    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if speaks == "no TLS at all":
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        received.append(await reader.read(65536))
        writer.close()

    async def run() -> None:
        tls = None if speaks == "no TLS at all" else self_signed(tmp_path)
        server = await asyncio.start_server(hear, "127.0.0.1", 0, ssl=tls)
        port = server.sockets[0].getsockname()[1]
        client = UpstreamClient(Origins(overrides={}, demo_url=None))
        asked = UpstreamRequest(
            origin=Origin(scheme="https", host="127.0.0.1", port=port),
            method="POST",
            path="/v1/x",
            headers=((b"authorization", b"Bearer sk-for-the-provider-only"),),
            body=b"a prompt",
            first_byte_seconds=5.0,
        )
        with pytest.raises(UpstreamUnreachable) as raised:
            await client.send(asked)
        assert not raised.value.billable
        await client.aclose()
        server.close()
        await server.wait_closed()

    asyncio.run(run())
    assert b"sk-for-the-provider-only" not in b"".join(received)
    assert b"a prompt" not in b"".join(received)
