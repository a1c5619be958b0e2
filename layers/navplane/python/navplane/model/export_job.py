"""A file that is too large to be an answer: made in steps by `maintenance`, kept for a while, fetched in parts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

KEPT = timedelta(days=7)
# What one file may hold, and how many of an organization may be in the making.
MOST_ROWS = 1_000_000
# Of what is read in one go: the groups of a breakdown, the costs of a day.
MOST_AT_ONCE = 100_000
MOST_OPEN = 5


class ExportFormat(StrEnum):
    """The value is stored: never rename one."""

    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"


class ExportSubject(StrEnum):
    """What the rows are. The value is stored: never rename one."""

    REQUESTS = "requests"
    USAGE = "usage"
    FOCUS = "focus"


class ExportState(StrEnum):
    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


OPEN = frozenset({ExportState.WAITING, ExportState.RUNNING})


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportJob:
    """Of what is from `starts_at` on and before `ends_at`. `wanted` holds values by column that all rows must have, `by` the
    dimensions of a breakdown. `cursor` says where the next step begins, in the words of who makes the file; `parts` how many
    pieces the file has so far."""

    id: UUID
    org_id: UUID
    subject: ExportSubject
    format: ExportFormat
    starts_at: datetime
    ends_at: datetime
    requested_by: str
    created_at: datetime
    expires_at: datetime
    wanted: Mapping[str, Any] = field(default_factory=dict)
    by: tuple[str, ...] = ()
    state: ExportState = ExportState.WAITING
    cursor: str | None = None
    rows: int = 0
    bytes: int = 0
    parts: int = 0
    failure: str | None = None
    finished_at: datetime | None = None
