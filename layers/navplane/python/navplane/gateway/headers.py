"""Which headers pass, in both directions. Upstream a list of what is dropped, since providers add new ones every week."""

import re
from collections.abc import Iterable, Sequence

from navplane.crypto.api_key import UUID4
from navplane.gateway.asgi import RawHeaders, first_of, values_of
from navplane.gateway.authenticate import CREDENTIAL_HEADERS
from navplane.model.dialect import Dialect
from navplane.upstream.echoes import spellings
from navplane.upstream.provider import Provider

# RFC 9110 section 7.6.1 and RFC 9112; what a Connection header names comes on top.
_HOP_BY_HOP = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"proxy-authenticate", b"proxy-authorization"}
    | {b"te", b"trailer", b"transfer-encoding", b"upgrade"}
)
# The client's own framing and negotiation end here; the upstream client writes its own.
_REWRITTEN = frozenset({b"host", b"content-length", b"accept-encoding", b"expect"})
_CALLERS_OWN = frozenset({b"cookie", b"via", b"forwarded", b"openai-organization", b"openai-project"})
_DROPPED_UP = CREDENTIAL_HEADERS | _HOP_BY_HOP | _REWRITTEN | _CALLERS_OWN
_DROPPED_UP_PREFIXES = (b"x-forwarded-", b"x-navplane-", b"x-amzn-")
_SUSPECT = re.compile(rb"token|secret|api-?key|auth|cookie|^x-amz-")
# A provider's own headers may speak of tokens (a beta's name, a limit); of credentials they may not.
_SUSPECT_OF_PROVIDER = re.compile(rb"secret|api-?key|auth|cookie")
_PROVIDERS_OWN = {Dialect.OPENAI: b"openai-", Dialect.ANTHROPIC: b"anthropic-"}

_DROPPED_DOWN = _HOP_BY_HOP | {b"set-cookie", b"alt-svc", b"server"}
_DROPPED_DOWN_PREFIXES = (b"cf-", b"x-navplane-")
# What no header may have: a server would refuse to write it, and so the whole answer.
_UNWRITABLE_NAME, _UNWRITABLE_VALUE = re.compile(rb"[^!#$%&'*+.^_`|~0-9A-Za-z-]"), re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_NATIVE_IDS = (b"x-request-id", b"request-id", b"apim-request-id")


class KeyFinder:
    """Finds API keys of ours inside other text."""

    def __init__(self, prefixes: Sequence[str]) -> None:
        alternatives = "|".join(re.escape(prefix) for prefix in prefixes)
        self._pattern = re.compile(f"(?:{alternatives}){UUID4}".encode(), re.IGNORECASE)

    def finds(self, text: bytes) -> bool:
        return self._pattern.search(text) is not None


def upstream_headers(headers: RawHeaders, provider: Provider, keys: KeyFinder) -> list[tuple[bytes, bytes]]:
    """The caller's headers as the provider may see them, in their order, and those the registry adds where it sent none.
    The provider's key is not among them yet, so nothing that a caller sends can remove or replace it."""
    nominated = _nominated(headers)
    passed = [
        (name, value)
        for name, value in headers
        if name not in nominated and not _dropped_up(name, provider.dialect) and not keys.finds(value)
    ]
    passed.append((b"accept-encoding", b"identity"))
    for own_name, own_value in provider.headers:
        if first_of(passed, own_name.encode()) is None:
            passed.append((own_name.encode(), own_value.encode()))
    return passed


def downstream_headers(headers: RawHeaders, *, secret: bytes, request_id: str, resized: bool) -> list[tuple[bytes, bytes]]:
    """The provider's headers as the client may see them. A header that holds `secret`, the provider's key, is dropped, and so
    is content-length where the body may become shorter (`resized`)."""
    lower = [(name.lower(), name, value) for name, value in headers]
    dropped = (
        _DROPPED_DOWN | _nominated([(low, value) for low, _, value in lower]) | ({b"content-length"} if resized else set())
    )
    everything = b"\0".join(part for header in headers for part in header)
    echoed = [spelling for spelling in spellings(secret) if spelling in everything]
    passed = [
        (low, value)
        for low, name, value in lower
        if low not in dropped
        and not low.startswith(_DROPPED_DOWN_PREFIXES)
        and not _UNWRITABLE_NAME.search(name)
        and not _UNWRITABLE_VALUE.search(value)
        and not any(spelling in value or spelling in name for spelling in echoed)
    ]
    return [*passed, (b"x-navplane-request-id", request_id.encode())]


def native_id(headers: RawHeaders, *, secret: bytes) -> str | None:
    """The provider's own id of the request, where it gave one that is fit to be kept: `secret`, its key, is not."""
    found = {name.lower(): value for name, value in headers}
    value = next((found[name] for name in _NATIVE_IDS if name in found), b"")
    text = value.decode("ascii", "replace")
    fit = 0 < len(text) <= 128 and text.isprintable() and not any(spelling in value for spelling in spellings(secret))
    return text if fit else None


def _dropped_up(name: bytes, dialect: Dialect) -> bool:
    if name in _DROPPED_UP or name.startswith(_DROPPED_UP_PREFIXES):
        return True
    suspect = _SUSPECT_OF_PROVIDER if name.startswith(_PROVIDERS_OWN[dialect]) else _SUSPECT
    return suspect.search(name) is not None


def _nominated(headers: Iterable[tuple[bytes, bytes]]) -> set[bytes]:
    """What Connection headers name: it speaks of one connection and ends here."""
    return {name.strip().lower() for value in values_of(headers, b"connection") for name in value.split(b",")}


# No provider's keys are as short as this.
SHORTEST_SOUGHT = 16


class Sighting:
    """Tells whether a secret is in a stream of bytes, however it is spelled, also where it stands across two chunks. A secret
    that is as short as a word is not looked for: it would be found where it is none."""

    def __init__(self, secret: bytes) -> None:
        self._spellings = spellings(secret) if len(secret) >= SHORTEST_SOUGHT else ()
        self._keep = max((len(spelling) for spelling in self._spellings), default=1) - 1
        self._last = b""

    def of(self, chunk: bytes) -> bool:
        text = self._last + chunk
        self._last = text[len(text) - self._keep :] if self._keep else b""
        return any(spelling in text for spelling in self._spellings)


class Redactor:
    """Replaces a secret in a stream of bytes by as many asterisks, however it is spelled, also where it stands across two
    chunks."""

    def __init__(self, secret: bytes) -> None:
        self._spellings = spellings(secret)
        self._kept = b""

    def feed(self, chunk: bytes) -> bytes:
        text = self._kept + chunk
        for spelling in self._spellings:
            text = text.replace(spelling, b"*" * len(spelling))
        keep = min(len(text), len(self._spellings[0]) - 1)
        self._kept = text[len(text) - keep :]
        return text[: len(text) - keep]

    def finish(self) -> bytes:
        kept, self._kept = self._kept, b""
        return kept
