"""Asks a provider whether it takes a key, before the key is stored. Control plane only: one plain GET."""

import httpx2

from navplane.errors import DependencyUnavailable, Invalid, LoopDetected, ProviderKeyInvalid
from navplane.model.provider_key import Secret
from navplane.upstream.address import NotPublic, public_addresses
from navplane.upstream.auth import auth_header
from navplane.upstream.provider import HOP_HEADER, Origin, Provider

TIMEOUT_SECONDS = 10.0


def validate_key(provider: Provider, key: Secret, *, origin: Origin) -> None:
    """Return if the provider takes `key`. Raise ProviderKeyInvalid if it does not, DependencyUnavailable if that can't be
    told just now. The provider's answer is shown to nobody: it may echo the key."""
    headers = [(name.encode(), value.encode()) for name, value in provider.headers]
    version = dict(provider.headers).get("anthropic-version")
    try:
        status = _get(origin, provider.validation_path, [*headers, auth_header(provider, key, version=version)])
    except NotPublic as exc:
        raise Invalid("base_url leads to an address that is not public. Nothing was stored.") from exc
    except (httpx2.HTTPError, OSError) as exc:
        raise DependencyUnavailable(f"{provider.title} could not be reached to check the key. Nothing was stored.") from exc
    _judge(provider, status)


def _get(origin: Origin, path: str, headers: list[tuple[bytes, bytes]]) -> int:
    """The status. A guarded origin is connected to at an address that was looked at, under its own name."""
    host, extensions = origin.host, {}
    if origin.guarded:
        host = public_addresses(origin.host, origin.port)[0]
        extensions = {"sni_hostname": origin.host}
        headers = [(b"host", f"{origin.host}:{origin.port}".removesuffix(":443").encode()), (HOP_HEADER, b"1"), *headers]
    url = httpx2.URL(scheme=origin.scheme, host=host, port=origin.port, path=origin.base_path + path)
    with httpx2.Client(follow_redirects=False, trust_env=False, timeout=TIMEOUT_SECONDS) as client:
        return client.get(url, headers=headers, extensions=extensions).status_code


def _judge(provider: Provider, status: int) -> None:
    if status in provider.invalid_key_statuses:
        raise ProviderKeyInvalid(f"{provider.title} does not accept this key. Nothing was stored.")
    if status == LoopDetected.status:
        raise Invalid("base_url leads back to a NavPlane. Nothing was stored.")
    if not 200 <= status < 300:
        raise DependencyUnavailable(f"{provider.title} answered {status} when asked about the key. Nothing was stored.")
