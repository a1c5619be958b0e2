"""Exports of any size: asked for and followed here, made in steps by `maintenance`, fetched in parts from who only reads."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter
from pydantic import Field, StringConstraints

from navplane.admin import change, paging
from navplane.admin.access import Call, Permission, require
from navplane.admin.fields import PRINTABLE, Body, Moment, View
from navplane.admin.plane import ThePlane
from navplane.admin.problem import responses
from navplane.admin.usage_answers import LONGEST
from navplane.errors import Conflict, Invalid, NotFound, RegionMismatch
from navplane.model.export_job import KEPT, MOST_OPEN, ExportFormat, ExportJob, ExportSubject
from navplane.model.ids import new_id
from navplane.model.tenancy import Region
from navplane.model.usage import Outcome, PriceQuality, UsageQuality
from navplane.store import export_jobs, workspaces
from navplane.store.organizations import Position
from navplane.store.usage import Dimension

router = APIRouter(tags=["exports"])

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MIDNIGHT = timedelta(days=1)
NO_SUCH_JOB = "There is no such export job, or it has expired."
# What else than the dimensions of usage a sum knows of its rows.
OF_SUMS = frozenset(Dimension) - {Dimension.ORGANIZATION} | {"demo"}

Id = Annotated[UUID, Field(strict=False)]
Text = Annotated[str, StringConstraints(max_length=1000, pattern=PRINTABLE)]


class ExportOnly(Body):
    """All of it must hold. `usage` takes what usage can be narrowed by, `focus` nothing."""

    workspace_id: Id | None = None
    key_id: Id | None = None
    user_id: Id | None = None
    provider: Text | None = None
    model: Text | None = None
    endpoint: Text | None = None
    outcome: Annotated[Outcome, Field(strict=False)] | None = None
    usage_quality: Annotated[UsageQuality, Field(strict=False)] | None = None
    price_quality: Annotated[PriceQuality, Field(strict=False)] | None = None
    route: Text | None = None
    status: Annotated[int, Field(ge=0, le=599)] | None = None
    error_code: Text | None = None
    stream: bool | None = None
    demo: bool | None = None


class NewExportJob(Body):
    subject: Annotated[ExportSubject, Field(strict=False)] = Field(
        description="What the rows are, as of the exports of that name."
    )
    format: Annotated[ExportFormat, Field(strict=False)] = ExportFormat.CSV
    start: Moment
    end: Moment | None = Field(default=None, description="Not included; absent: now. For `focus` both are UTC midnights.")
    by: list[Annotated[Dimension, Field(strict=False)]] = Field(
        default_factory=list, max_length=2, description="For `usage`: one dimension or two."
    )
    only: ExportOnly = Field(default_factory=ExportOnly)


class ExportJobView(View):
    id: UUID
    subject: str
    format: str
    state: str = Field(description="`waiting`, `running`, `done` or `failed`.")
    start: datetime
    end: datetime
    by: list[str]
    only: dict[str, Any]
    rows: int
    bytes: int = Field(description="Of the file, so far.")
    parts: int = Field(description="The file is parts 1 to this one, one after the other; to be fetched once it is done.")
    failure: str | None
    requested_by: str
    created_at: datetime
    finished_at: datetime | None
    expires_at: datetime


class ExportJobPage(View):
    items: list[ExportJobView]
    next_cursor: str | None


@router.get(
    "/admin/orgs/{org_id}/export-jobs",
    summary="List export jobs, newest first",
    responses=responses(404, 422),
    dependencies=[require(Permission.EXPORT_READ)],
)
def list_export_jobs(
    org_id: UUID, plane: ThePlane, limit: paging.Limit = paging.DEFAULT_LIMIT, cursor: paging.Cursor = None
) -> ExportJobPage:
    after = paging.decode(cursor)
    with plane.database.transaction(org_id=org_id) as db:
        change.found(db, org_id=org_id)
        found = export_jobs.page(db, org_id=org_id, limit=limit + 1, after=after)
    items, last = paging.cut(found, limit=limit)
    next_cursor = paging.encode(Position(created_at=last.created_at, id=last.id)) if last else None
    return ExportJobPage(items=[_view(item) for item in items], next_cursor=next_cursor)


@router.post(
    "/admin/orgs/{org_id}/export-jobs",
    status_code=202,
    summary="Export more than an answer can hold",
    responses=responses(400, 404, 409, 413, 422),
)
def create_export_job(
    org_id: UUID, body: NewExportJob, call: Annotated[Call, require(Permission.EXPORT_CREATE)], plane: ThePlane
) -> ExportJobView:
    """It begins within a minute, and holds a million rows at most."""
    job = _job(org_id, body, call, plane.region)
    with plane.database.transaction(org_id=org_id) as db:
        change.held(db, org_id=org_id)
        named = [body.only.workspace_id] if body.only.workspace_id else []
        if workspaces.pinned_elsewhere(db, org_id=org_id, workspace_ids=named, region=plane.region):
            raise RegionMismatch("This workspace is pinned to another region: ask the stack of that one.")
        if not export_jobs.insert(db, job, most_open=MOST_OPEN):
            raise Conflict(f"{MOST_OPEN} export jobs of this organization are under way: wait until one has ended.")
        view = _view(job)
        change.audited(db, call, org_id=org_id, resource=f"export_job/{job.id}", after=view.model_dump(mode="json"))
    return view


@router.get(
    "/admin/orgs/{org_id}/export-jobs/{job_id}",
    summary="Follow an export job",
    responses=responses(404),
    dependencies=[require(Permission.EXPORT_READ)],
)
def read_export_job(org_id: UUID, job_id: UUID, plane: ThePlane) -> ExportJobView:
    with plane.database.transaction(org_id=org_id) as db:
        change.found(db, org_id=org_id)
        job = export_jobs.find(db, org_id=org_id, job_id=job_id)
    if job is None:
        raise NotFound(NO_SUCH_JOB)
    return _view(job)


@router.delete(
    "/admin/orgs/{org_id}/export-jobs/{job_id}",
    status_code=204,
    summary="Stop an export job and delete its file",
    responses=responses(404),
)
def delete_export_job(
    org_id: UUID, job_id: UUID, call: Annotated[Call, require(Permission.EXPORT_DELETE)], plane: ThePlane
) -> None:
    with plane.database.transaction(org_id=org_id) as db:
        change.held(db, org_id=org_id)
        job = export_jobs.find(db, org_id=org_id, job_id=job_id)
        if job is None:
            raise NotFound(NO_SUCH_JOB)
        export_jobs.delete(db, org_id=org_id, job_id=job_id)
        change.audited(db, call, org_id=org_id, resource=f"export_job/{job_id}", before=_view(job).model_dump(mode="json"))


def _job(org_id: UUID, body: NewExportJob, call: Call, region: Region) -> ExportJob:
    """Of the requests that were served in this region: what was in another is exported there."""
    starts_at, ends_at = _span(body, call.now)
    only = body.only.model_dump(mode="json", exclude_none=True)
    _must_make_sense(body, only)
    if body.subject is ExportSubject.REQUESTS:
        only["region"] = region.value
    return ExportJob(
        id=new_id(),
        org_id=org_id,
        subject=body.subject,
        format=body.format,
        starts_at=starts_at,
        ends_at=ends_at,
        wanted=only,
        by=tuple(name.value for name in body.by),
        requested_by=call.principal.subject,
        created_at=call.now,
        expires_at=call.now + KEPT,
    )


def _span(body: NewExportJob, now: datetime) -> tuple[datetime, datetime]:
    """In UTC. Raise Invalid."""
    try:
        starts_at, ends_at = body.start.astimezone(UTC), (body.end or now).astimezone(UTC)
    except OverflowError:
        raise Invalid("The calendar does not reach that far.") from None
    if starts_at < EPOCH or ends_at <= starts_at:
        raise Invalid("start must be in or after 1970, and end later than start.")
    if body.subject is not ExportSubject.REQUESTS and ends_at - starts_at > LONGEST:
        raise Invalid("The end must be after the start by 400 days at most.")
    if body.subject is ExportSubject.FOCUS and any((moment - EPOCH) % MIDNIGHT for moment in (starts_at, ends_at)):
        raise Invalid("Costs are of whole UTC days: start and end must be midnights.")
    return starts_at, ends_at


def _must_make_sense(body: NewExportJob, only: dict[str, Any]) -> None:
    if bool(body.by) != (body.subject is ExportSubject.USAGE):
        raise Invalid("`by` is what `usage` is broken down by: one dimension or two, and none for anything else.")
    if len(set(body.by)) != len(body.by) or Dimension.ORGANIZATION in body.by:
        raise Invalid("Break down by one or two different dimensions of the organization.")
    known = {ExportSubject.REQUESTS: only.keys(), ExportSubject.USAGE: OF_SUMS, ExportSubject.FOCUS: frozenset[str]()}
    if not only.keys() <= known[body.subject]:
        raise Invalid(
            f"An export of {body.subject.value} can't be narrowed by {', '.join(sorted(only.keys() - known[body.subject]))}."
        )


def _view(job: ExportJob) -> ExportJobView:
    return ExportJobView(
        id=job.id,
        subject=job.subject.value,
        format=job.format.value,
        state=job.state.value,
        start=job.starts_at,
        end=job.ends_at,
        by=list(job.by),
        only=dict(job.wanted),
        rows=job.rows,
        bytes=job.bytes,
        parts=job.parts,
        failure=job.failure,
        requested_by=job.requested_by,
        created_at=job.created_at,
        finished_at=job.finished_at,
        expires_at=job.expires_at,
    )
