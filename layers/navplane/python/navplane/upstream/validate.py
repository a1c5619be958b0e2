"""Asks a provider whether it takes a key, before the key is stored. Control plane only: one plain GET."""

import httpx2

from navplane.errors import DependencyUnavailable, Invalid, LoopDetected, ProviderKeyInvalid
from navplane.model.provider_key import Secret
from navplane.upstream.address import NotPublic
from navplane.upstream.plain_get import getting
from navplane.upstream.provider import Origin, Provider

TIMEOUT_SECONDS = 10.0


def validate_key(provider: Provider, key: Secret, *, origin: Origin) -> None:
    """Return if the provider takes `key`. Raise ProviderKeyInvalid if it does not, DependencyUnavailable if that can't be
    told just now. The provider's answer is shown to nobody: it may echo the key."""
    path = provider.validation_path
    try:
        with getting(provider, key, origin=origin, path=path, seconds=TIMEOUT_SECONDS) as answer:
            status = answer.status_code
    except NotPublic as exc:
        raise Invalid("base_url leads to an address that is not public. Nothing was stored.") from exc
    except (httpx2.HTTPError, OSError) as exc:
        raise DependencyUnavailable(f"{provider.title} could not be reached to check the key. Nothing was stored.") from exc
    _judge(provider, status)


def _judge(provider: Provider, status: int) -> None:
    if status in provider.invalid_key_statuses:
        raise ProviderKeyInvalid(f"{provider.title} does not accept this key. Nothing was stored.")
    if status == LoopDetected.status:
        raise Invalid("base_url leads back to a NavPlane. Nothing was stored.")
    if not 200 <= status < 300:
        raise DependencyUnavailable(f"{provider.title} answered {status} when asked about the key. Nothing was stored.")
