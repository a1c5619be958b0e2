"""Makes the files of export jobs, in short steps. Whoever runs it may be killed anywhere, and two may run at once: what a step
makes and how far its job is are one transaction."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from navplane.admin import export_tables
from navplane.admin.export_tables import REQUESTS, usage_columns
from navplane.admin.file_formats import FORMATS, PIECE, in_pieces
from navplane.admin.focus import COLUMNS as COSTS
from navplane.admin.table import Column, Piece, Place, Table
from navplane.errors import DependencyUnavailable
from navplane.model.export_job import MOST_AT_ONCE, MOST_ROWS, ExportJob, ExportState, ExportSubject
from navplane.store import export_jobs, exports
from navplane.store.database import Connection, Database
from navplane.store.export_jobs import Part
from navplane.store.request_filter import Wanted
from navplane.store.usage import Dimension, Selection
from navplane.telemetry import logger

# Of the minute that a run has.
SECONDS = 15.0
DAY = timedelta(days=1)
TOO_MANY = (
    f"It has more than {MOST_ROWS} rows, or {MOST_AT_ONCE} groups or costs of one day: ask for a shorter time, or for some of"
    " the calls only."
)
INTERNAL = "It could not be made; the log of maintenance says why."


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportWork:
    """As navplane_writer. `rows_a_step` bounds what a step reads of the requests."""

    database: Database
    rows_a_step: int = PIECE
    most_rows: int = MOST_ROWS

    def run(self, now: datetime, *, seconds: float = SECONDS) -> int:
        """Delete what has expired, then work for about `seconds` on what is open; how many steps were done."""
        with self.database.transaction() as db:
            export_jobs.forget(db, now=now)
        give_up_at, steps = time.monotonic() + seconds, 0
        while time.monotonic() < give_up_at and self.step(now):
            steps += 1
        return steps

    def step(self, now: datetime) -> bool:
        """One step of one job; False where there is none. A dependency's failure rises, and the job goes on another time."""
        job = None
        try:
            with self.database.transaction() as db:
                job = export_jobs.take(db)
                if job is None:
                    return False
                self._go_on(db, job, now)
        except DependencyUnavailable:
            raise
        # Whatever else it is would be so the next time, too: a job is not tried for ever, nor does it hold up the others.
        except Exception:
            if job is None:
                raise
            logger.exception("export_job.failed", extra={"job_id": str(job.id)})
            with self.database.transaction() as db:
                export_jobs.advance(db, _failed(job, INTERNAL, now))
        return True

    def _go_on(self, db: Connection, job: ExportJob, now: datetime) -> None:
        table, cursor = READ[job.subject](db, job, min(self.rows_a_step, PIECE))
        if job.rows + len(table.rows) > self.most_rows or len(table.rows) > MOST_AT_ONCE:
            export_jobs.advance(db, _failed(job, TOO_MANY, now))
            return
        job = replace(_written(db, job, table), cursor=cursor, state=ExportState.RUNNING)
        if cursor is None:
            job = replace(_ended(db, job), state=ExportState.DONE, finished_at=now)
            logger.info("export_job.done", extra={"job_id": str(job.id), "rows": job.rows, "bytes": job.bytes})
        export_jobs.advance(db, job)


def _failed(job: ExportJob, failure: str, now: datetime) -> ExportJob:
    return replace(job, state=ExportState.FAILED, failure=failure, finished_at=now)


def _written(db: Connection, job: ExportJob, table: Table) -> ExportJob:
    """As far as it is with the table's rows behind its own, and before those the file's beginning."""
    shape = FORMATS[job.format]
    if job.parts == 0:
        job = _put(db, job, Piece(content=shape.begin(table.columns), described=b"", rows=0))
    for rows in in_pieces(table):
        job = _put(db, job, shape.rows(table.columns, rows, Place(bytes=job.bytes, rows=job.rows)))
    return job


def _ended(db: Connection, job: ExportJob) -> ExportJob:
    described = export_jobs.described(db, job)
    end = FORMATS[job.format].end(columns_of(job), described, Place(bytes=job.bytes, rows=job.rows))
    return _put(db, job, Piece(content=end, described=b"", rows=0)) if end else job


def _put(db: Connection, job: ExportJob, piece: Piece) -> ExportJob:
    part = Part(content=piece.content, described=piece.described, rows=piece.rows)
    export_jobs.put(db, job, number=job.parts + 1, part=part)
    return replace(job, parts=job.parts + 1, rows=job.rows + piece.rows, bytes=job.bytes + len(piece.content))


def columns_of(job: ExportJob) -> tuple[Column, ...]:
    if job.subject is ExportSubject.REQUESTS:
        return REQUESTS
    return COSTS if job.subject is ExportSubject.FOCUS else usage_columns(_dimensions(job))


def _dimensions(job: ExportJob) -> tuple[Dimension, ...]:
    return tuple(Dimension(name) for name in job.by)


def _requests(db: Connection, job: ExportJob, limit: int) -> tuple[Table, str | None]:
    wanted = Wanted(start=job.starts_at, end=job.ends_at, values=dict(job.wanted))
    before = UUID(job.cursor) if job.cursor else None
    return export_tables.requests(db, org_id=job.org_id, wanted=wanted, limit=limit, cursor=before)


def _usage(db: Connection, job: ExportJob, _limit: int) -> tuple[Table, None]:
    """All at once: groups are in order of what they cost, and that moves."""
    values: dict[str, Any] = dict(job.wanted)
    demo = bool(values.pop("demo", False))
    only = {Dimension(name): value for name, value in values.items()}
    selection = Selection(start=job.starts_at, end=job.ends_at, demo=demo, only=only)
    return export_tables.usage(db, org_id=job.org_id, selection=selection, by=_dimensions(job), limit=MOST_AT_ONCE + 1), None


def _costs(db: Connection, job: ExportJob, _limit: int) -> tuple[Table, str | None]:
    """A day at a time, of those that have costs."""
    day = datetime.fromisoformat(job.cursor) if job.cursor else job.starts_at
    table = export_tables.costs(db, org_id=job.org_id, start=day, end=day + DAY, limit=MOST_AT_ONCE + 1)
    following = exports.first_day(db, org_id=job.org_id, start=day + DAY, end=job.ends_at)
    return table, following.isoformat() if following else None


READ: Mapping[ExportSubject, Callable[[Connection, ExportJob, int], tuple[Table, str | None]]] = {
    ExportSubject.REQUESTS: _requests,
    ExportSubject.USAGE: _usage,
    ExportSubject.FOCUS: _costs,
}
