"""Long work on an organization's rows, done in steps by `maintenance`."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

from navplane.model.ids import RequestId, time_of


class LedgerJobKind(StrEnum):
    """The value is stored: never rename one. REPRICE: weigh the rows by today's prices and leave adjusting entries.
    REBUILD_ROLLUPS: make their sums anew."""

    REPRICE = "reprice"
    REBUILD_ROLLUPS = "rebuild_rollups"


class LedgerJobState(StrEnum):
    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerJob:
    """For requests from `starts_at` on and before `ends_at`. `cursor` is the last request id that is done with; `rows_seen`
    counts rows, `rows_changed` those that cost something else now, `cost_change_usd` by how much, all together."""

    id: UUID
    org_id: UUID
    kind: LedgerJobKind
    starts_at: datetime
    ends_at: datetime
    requested_by: str
    created_at: datetime
    state: LedgerJobState = LedgerJobState.WAITING
    cursor: RequestId | None = None
    rows_seen: int = 0
    rows_changed: int = 0
    cost_change_usd: Decimal = Decimal(0)
    failure: str | None = None
    finished_at: datetime | None = None

    @property
    def progress(self) -> float:
        """Of the span, from 0 to 1: rows are not counted beforehand."""
        if self.state is LedgerJobState.DONE:
            return 1.0
        if self.cursor is None:
            return 0.0
        done = (time_of(self.cursor) - self.starts_at) / (self.ends_at - self.starts_at)
        return min(max(done, 0.0), 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What one step of a job did. `cursor` is where the next one begins, None if there is none."""

    seen: int
    changed: int
    cost_change_usd: Decimal
    cursor: RequestId | None
