"""One candidate after the other, until one answers: before the first byte to the client, and only where trying again is safe.

A further try is made where the one before it cost nothing: no connection came about, the key can't be opened or was refused,
or the answer was 429 or a 5xx. Where it may have cost something (silence, a connection that broke after the request was
written), only a route that says so goes on (`fallback_when_billed`), and the row's usage counts as estimated.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from navplane.errors import KeyUnavailable, ProviderKeyRejected, UpstreamError, UpstreamRedirected
from navplane.gate.gate import Candidate
from navplane.gateway import forward
from navplane.gateway.admission import Admissions, Granted
from navplane.gateway.asgi import first_of
from navplane.gateway.body import ModelCall
from navplane.gateway.call import Attempt, Call
from navplane.gateway.headers import KeyFinder
from navplane.gateway.key_health import LONGEST_SECONDS, KeyHealth
from navplane.gateway.limits import Limits
from navplane.model.provider_key import Secret
from navplane.upstream.client import UpstreamClient, UpstreamResponse
from navplane.upstream.providers import PROVIDERS


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is forwarded, as the client sent it."""

    query: bytes
    body: bytes | None
    request: ModelCall | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """An answer to pass on, whatever its status. `withhold`: the usage event is there because we asked for it."""

    response: UpstreamResponse
    secret: Secret
    withhold: bool


class Fallback:
    def __init__(
        self, upstream: UpstreamClient, admissions: Admissions, *, health: KeyHealth, keys: KeyFinder, limits: Limits
    ) -> None:
        self._upstream, self._admissions, self._health = upstream, admissions, health
        self._keys, self._limits = keys, limits

    async def until_answered(self, call: Call, granted: Granted, asked: Asked) -> Answered:
        """The first answer that need not, or can't, be improved on. Raise what the last try raised."""
        for place, candidate in enumerate(granted.tries):
            is_last = place + 1 == len(granted.tries)
            call.turn_to(candidate, PROVIDERS[candidate.provider])
            began = time.monotonic()
            try:
                answered = await self._try(call, candidate, asked, granted, known=granted.secret if place == 0 else None)
            except (UpstreamError, KeyUnavailable) as error:
                self._note_failure(call, candidate, began, error)
                if is_last or not _may_go_on(error, when_billed=granted.admission.fallback_when_billed):
                    raise
                continue
            failed = self._note_answer(call, candidate, began, answered.response)
            if is_last or not failed:
                return answered
            await answered.response.aclose()
        raise AssertionError("an admission has at least one candidate")

    async def _try(self, call: Call, candidate: Candidate, asked: Asked, granted: Granted, *, known: Secret | None) -> Answered:
        secret = known or await self._admissions.open(candidate)
        body, withhold = forward.shape_body(call, asked.body, asked.request, granted.admission.stream_usage)
        request = forward.build_request(
            call,
            origins=self._upstream.origins,
            query=asked.query,
            body=body,
            secret=secret,
            keys=self._keys,
            first_byte_seconds=self._limits.first_byte_streamed if call.stream else self._limits.first_byte,
            before_writing=lambda: self._admissions.confirm(call),
        )
        self._health.begin(candidate.key.context.provider_key_id, time.monotonic())
        return Answered(response=await forward.send(call, self._upstream, request), secret=secret, withhold=withhold)

    def _note_failure(self, call: Call, candidate: Candidate, began: float, error: UpstreamError | KeyUnavailable) -> None:
        now = time.monotonic()
        call.tried.append(_attempt(candidate, began, now, error=error.code))
        call.spent_before = call.spent_before or (_is_billable(error) and call.written)
        if isinstance(error, UpstreamError):
            self._health.failed(candidate.key.context.provider_key_id, now)

    def _note_answer(self, call: Call, candidate: Candidate, began: float, response: UpstreamResponse) -> bool:
        """Whether another candidate might do better."""
        now, key_id = time.monotonic(), candidate.key.context.provider_key_id
        call.tried.append(_attempt(candidate, began, now, status=response.status))
        if response.status in PROVIDERS[candidate.provider].key_refusals:
            self._health.failed(key_id, now, wait_seconds=LONGEST_SECONDS)
        elif response.status == 429 or response.status >= 500:
            self._health.failed(key_id, now, wait_seconds=_asked_to_wait(response))
        else:
            self._health.succeeded(key_id)
            return False
        return True


def _may_go_on(error: UpstreamError | KeyUnavailable, *, when_billed: bool) -> bool:
    return when_billed or not _is_billable(error)


def _is_billable(error: UpstreamError | KeyUnavailable) -> bool:
    """Nobody has read a request whose key could not be opened, and who redirects has not answered it."""
    harmless = isinstance(error, (KeyUnavailable, UpstreamRedirected, ProviderKeyRejected))
    return not harmless and isinstance(error, UpstreamError) and error.billable


def _asked_to_wait(response: UpstreamResponse, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> float | None:
    """Seconds, from Retry-After in either of its forms (RFC 9110 section 10.2.3); None for anything else."""
    value = first_of([(name.lower(), value) for name, value in response.headers], b"retry-after") or b""
    text = value.decode("latin-1").strip()
    if text.isdecimal():
        return float(text[:9])
    try:
        return (parsedate_to_datetime(text) - clock()).total_seconds()
    except (ValueError, TypeError):
        return None


def _attempt(candidate: Candidate, began: float, now: float, *, status: int | None = None, error: str | None = None) -> Attempt:
    return Attempt(
        provider=candidate.provider,
        provider_key_id=candidate.key.context.provider_key_id,
        model=candidate.model,
        status=status,
        error=error,
        milliseconds=max(0, round((now - began) * 1000)),
    )
