"""Long work in short steps: re-pricing, and making sums anew. Whoever runs it may be killed anywhere, and two may run at once.

A step and what it changed are one transaction; only then is the gate told, and only then does the job move on. So a step that
is cut short is done again, and done again it changes nothing.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from navplane.gate.gate import Gate
from navplane.ingest.price import price
from navplane.ingest.recording import tell_gate
from navplane.model.ids import RequestId, smallest_id_of, time_of
from navplane.model.ledger_job import LedgerJob, LedgerJobKind, Step
from navplane.store import ledger_jobs, rollups
from navplane.store.database import Connection, Database
from navplane.store.repricing import reprice, rows_between
from navplane.store.request_logs import Unrecordable, standing
from navplane.telemetry import logger

ROWS_A_STEP = 500
DAY = timedelta(days=1)
# Older requests have no reservation any more, and count in no window that is still open.
TOLD_TO_THE_GATE = timedelta(days=35)


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerJobs:
    database: Database
    gate: Gate
    rows_a_step: int = ROWS_A_STEP

    def run(self, *, now: datetime, seconds: float) -> int:
        """Work for about `seconds` on what is open, oldest job first; how many steps were done."""
        give_up_at, steps = time.monotonic() + seconds, 0
        while time.monotonic() < give_up_at and self.step(now):
            steps += 1
        return steps

    def step(self, now: datetime) -> bool:
        """One step of one job; False where there is none. A dependency's failure rises, and the job goes on another time."""
        job = None
        try:
            with self.database.transaction() as db:
                job = ledger_jobs.take(db)
                if job is None:
                    return False
                step, touched = STEPS[job.kind](db, job, self.rows_a_step)
                ledger_jobs.note(db, job, step)
        except Unrecordable as exc:
            assert job is not None
            self._give_up(job, failure=str(exc), now=now)
            return True
        self._tell(touched, now)
        with self.database.transaction() as db:
            ledger_jobs.advance(db, job, step, now=now)
        if step.cursor is None:
            logger.info("ledger_job.done", extra={"job_id": str(job.id), "kind": job.kind.value})
        return True

    def _give_up(self, job: LedgerJob, *, failure: str, now: datetime) -> None:
        logger.error("ledger_job.failed", extra={"job_id": str(job.id), "kind": job.kind.value, "reason": failure})
        with self.database.transaction() as db:
            ledger_jobs.fail(db, job, failure=failure, now=now)

    def _tell(self, request_ids: list[RequestId], now: datetime) -> None:
        """All rows of the step and not only the changed ones: a run that was killed before this line has changed some."""
        recent = [request_id for request_id in request_ids if now - time_of(request_id) < TOLD_TO_THE_GATE]
        if recent:
            with self.database.connection() as db:
                rows = standing(db, recent)
            tell_gate(self.gate, self.database, rows, now=now)


def _reprice(db: Connection, job: LedgerJob, limit: int) -> tuple[Step, list[RequestId]]:
    after = job.cursor or _just_before(job.starts_at)
    rows = rows_between(db, org_id=job.org_id, after=after, beyond=smallest_id_of(job.ends_at), limit=limit)
    changes = reprice(db, [(row, price(row.event)) for row in rows])
    last = rows[-1].event.request_id if len(rows) == limit else None
    step = Step(seen=len(rows), changed=len(changes), cost_change_usd=sum(changes.values(), Decimal(0)), cursor=last)
    return step, [row.event.request_id for row in rows]


def _rebuild(db: Connection, job: LedgerJob, _limit: int) -> tuple[Step, list[RequestId]]:
    """A UTC day at a time, whole days only: what is left of a month that was dropped has sums and no rows."""
    day = time_of(job.cursor) if job.cursor else _midnight(job.starts_at)
    first = rollups.first_kept_day(db)
    day = max(day, first) if first else day
    seen = rollups.rebuild_day(db, org_id=job.org_id, day=day) if first else 0
    following = day + DAY
    cursor = smallest_id_of(following) if first and following < job.ends_at else None
    return Step(seen=seen, changed=0, cost_change_usd=Decimal(0), cursor=cursor), []


def _just_before(moment: datetime) -> RequestId:
    return RequestId(int=max(smallest_id_of(moment).int - 1, 0))


def _midnight(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


STEPS: Mapping[LedgerJobKind, Callable[[Connection, LedgerJob, int], tuple[Step, list[RequestId]]]] = {
    LedgerJobKind.REPRICE: _reprice,
    LedgerJobKind.REBUILD_ROLLUPS: _rebuild,
}
