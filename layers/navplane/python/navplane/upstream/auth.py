"""How a provider's key is presented to it."""

import re

from navplane.model.provider_key import Secret
from navplane.upstream.provider import AuthScheme, Provider

# Anthropic's SDKs send `Authorization: Bearer` together with this version or a later one, `x-api-key` with older ones.
FIRST_BEARER_VERSION = "2026-10-21"


def auth_header(provider: Provider, key: Secret, *, version: str | None) -> tuple[bytes, bytes]:
    """One header. `version` is the `anthropic-version` of the request as it goes out; other providers have none."""
    if provider.auth is AuthScheme.ANTHROPIC and not _takes_bearer(version):
        return b"x-api-key", key.reveal()
    if provider.auth is AuthScheme.API_KEY:
        return b"api-key", key.reveal()
    return b"authorization", b"Bearer " + key.reveal()


def _takes_bearer(version: str | None) -> bool:
    """Versions are dates, and dates in this form compare as text."""
    return bool(version and re.fullmatch(r"\d{4}-\d{2}-\d{2}", version) and version >= FIRST_BEARER_VERSION)
