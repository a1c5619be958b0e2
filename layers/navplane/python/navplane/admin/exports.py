"""Exports: requests, usage and costs as files. What they add up to is what the screen says of the same time."""

from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from fastapi.responses import Response, StreamingResponse

from navplane.admin import export_tables, usage_answers
from navplane.admin.access import Permission, require
from navplane.admin.export_files import answered
from navplane.admin.file_formats import MEDIA_TYPES
from navplane.admin.problem import responses
from navplane.admin.requests import RequestCursor, TheWanted
from navplane.admin.table import Table
from navplane.admin.usage_answers import LONGEST, Asking, Dimensions, TheSelection
from navplane.errors import Invalid
from navplane.model.export_job import ExportFormat

router = APIRouter(tags=["exports"], dependencies=[require(Permission.EXPORT_READ)])

# A function's answer may have 6 MB, and a row of the widest file has half a kilobyte.
MOST = 5000
FILE: dict[int | str, dict[str, Any]] = {200: {"content": {media.partition(";")[0]: {} for media in MEDIA_TYPES.values()}}}
TOO_MANY = f"That is more than {MOST} rows. Ask for a shorter time, for some of the calls only, or for it as an export job."

About = Annotated[Asking, Depends(usage_answers.about_one)]
FileFormat = Annotated[ExportFormat, Query(alias="format", description="`csv` is safe to open in a spreadsheet.")]
AtMost = Annotated[int, Query(ge=1, le=MOST, description="How many rows a file holds at most.")]
FirstDay = Annotated[date, Query(alias="start", description="A UTC day.")]
LastDay = Annotated[date, Query(alias="end", description="A UTC day. Not included.")]


@router.get(
    "/admin/orgs/{org_id}/exports/requests",
    summary="Export requests, newest first",
    responses={**FILE, **responses(404, 422)},
    response_class=Response,
)
def export_requests(
    about: About,
    wanted: TheWanted,
    limit: AtMost = MOST,
    cursor: RequestCursor = None,
    file_format: FileFormat = ExportFormat.CSV,
) -> StreamingResponse:
    """The same filters as the list's. If there are more, the header `x-navplane-next-cursor` is the next file's `cursor`."""
    with about.reading() as (db, complete):
        table, following = export_tables.requests(db, org_id=about.org_id, wanted=wanted, limit=limit, cursor=cursor)
    return answered(table, file_format, name="requests", complete_to=complete, next_cursor=following)


@router.get(
    "/admin/orgs/{org_id}/exports/usage",
    summary="Export usage and cost by dimensions",
    responses={**FILE, **responses(404, 422)},
    response_class=Response,
)
def export_usage(
    about: About, selection: TheSelection, by: Dimensions, file_format: FileFormat = ExportFormat.CSV
) -> StreamingResponse:
    """All groups of the breakdown, so that they add up to its totals; ids with what they are called."""
    usage_answers.must_make_sense(about, by)
    with about.reading() as (db, complete):
        table = export_tables.usage(db, org_id=about.org_id, selection=selection, by=by, limit=MOST + 1)
    return answered(_few_enough(table), file_format, name="usage", complete_to=complete)


@router.get(
    "/admin/orgs/{org_id}/exports/focus",
    summary="Export costs in the shape of FOCUS 1.2",
    responses={**FILE, **responses(404, 422)},
    response_class=Response,
)
def export_focus(about: About, first: FirstDay, last: LastDay, file_format: FileFormat = ExportFormat.CSV) -> StreamingResponse:
    """One row for each day, workspace, key, user, provider, model and endpoint; `BilledCost` adds up to the summary's cost."""
    since, until = (datetime(day.year, day.month, day.day, tzinfo=UTC) for day in (first, last))
    if not timedelta() < until - since <= LONGEST:
        raise Invalid("The end must be after the start, and by 400 days at most.")
    with about.reading() as (db, complete):
        table = export_tables.costs(db, org_id=about.org_id, start=since, end=until, limit=MOST + 1)
    return answered(_few_enough(table), file_format, name="focus", complete_to=complete)


def _few_enough(table: Table) -> Table:
    if len(table.rows) > MOST:
        raise Invalid(TOO_MANY)
    return table
