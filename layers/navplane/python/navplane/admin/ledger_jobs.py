"""Re-pricing and rebuilding of sums, as jobs: started here, done by `maintenance`, and followed here."""

from datetime import UTC, datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter
from pydantic import Field

from navplane.admin import change, paging
from navplane.admin.access import Call, Permission, require
from navplane.admin.fields import Body, Moment, View
from navplane.admin.plane import ThePlane
from navplane.admin.problem import responses
from navplane.errors import Conflict, Invalid, NotFound
from navplane.model.ids import new_id
from navplane.model.ledger_job import LedgerJob, LedgerJobKind
from navplane.store import ledger_jobs
from navplane.store.organizations import Position

router = APIRouter(tags=["ledger jobs"])

# A UUIDv7's time begins here, and so does every request's.
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class NewLedgerJob(Body):
    kind: Literal["reprice", "rebuild_rollups"] = Field(
        description="`reprice`: weigh what was recorded by today's prices; what changes leaves an adjusting entry. "
        "`rebuild_rollups`: make the sums of whole UTC days anew from the requests."
    )
    start: Moment = Field(description="Requests from this moment on.")
    end: Moment | None = Field(default=None, description="Requests before this moment; absent: now.")


class LedgerJobView(View):
    id: UUID
    kind: str
    state: str = Field(description="`waiting`, `running`, `done` or `failed`.")
    start: datetime
    end: datetime
    progress: float = Field(description="How much of the time from `start` to `end` is behind it, from 0 to 1.")
    requests_seen: int
    requests_changed: int
    cost_change_usd: str = Field(description="By how much the cost of all changed requests together has changed.")
    failure: str | None
    requested_by: str
    created_at: datetime
    finished_at: datetime | None


class LedgerJobPage(View):
    items: list[LedgerJobView]
    next_cursor: str | None


@router.get(
    "/admin/orgs/{org_id}/ledger-jobs",
    summary="List jobs on the ledger, newest first",
    responses=responses(404, 422),
    dependencies=[require(Permission.LEDGER_JOB_LIST)],
)
def list_ledger_jobs(
    org_id: UUID, plane: ThePlane, limit: paging.Limit = paging.DEFAULT_LIMIT, cursor: paging.Cursor = None
) -> LedgerJobPage:
    after = paging.decode(cursor)
    with plane.database.transaction(org_id=org_id) as db:
        change.found(db, org_id=org_id)
        found = ledger_jobs.page(db, org_id=org_id, limit=limit + 1, after=after)
    items, last = paging.cut(found, limit=limit)
    next_cursor = paging.encode(Position(created_at=last.created_at, id=last.id)) if last else None
    return LedgerJobPage(items=[_view(item) for item in items], next_cursor=next_cursor)


@router.post(
    "/admin/orgs/{org_id}/ledger-jobs",
    status_code=202,
    summary="Re-price, or rebuild sums",
    responses=responses(400, 404, 409, 413, 422),
)
def create_ledger_job(
    org_id: UUID, body: NewLedgerJob, call: Annotated[Call, require(Permission.LEDGER_JOB_CREATE)], plane: ThePlane
) -> LedgerJobView:
    """It begins within a minute. A second one of a kind is 409 until the first has ended."""
    starts_at, ends_at = _span(body, call.now)
    job = LedgerJob(
        id=new_id(),
        org_id=org_id,
        kind=LedgerJobKind(body.kind),
        starts_at=starts_at,
        ends_at=ends_at,
        requested_by=call.principal.subject,
        created_at=call.now,
    )
    with plane.database.transaction(org_id=org_id) as db:
        change.held(db, org_id=org_id)
        if not ledger_jobs.insert(db, job):
            raise Conflict(f"A {job.kind.value} job of this organization is under way: wait until it has ended.")
        view = _view(job)
        change.audited(db, call, org_id=org_id, resource=f"ledger_job/{job.id}", after=view.model_dump(mode="json"))
    return view


@router.get(
    "/admin/orgs/{org_id}/ledger-jobs/{job_id}",
    summary="Follow a job on the ledger",
    responses=responses(404),
    dependencies=[require(Permission.LEDGER_JOB_LIST)],
)
def read_ledger_job(org_id: UUID, job_id: UUID, plane: ThePlane) -> LedgerJobView:
    with plane.database.transaction(org_id=org_id) as db:
        change.found(db, org_id=org_id)
        job = ledger_jobs.find(db, org_id=org_id, job_id=job_id)
    if job is None:
        raise NotFound("There is no such job.")
    return _view(job)


def _span(body: NewLedgerJob, now: datetime) -> tuple[datetime, datetime]:
    """In UTC. Raise Invalid for one that is empty, or outside the time that requests can have."""
    try:
        starts_at, ends_at = body.start.astimezone(UTC), (body.end or now).astimezone(UTC)
    except OverflowError:
        raise Invalid("The calendar does not reach that far.") from None
    if starts_at < EPOCH or ends_at <= starts_at:
        raise Invalid("start must be in or after 1970, and end later than start.")
    return starts_at, ends_at


def _view(job: LedgerJob) -> LedgerJobView:
    return LedgerJobView(
        id=job.id,
        kind=job.kind.value,
        state=job.state.value,
        start=job.starts_at,
        end=job.ends_at,
        progress=round(job.progress, 4),
        requests_seen=job.rows_seen,
        requests_changed=job.rows_changed,
        cost_change_usd=f"{job.cost_change_usd:.9f}",
        failure=job.failure,
        requested_by=job.requested_by,
        created_at=job.created_at,
        finished_at=job.finished_at,
    )
