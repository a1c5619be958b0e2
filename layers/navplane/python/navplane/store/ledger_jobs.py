"""ledger_jobs: what is to be done, by whose word, and how far it is."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from navplane.model.ledger_job import LedgerJob, LedgerJobKind, LedgerJobState, Step
from navplane.store.database import Connection
from navplane.store.organizations import Position

_COLUMNS = tuple(LedgerJob.__dataclass_fields__)
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM public.ledger_jobs"  # noqa: S608 - names of our own columns


def insert(db: Connection, job: LedgerJob) -> bool:
    """False, and nothing stored, when one of this kind is waiting or running for the organization."""
    rows = db.run(
        """
        INSERT INTO public.ledger_jobs (org_id, id, kind, starts_at, ends_at, requested_by, created_at)
        VALUES (:org_id, :id, :kind, :starts_at, :ends_at, :requested_by, :created_at)
        ON CONFLICT (org_id, kind) WHERE state IN ('waiting', 'running') DO NOTHING
        RETURNING id
        """,
        org_id=job.org_id,
        id=job.id,
        kind=job.kind.value,
        starts_at=job.starts_at,
        ends_at=job.ends_at,
        requested_by=job.requested_by,
        created_at=job.created_at,
    )
    return bool(rows)


def find(db: Connection, *, org_id: UUID, job_id: UUID) -> LedgerJob | None:
    found = page(db, org_id=org_id, limit=1, after=None, job_id=job_id)
    return found[0] if found else None


def page(db: Connection, *, org_id: UUID, limit: int, after: Position | None, job_id: UUID | None = None) -> list[LedgerJob]:
    """Up to `limit`, newest first; or only the one that is named."""
    rows = db.run(
        f"""{_SELECT}
         WHERE org_id = :org_id AND (:job_id::uuid IS NULL OR id = :job_id::uuid)
           AND (:after_id::uuid IS NULL OR (created_at, id) < (:after_time::timestamptz, :after_id::uuid))
         ORDER BY created_at DESC, id DESC LIMIT :limit
        """,
        org_id=org_id,
        job_id=job_id,
        after_id=after.id if after else None,
        after_time=after.created_at if after else None,
        limit=limit,
    )
    return [_job(row) for row in rows]


# -- for who does the work, as navplane_writer ---------------------------------------------------------------------------


def take(db: Connection) -> LedgerJob | None:
    """The oldest job that is open and that nobody else works on, held until the transaction ends."""
    rows = db.run(f"{_SELECT} WHERE state IN ('waiting', 'running') ORDER BY created_at LIMIT 1 FOR UPDATE SKIP LOCKED")
    return _job(rows[0]) if rows else None


def note(db: Connection, job: LedgerJob, step: Step) -> None:
    """What a step changed, in the transaction of the change itself. Done again, a step changes nothing."""
    db.run(
        """
        UPDATE public.ledger_jobs
           SET state = 'running', rows_changed = rows_changed + :changed, cost_change_usd = cost_change_usd + :cost
         WHERE org_id = :org_id AND id = :id
        """,
        org_id=job.org_id,
        id=job.id,
        changed=step.changed,
        cost=step.cost_change_usd,
    )


def advance(db: Connection, job: LedgerJob, step: Step, *, now: datetime) -> None:
    """The step is behind us, unless somebody else has put it there already."""
    db.run(
        """
        UPDATE public.ledger_jobs
           SET cursor = coalesce(CAST(:next AS uuid), cursor), rows_seen = rows_seen + :seen,
               state = CASE WHEN CAST(:next AS uuid) IS NULL THEN 'done' ELSE 'running' END,
               finished_at = CASE WHEN CAST(:next AS uuid) IS NULL THEN CAST(:now AS timestamptz) END
         WHERE org_id = :org_id AND id = :id AND state IN ('waiting', 'running')
           AND cursor IS NOT DISTINCT FROM CAST(:before AS uuid)
        """,
        org_id=job.org_id,
        id=job.id,
        next=step.cursor,
        before=job.cursor,
        seen=step.seen,
        now=now,
    )


def fail(db: Connection, job: LedgerJob, *, failure: str, now: datetime) -> None:
    """What can't go on is not tried for ever; what it has done stays done."""
    db.run(
        """
        UPDATE public.ledger_jobs SET state = 'failed', failure = :failure, finished_at = :now
         WHERE org_id = :org_id AND id = :id AND state IN ('waiting', 'running')
        """,
        org_id=job.org_id,
        id=job.id,
        failure=failure,
        now=now,
    )


def _job(row: Sequence[Any]) -> LedgerJob:
    values = dict(zip(_COLUMNS, row, strict=True))
    values["kind"], values["state"] = LedgerJobKind(values["kind"]), LedgerJobState(values["state"])
    return LedgerJob(**values)
