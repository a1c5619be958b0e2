"""Asks a provider whether it takes a key, before the key is stored. Control plane only: one plain GET."""

import httpx2

from navplane.errors import DependencyUnavailable, ProviderKeyInvalid
from navplane.model.provider_key import Secret
from navplane.upstream.auth import auth_header
from navplane.upstream.provider import Origin, Provider

TIMEOUT_SECONDS = 10.0


def validate_key(provider: Provider, key: Secret, *, origin: Origin) -> None:
    """Return if the provider takes `key`. Raise ProviderKeyInvalid if it does not, DependencyUnavailable if that can't be
    told just now. The provider's answer is shown to nobody: it may echo the key."""
    headers = [(name.encode(), value.encode()) for name, value in provider.headers]
    version = dict(provider.headers).get("anthropic-version")
    try:
        with httpx2.Client(follow_redirects=False, trust_env=False, timeout=TIMEOUT_SECONDS) as client:
            url = httpx2.URL(
                scheme=origin.scheme, host=origin.host, port=origin.port, path=origin.base_path + provider.validation_path
            )
            status = client.get(url, headers=[*headers, auth_header(provider, key, version=version)]).status_code
    except (httpx2.HTTPError, OSError) as exc:
        raise DependencyUnavailable(f"{provider.title} could not be reached to check the key. Nothing was stored.") from exc
    _judge(provider, status)


def _judge(provider: Provider, status: int) -> None:
    if status in provider.invalid_key_statuses:
        raise ProviderKeyInvalid(f"{provider.title} does not accept this key. Nothing was stored.")
    if not 200 <= status < 300:
        raise DependencyUnavailable(f"{provider.title} answered {status} when asked about the key. Nothing was stored.")
