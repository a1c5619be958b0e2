"""Responses in the background: the call that makes one ends before its usage is known, and a later call brings it.

The first answer (`queued`) settles nothing: the reservation stays, for as long as LEASE. Beside the response's id the gate
keeps the usage event of that first call, and whatever call shows the usage completes it, under the first call's request id. As
an event like any other it changes nothing when it comes again. If nobody asks, maintenance does (ingest/collect_usage.py), and
what nobody was told in time the reaper closes as lost.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from navplane.gateway.batches import BatchPlan
from navplane.gateway.call import Call
from navplane.model import reading as told
from navplane.model.ids import time_of
from navplane.model.reading import Reading
from navplane.model.usage import BATCH_CREATIONS, FILES_AND_BATCHES, Endpoint, Outcome
from navplane.model.usage_event import MalformedEvent, UsageEvent
from navplane.telemetry import logger

# How long a response may run and be asked for before its request counts as lost. An answer that comes later still wins.
LEASE = timedelta(hours=24)
# Older rows may be gone with their month, and an event can't bring one back.
MEMORY = timedelta(days=30)
# These show what a provider keeps as it stands by now; what they use themselves is nothing.
RESPONSES_SHOWN = frozenset({Endpoint.RESPONSE, Endpoint.RESPONSE_CANCEL})
SHOWING = RESPONSES_SHOWN | (FILES_AND_BATCHES - BATCH_CREATIONS)
# Of those, what can tell the usage of the call that made it.
COUNTING = RESPONSES_SHOWN | {
    Endpoint.BATCH, Endpoint.BATCH_CANCEL, Endpoint.FILE_CONTENT, Endpoint.MESSAGE_BATCH, Endpoint.MESSAGE_BATCH_CANCEL,
    Endpoint.MESSAGE_BATCH_RESULTS,
}  # fmt: skip
# A batch may take a day, and its output is there for longer.
BATCH_LEASE = timedelta(hours=72)


def lease_of(call: Call) -> timedelta:
    return BATCH_LEASE if call.plan is not None else LEASE


def event_to_complete(event: UsageEvent, *, largest_input: int | None = None) -> str:
    """What is kept with the object: the event of the call that made it, as if it had ended well by now. `largest_input`: of a
    batch, the most tokens that one of its requests can have read."""
    raw = None if largest_input is None else {"largest_input_tokens": largest_input}
    return replace(event, outcome=Outcome.OK, raw_usage=raw).to_json()


def is_open(call: Call) -> bool:
    """Whether this call's usage is still to come: it made a response that nobody has waited for, and its id is bound."""
    if not call.background or not call.bound or call.stream or call.meter is None:
        return False
    reading = call.meter.close()
    return call.plan is not None or (not reading.final and told.under_way(reading))


def completed(call: Call, now: datetime) -> UsageEvent | None:
    """The event of the call that made the response which this call shows, if its usage is known by now."""
    assert call.route is not None
    if call.route.endpoint not in COUNTING or call.owner is None or call.meter is None:
        return None
    if call.owner.pending_event is None or BatchPlan.from_json(call.owner.pending_event) is not None:
        return None
    reading = call.meter.close()
    try:
        event = UsageEvent.from_json(call.owner.pending_event)
    except MalformedEvent:
        logger.error("background.unreadable", extra={"request_id": str(call.request_id)})
        return None
    if not _is_over(call, reading) or now - time_of(event.request_id) > MEMORY:
        return None
    return told.completed(event, reading)


def _is_over(call: Call, reading: Reading) -> bool:
    """A batch must say all that it used, and have been shown whole; of a response that ended, the rest can be estimated."""
    assert call.route is not None
    if call.route.endpoint in RESPONSES_SHOWN:
        return told.response_ended(reading)
    return reading.final and call.status == 200 and call.outcome is Outcome.OK
