"""One plain GET to a provider with its key, for what runs beside the hot path."""

from collections.abc import Iterator
from contextlib import contextmanager

import httpx2

from navplane.model.provider_key import Secret
from navplane.upstream.address import public_addresses
from navplane.upstream.auth import auth_header
from navplane.upstream.provider import HOP_HEADER, Origin, Provider


@contextmanager
def getting(provider: Provider, key: Secret, *, origin: Origin, path: str, seconds: float) -> Iterator[httpx2.Response]:
    """The answer, with its body still to read and as it came: redirects are not followed. `seconds` bounds each wait, not
    their sum. A guarded origin is connected to at an address that was looked at, under its own name. Raise NotPublic,
    httpx2.HTTPError or OSError."""
    version = dict(provider.headers).get("anthropic-version")
    headers = [(name.encode(), value.encode()) for name, value in provider.headers]
    headers += [(b"accept-encoding", b"identity"), auth_header(provider, key, version=version)]
    host, extensions = origin.host, {}
    if origin.guarded:
        host = public_addresses(origin.host, origin.port)[0]
        extensions = {"sni_hostname": origin.host}
        headers = [(b"host", f"{origin.host}:{origin.port}".removesuffix(":443").encode()), (HOP_HEADER, b"1"), *headers]
    url = httpx2.URL(scheme=origin.scheme, host=host, port=origin.port, path=origin.base_path + path)
    with (
        httpx2.Client(follow_redirects=False, trust_env=False, timeout=seconds) as client,
        client.stream("GET", url, headers=headers, extensions=extensions) as answer,
    ):
        yield answer
