"""Objects that a provider keeps beyond a call (stored responses, files, batches): of the organization whose call made them.

Organizations may share a provider's account, and whoever knows an id could read what stands behind it. Fails closed: what
was never bound is as good as not there.
"""

import re
from datetime import datetime

from navplane.errors import NavPlaneError, NotFound
from navplane.gate.gate import Gate, Owner
from navplane.gateway.batches import BatchPlan
from navplane.gateway.call import Call
from navplane.model.usage import Endpoint
from navplane.telemetry import logger

# A batch's files are known only once it is over.
BATCHES_SHOWN = frozenset({Endpoint.BATCH, Endpoint.BATCH_CANCEL})
_MAKING = frozenset({Endpoint.FILE_UPLOAD, Endpoint.BATCHES, Endpoint.MESSAGE_BATCHES}) | BATCHES_SHOWN
NOT_THERE = "There is no such object. Those that were made through NavPlane, by this organization, can be used."
OBJECT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{2,199}")


def makes_objects(call: Call) -> bool:
    """Whether what this call makes can be asked for again."""
    assert call.route is not None
    assert call.provider is not None
    kept = Endpoint.RESPONSES if Endpoint.RESPONSE in call.provider.paths else None
    return call.route.endpoint is kept or call.route.endpoint in _MAKING


def touches_objects(call: Call) -> bool:
    """Whether the gate has to be asked about objects, before the call or after it."""
    assert call.route is not None
    return call.route.object_id is not None or call.plan is not None or makes_objects(call)


def made_by(call: Call, object_id: str) -> tuple[tuple[str, bool], ...]:
    """The ids of what this call's answer shows for the first time, and whether usage can be read off it. A batch that is over
    shows its files: what was answered, and what failed."""
    assert call.meter is not None
    assert call.route is not None
    return call.meter.files if call.route.endpoint in BATCHES_SHOWN else ((object_id, True),)


def plan_of(gate: Gate, call: Call, file_id: str) -> BatchPlan | None:
    """What was found in the file when it was uploaded; whose it is, is looked at once the caller is known."""
    assert call.route is not None
    assert call.route.provider is not None
    owner = gate.owner_of(call.route.provider.name, file_id) if OBJECT_ID.fullmatch(file_id) else None
    return BatchPlan.from_json(owner.pending_event) if owner else None


def require_own(gate: Gate, call: Call) -> None:
    """Every object that the call names must be its organization's. Raise NotFound, alike for another's and for none."""
    assert call.route is not None
    assert call.provider is not None
    assert call.caller is not None
    named = [call.route.object_id, call.continues if makes_objects(call) else None]
    if call.route.endpoint is Endpoint.BATCHES and call.plan is None:
        raise NotFound(NOT_THERE)
    for object_id in filter(None, named):
        owner = gate.owner_of(call.provider.name, object_id) if OBJECT_ID.fullmatch(object_id) else None
        if owner is None or owner.org_id != call.caller.org_id:
            raise NotFound(NOT_THERE)
        call.owner = owner


def bind_all(gate: Gate, call: Call, object_id: str, now: datetime, *, note: str | None) -> None:
    """Never raises, as `bind`. The note goes with what usage can be read off."""
    for made, counts in made_by(call, object_id):
        bind(gate, call, made, now, pending_event=note if counts else None)


def bind(gate: Gate, call: Call, object_id: str, now: datetime, *, pending_event: str | None = None) -> None:
    """Never raises: an answer that was paid for goes out, and an object that could not be bound can't be asked for again."""
    assert call.provider is not None
    assert call.caller is not None
    assert call.candidate is not None
    if not OBJECT_ID.fullmatch(object_id):
        return
    key_id = call.candidate.context.provider_key_id
    owner = Owner(org_id=call.caller.org_id, provider_key_id=key_id, pending_event=pending_event)
    try:
        gate.bind_object(call.provider.name, object_id, owner, now)
        call.bound = True
    except NavPlaneError as exc:
        logger.warning("object.unbound", extra={"request_id": str(call.request_id), "error": type(exc).__name__})
