"""The reaper: what a dead proxy left open becomes exactly one `lost` row per request."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from navplane.gate.gate import Expired, Gate
from navplane.ingest.recording import Recorded, record_what_can_be, tell_gate
from navplane.model.ids import time_of
from navplane.model.usage import Outcome, UsageQuality
from navplane.model.usage_event import UsageEvent
from navplane.queue.request_log import QueueAge
from navplane.store.database import Database
from navplane.telemetry import logger

# Beyond the lease: time for an event to be published, and for the counts of a queue to become true.
GRACE = timedelta(minutes=2)
# What one run may close at most is this often a batch: the rest is for the next run.
ROUNDS = 20
# The status of a lost request is not known; no HTTP status is 0.
STATUS_UNKNOWN = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Reaper:
    """Safe to run twice at once and to kill anywhere: what is not final yet is answered by `expire` again, recording a lost
    row again changes nothing, and a row that a usage event made stays as it is."""

    gate: Gate
    database: Database
    queue_age: QueueAge
    grace: timedelta = GRACE
    batch: int = 500

    def reap(self, now: datetime) -> int:
        """Close every reservation past lease and grace whose event can no longer be on its way; how many were closed."""
        before = self._before(now)
        if before is None:
            logger.warning("reaper.waits", extra={"reason": "the age of the oldest usage event can't be told"})
            return 0
        closed = 0
        for _ in range(ROUNDS):
            expired = self.gate.expire(before, limit=self.batch, now=now)
            if expired:
                self._close(expired, now)
            closed += len(expired)
            if len(expired) < self.batch:
                break
        return closed

    def _before(self, now: datetime) -> datetime | None:
        """Whoever published an event before the oldest one still queued has had it recorded. So a lease that ended, with
        grace, before that one was queued belongs to a request whose event never came."""
        age = self.queue_age.oldest_event_age_seconds()
        return None if age is None else now - self.grace - timedelta(seconds=age)

    def _close(self, expired: Sequence[Expired], now: datetime) -> None:
        recorded = record_what_can_be(self.database, [lost_event(each) for each in expired])
        estimates = {each.request_id: each.charge for each in expired}
        # One without a row (its month was dropped) is closed all the same: left open it would be answered for ever, ahead of
        # those that can be closed.
        if recorded.refused:
            self.gate.finalize({request_id: estimates[request_id] for request_id in recorded.refused}, now)
        tell_gate(self.gate, self.database, recorded.rows, now=now, estimates=estimates)
        _report(recorded)


def lost_event(expired: Expired) -> UsageEvent:
    return UsageEvent(
        request_id=expired.request_id,
        org_id=expired.caller.org_id,
        workspace_id=expired.caller.workspace_id,
        key_id=expired.caller.key_id,
        endpoint=expired.endpoint,
        region=expired.region,
        started_at=time_of(expired.request_id),
        status=STATUS_UNKNOWN,
        outcome=Outcome.LOST,
        usage_quality=UsageQuality.LOST,
        provider=expired.provider,
        provider_key_id=expired.provider_key_id,
        model=expired.model,
        stream=expired.stream,
        demo=expired.demo,
    )


def _report(recorded: Recorded) -> None:
    logger.warning("reaper.closed", extra={"rows": len(recorded.rows)})
    for request_id, refused in recorded.refused.items():
        logger.error("reaper.unrecordable", extra={"request_id": str(request_id), "reason": refused.reason})
