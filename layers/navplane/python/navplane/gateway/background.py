"""Responses in the background: the call that makes one ends before its usage is known, and a later call brings it.

The first answer (`queued`) settles nothing: the reservation stays, for as long as LEASE. Beside the response's id the gate
keeps the usage event of that first call, and whatever call shows the usage completes it, under the first call's request id. As
an event like any other it changes nothing when it comes again. If nobody ever asks, the reaper closes the request as lost.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from navplane.gateway.call import Call
from navplane.gateway.meter import measure
from navplane.model.ids import time_of
from navplane.model.usage import Endpoint, Outcome
from navplane.model.usage_event import MalformedEvent, UsageEvent
from navplane.telemetry import logger
from navplane.upstream.usage import Reading

# How long a response may run and be asked for before its request counts as lost. An answer that comes later still wins.
LEASE = timedelta(hours=24)
# Older rows may be gone with their month, and an event can't bring one back.
MEMORY = timedelta(days=30)
# These show a stored response as it stands by now.
SHOWING = frozenset({Endpoint.RESPONSE, Endpoint.RESPONSE_CANCEL})
_UNDER_WAY = frozenset({"queued", "in_progress"})


def event_to_complete(event: UsageEvent) -> str:
    """What is kept with the object: the event of the call that made it, as if it had ended well by now."""
    return replace(event, outcome=Outcome.OK, raw_usage=None).to_json()


def is_open(call: Call) -> bool:
    """Whether this call's usage is still to come: it made a response that nobody has waited for, and its id is bound."""
    if not call.background or not call.bound or call.stream or call.meter is None:
        return False
    reading = call.meter.close()
    return not reading.final and reading.finish_reason in _UNDER_WAY


def completed(call: Call, now: datetime) -> UsageEvent | None:
    """The event of the call that made the response which this call shows, if its usage is known by now."""
    assert call.route is not None
    if call.route.endpoint not in SHOWING or call.owner is None or call.owner.pending_event is None or call.meter is None:
        return None
    reading = call.meter.close()
    try:
        event = UsageEvent.from_json(call.owner.pending_event)
    except MalformedEvent:
        logger.error("background.unreadable", extra={"request_id": str(call.request_id)})
        return None
    if reading.finish_reason is None or reading.finish_reason in _UNDER_WAY or now - time_of(event.request_id) > MEMORY:
        return None
    return _with(event, reading)


def _with(event: UsageEvent, reading: Reading) -> UsageEvent:
    usage, quality = measure(reading, request_bytes=event.request_bytes)
    return replace(
        event,
        usage=usage,
        usage_quality=quality,
        raw_usage=reading.raw,
        outcome=Outcome.FAILED if reading.failed else Outcome.OK,
        error_code="upstream_error" if reading.failed else None,
        response_model=reading.response_model,
        service_tier=reading.service_tier,
        finish_reason=reading.finish_reason,
    )
