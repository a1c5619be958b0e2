"""The end of every request: its usage event and its one log line."""

import time
import traceback
from dataclasses import asdict, replace
from datetime import UTC, datetime
from decimal import Decimal

from navplane.gate.gate import Charge
from navplane.gateway.asgi import first_of
from navplane.gateway.background import SHOWING
from navplane.gateway.call import Call
from navplane.gateway.headers import KeyFinder
from navplane.model.reading import Reading, measure
from navplane.model.usage import UNBILLED, Outcome, Usage, UsageQuality
from navplane.model.usage_event import UsageEvent
from navplane.telemetry import logger

# Not sent by us to anyone: the row of a caller who left before there was a status (nginx's number for it).
CLIENT_CLOSED = 499


def usage_event(call: Call, keys: KeyFinder) -> UsageEvent:
    """`call` has a route and has ended."""
    route, candidate, caller = call.route, call.candidate, call.caller
    assert route is not None
    reading = call.meter.close() if call.meter is not None and route.endpoint not in SHOWING else None
    usage, quality = _measured(call, reading)
    return UsageEvent(
        request_id=call.request_id,
        org_id=caller.org_id if caller else None,
        workspace_id=caller.workspace_id if caller else None,
        key_id=caller.key_id if caller else None,
        endpoint=route.endpoint,
        region=call.region.value,
        started_at=call.started_at,
        status=call.status or CLIENT_CLOSED,
        outcome=_outcome(call, reading),
        usage_quality=quality,
        provider=call.provider.name if call.provider else None,
        provider_key_id=candidate.context.provider_key_id if candidate else None,
        model=call.model,
        response_model=reading.response_model if reading else None,
        stream=call.stream,
        demo=candidate.demo if candidate else False,
        error_code=call.error_code or ("upstream_error" if reading and reading.failed else None),
        usage=usage,
        raw_usage=reading.raw if reading else None,
        service_tier=reading.service_tier if reading else None,
        provider_request_id=call.provider_request_id,
        finish_reason=reading.finish_reason if reading else None,
        attempts=call.attempts,
        first_byte_ms=_milliseconds(call.first_byte - call.started) if call.first_byte is not None else None,
        duration_ms=_milliseconds(_lasted(call)),
        request_bytes=call.request_bytes,
        response_bytes=call.response_bytes,
        client=_client(call, keys),
        provider_cost_usd=_reported_cost(call, reading),
        route=call.route_name,
        workflow_version_id=call.workflow_version,
        upstream_model=call.upstream_model if call.upstream_model != call.model else None,
        attempt_log=[asdict(attempt) for attempt in call.tried] if len(call.tried) > 1 or call.route_name else None,
    )


def charge(event: UsageEvent) -> Charge:
    """What the call weighs until the writer has priced it. What used nothing costs nothing; of anything else the money that was
    reserved stays held."""
    return Charge(tokens=event.usage.total_tokens, nano_usd=0 if event.usage == Usage() else None)


def log_line(call: Call, event: UsageEvent | None) -> None:
    """No header, no body, no query: ids, names from closed sets, numbers."""
    facts = {
        "request_id": str(call.request_id),
        "org_id": str(call.caller.org_id) if call.caller else None,
        "endpoint": call.route.endpoint.value if call.route else None,
        "provider": call.provider.name if call.provider else None,
        "model": call.model,
        "status": call.status or CLIENT_CLOSED,
        "outcome": event.outcome.value if event else (call.outcome or Outcome.REFUSED).value,
        "error_code": event.error_code if event else call.error_code,
        "duration_ms": _milliseconds(_lasted(call)),
    }
    if event is not None:
        tokens = {"input_tokens": event.usage.input_tokens, "output_tokens": event.usage.output_tokens}
        facts |= tokens | {"usage_quality": event.usage_quality.value, "first_byte_ms": event.first_byte_ms}
    logger.info("request", extra=facts)


def log_bug(call: Call, exc: Exception) -> None:
    """Where it happened and its class, never its message: that may hold what a client or a provider sent."""
    frames = [f"{frame.filename.rpartition('/')[2]}:{frame.lineno}" for frame in traceback.extract_tb(exc.__traceback__)]
    logger.error("bug", extra={"request_id": str(call.request_id), "error": type(exc).__name__, "where": frames})


def now() -> datetime:
    return datetime.now(UTC)


def _measured(call: Call, reading: Reading | None) -> tuple[Usage, UsageQuality]:
    """What never reached a provider, what a provider refused, and what is free, used exactly nothing."""
    assert call.route is not None
    if call.route.endpoint in UNBILLED or not (call.written or call.spent_before):
        return Usage(), UsageQuality.EXACT
    # The bytes of a recording or a picture are no measure of its tokens.
    usage, quality = measure(reading, request_bytes=0 if call.route.takes_form else call.request_bytes)
    if quality is UsageQuality.EXACT or usage.audio_seconds:
        # An earlier try may have cost something that nobody told us of.
        return usage, UsageQuality.ESTIMATED if call.spent_before else quality
    return replace(usage, characters=call.units.characters, images=call.units.images), quality


def _reported_cost(call: Call, reading: Reading | None) -> Decimal | None:
    """The answer's own word, of a provider whose word is in USD, and only as its last word."""
    if reading is None or not reading.final or call.provider is None or not call.provider.reports_cost:
        return None
    return reading.cost_usd


def _outcome(call: Call, reading: Reading | None) -> Outcome:
    """An answer that arrived whole and says that the provider failed is a failure."""
    outcome = call.outcome or Outcome.FAILED
    return Outcome.FAILED if outcome is Outcome.OK and reading is not None and reading.failed else outcome


def _client(call: Call, keys: KeyFinder) -> str | None:
    agent = first_of(call.headers, b"user-agent") or b""
    text = agent.decode("ascii", "replace")[:128]
    return text if text and text.isprintable() and not keys.finds(agent) else None


def _lasted(call: Call) -> float:
    """In seconds, so far."""
    return (call.ended if call.ended is not None else time.monotonic()) - call.started


def _milliseconds(seconds: float) -> int:
    return max(0, round(seconds * 1000))
