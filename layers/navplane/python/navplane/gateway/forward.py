"""From an admitted call to the provider's answer: open its key, build the request, send it."""

import asyncio
import contextlib
import random

from navplane.crypto.envelope import open_sealed
from navplane.crypto.kek import KekUnwrapper
from navplane.crypto.kek_cache import CachingKek, NotAtHand
from navplane.errors import (
    DecryptionError,
    DependencyUnavailable,
    KeyUnavailable,
    NavPlaneError,
    UpstreamUnreachable,
)
from navplane.gateway.asgi import first_of
from navplane.gateway.body import ModelCall, parse
from navplane.gateway.call import Call
from navplane.gateway.headers import KeyFinder, upstream_headers
from navplane.gateway.route import path_of
from navplane.gateway.splice import include_usage, replace_model
from navplane.model.provider_key import SealedProviderKey, Secret
from navplane.model.tenancy import StreamUsage
from navplane.model.usage import Endpoint
from navplane.telemetry import logger
from navplane.upstream.auth import auth_header
from navplane.upstream.client import BeforeWriting, UpstreamClient, UpstreamRequest, UpstreamResponse
from navplane.upstream.origin import Origins
from navplane.upstream.provider import HOP_HEADER

# One further try, only where no connection came about and so nothing can have been billed.
CONNECT_TRIES = 2
CONNECT_JITTER_SECONDS = 0.1


def open_at_hand(candidate: SealedProviderKey, kek: CachingKek) -> Secret | None:
    """The key, opened, if no KEK has to be asked for it. Anything else is `open_key`'s to find out and to say."""
    with contextlib.suppress(NotAtHand, NavPlaneError):
        return open_key(candidate, kek.at_hand)
    return None


def open_key(candidate: SealedProviderKey, kek: KekUnwrapper) -> Secret:
    """Raise KeyUnavailable, whatever is wrong: the caller can do nothing about it."""
    try:
        secret = open_sealed(candidate.sealed, context=candidate.context, kek=kek)
    except (DecryptionError, DependencyUnavailable) as exc:
        facts = {"provider_key_id": str(candidate.context.provider_key_id), "reason": type(exc).__name__}
        logger.error("provider_key.unavailable", extra=facts)
        raise KeyUnavailable("The organization's provider key can't be opened just now. Try again shortly.") from exc
    if not (text := secret.reveal()) or not text.isascii() or not text.decode().isprintable():
        raise KeyUnavailable("The organization's provider key is not text that a header can carry. Replace it.")
    return secret


def shape_body(
    call: Call, body: bytes | None, request: ModelCall | None, stream_usage: StreamUsage
) -> tuple[bytes | None, bool]:
    """The body to forward, and whether the usage event that it asks for is to be withheld. Only two things are ever changed:
    the name of the model, where a route or `provider/model` led to another one, and the option of an OpenAI chat stream whose
    provider knows it."""
    assert call.provider is not None
    assert call.route is not None
    if body is None or request is None:
        return body, False
    if call.upstream_model is not None and call.upstream_model != call.model:
        body = replace_model(body, request, call.upstream_model)
        request = parse(body)
    chat_stream = call.stream and call.route.endpoint is Endpoint.CHAT_COMPLETIONS
    # A path that names a deployment carries a dated version of the API, which may not know the option.
    accepts = call.provider.accepts_include_usage and call.route.model is None
    if not (chat_stream and accepts and stream_usage is StreamUsage.INJECT):
        return body, False
    splice = include_usage(body, request)
    return splice.body, splice.injected


def build_request(
    call: Call,
    *,
    origins: Origins,
    query: bytes,
    body: bytes | None,
    secret: Secret,
    keys: KeyFinder,
    first_byte_seconds: float,
    before_writing: BeforeWriting,
) -> UpstreamRequest:
    assert call.provider is not None
    assert call.route is not None
    assert call.candidate is not None
    origin = origins.of(call.provider, demo=call.candidate.demo, base_url=call.candidate.base_url)
    headers = upstream_headers(call.headers, call.provider, keys)
    version = first_of(headers, b"anthropic-version")
    headers.append(auth_header(call.provider, secret, version=version.decode() if version else None))
    if origins.may_lead_back(origin):
        headers.append((HOP_HEADER, b"1"))
    return UpstreamRequest(
        origin=origin,
        method=call.route.method,
        path=path_of(call.route, call.provider),
        query=query.decode("ascii"),
        headers=tuple(headers),
        body=body,
        first_byte_seconds=first_byte_seconds,
        before_writing=before_writing,
    )


async def send(call: Call, upstream: UpstreamClient, request: UpstreamRequest) -> UpstreamResponse:
    """Raise what UpstreamClient.send raises. `call.written` is true from the first byte that may be billed on."""
    for connects_left in reversed(range(CONNECT_TRIES)):
        call.attempts += 1
        try:
            return await upstream.send(request)
        except UpstreamUnreachable as exc:
            if exc.billable or not connects_left:
                raise
        await asyncio.sleep(random.uniform(0, CONNECT_JITTER_SECONDS))  # noqa: S311 - jitter
    raise AssertionError("the last try returns or raises")
