"""export_jobs and export_parts: which files are asked for, how far each is, and what it is made of."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from navplane.model.export_job import ExportFormat, ExportJob, ExportState, ExportSubject
from navplane.store.database import Connection
from navplane.store.organizations import Position

_COLUMNS = tuple(ExportJob.__dataclass_fields__)
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM public.export_jobs"  # noqa: S608 - names of our own columns
FORGOTTEN_AT_ONCE = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """`described` is what the end of the file says of it."""

    content: bytes
    described: bytes
    rows: int


def insert(db: Connection, job: ExportJob, *, most_open: int) -> bool:
    """False, and nothing stored, when so many of the organization's are open already. Hold the organization before."""
    rows = db.run(
        """
        INSERT INTO public.export_jobs (org_id, id, subject, format, starts_at, ends_at, wanted, by, requested_by, created_at,
                                        expires_at)
        SELECT :org_id::uuid, :id::uuid, :subject, :format, :starts_at::timestamptz, :ends_at::timestamptz, :wanted::jsonb,
               :by::text[], :requested_by, :created_at::timestamptz, :expires_at::timestamptz
         WHERE :most_open > (SELECT count(*) FROM public.export_jobs
                              WHERE org_id = :org_id::uuid AND state IN ('waiting', 'running'))
        RETURNING id
        """,
        org_id=job.org_id,
        id=job.id,
        subject=job.subject.value,
        format=job.format.value,
        starts_at=job.starts_at,
        ends_at=job.ends_at,
        wanted=json.dumps(dict(job.wanted)),
        by=list(job.by),
        requested_by=job.requested_by,
        created_at=job.created_at,
        expires_at=job.expires_at,
        most_open=most_open,
    )
    return bool(rows)


def find(db: Connection, *, org_id: UUID, job_id: UUID) -> ExportJob | None:
    rows = db.run(f"{_SELECT} WHERE org_id = :org_id AND id = :id", org_id=org_id, id=job_id)
    return _job(rows[0]) if rows else None


def page(db: Connection, *, org_id: UUID, limit: int, after: Position | None) -> list[ExportJob]:
    """Up to `limit`, newest first."""
    rows = db.run(
        f"""{_SELECT}
         WHERE org_id = :org_id
           AND (:after_id::uuid IS NULL OR (created_at, id) < (:after_time::timestamptz, :after_id::uuid))
         ORDER BY created_at DESC, id DESC LIMIT :limit
        """,
        org_id=org_id,
        after_id=after.id if after else None,
        after_time=after.created_at if after else None,
        limit=limit,
    )
    return [_job(row) for row in rows]


def delete(db: Connection, *, org_id: UUID, job_id: UUID) -> None:
    """With its parts."""
    db.run("DELETE FROM public.export_jobs WHERE org_id = :org_id AND id = :id", org_id=org_id, id=job_id)


def part(db: Connection, *, org_id: UUID, job_id: UUID, number: int) -> bytes | None:
    rows = db.run(
        "SELECT content FROM public.export_parts WHERE org_id = :org_id AND job_id = :id AND number = :number",
        org_id=org_id,
        id=job_id,
        number=number,
    )
    return bytes(rows[0][0]) if rows else None


# -- for who makes the files, as navplane_writer -------------------------------------------------------------------------


def take(db: Connection) -> ExportJob | None:
    """The open job that has waited longest for a step, held until the transaction ends; None where there is none that nobody
    works on. From here on the transaction is about its organization."""
    rows = db.run(f"{_SELECT} WHERE state IN ('waiting', 'running') ORDER BY updated_at LIMIT 1 FOR UPDATE SKIP LOCKED")
    if not rows:
        return None
    job = _job(rows[0])
    db.run("SELECT set_config('app.org_id', :org_id, true)", org_id=str(job.org_id))
    return job


def put(db: Connection, job: ExportJob, *, number: int, part: Part) -> None:
    db.run(
        """
        INSERT INTO public.export_parts (org_id, job_id, number, rows, content, described)
        VALUES (:org_id, :id, :number, :rows, :content, :described)
        """,
        org_id=job.org_id,
        id=job.id,
        number=number,
        rows=part.rows,
        content=part.content,
        described=part.described,
    )


def described(db: Connection, job: ExportJob) -> list[bytes]:
    """What the parts left to be said of them at the end, in order."""
    rows = db.run(
        "SELECT described FROM public.export_parts WHERE org_id = :org_id AND job_id = :id AND rows > 0 ORDER BY number",
        org_id=job.org_id,
        id=job.id,
    )
    return [bytes(row[0]) for row in rows]


def advance(db: Connection, job: ExportJob) -> None:
    """As far as `job` says it is, in the transaction of the parts themselves."""
    db.run(
        """
        UPDATE public.export_jobs
           SET state = :state, cursor = :cursor, rows = :rows, bytes = :bytes, parts = :parts, failure = :failure,
               finished_at = :finished_at
         WHERE org_id = :org_id AND id = :id
        """,
        state=job.state.value,
        cursor=job.cursor,
        rows=job.rows,
        bytes=job.bytes,
        parts=job.parts,
        failure=job.failure,
        finished_at=job.finished_at,
        org_id=job.org_id,
        id=job.id,
    )


def forget(db: Connection, *, now: datetime) -> int:
    """Delete what was kept long enough, some at a time; how many went."""
    db.run(
        """
        DELETE FROM public.export_jobs AS j
         USING (SELECT org_id, id FROM public.export_jobs WHERE expires_at < :now LIMIT :limit FOR UPDATE SKIP LOCKED) AS old
         WHERE j.org_id = old.org_id AND j.id = old.id
        """,
        now=now,
        limit=FORGOTTEN_AT_ONCE,
    )
    return int(db.row_count)


def _job(row: Sequence[Any]) -> ExportJob:
    values = dict(zip(_COLUMNS, row, strict=True))
    return ExportJob(
        **{
            **values,
            "subject": ExportSubject(values["subject"]),
            "format": ExportFormat(values["format"]),
            "state": ExportState(values["state"]),
            "by": tuple(values["by"]),
        }
    )
