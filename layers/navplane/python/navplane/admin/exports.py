"""Exports: requests, usage and costs as files. What they add up to is what the screen says of the same time."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query
from fastapi.responses import Response, StreamingResponse

from navplane.admin import focus
from navplane.admin.access import Permission, require
from navplane.admin.change import NO_SUCH_ORGANIZATION
from navplane.admin.export_files import MEDIA_TYPES, Format, as_file
from navplane.admin.plane import ThePlane
from navplane.admin.problem import responses
from navplane.admin.requests import RequestCursor, TheWanted
from navplane.admin.table import Column, Kind, Table
from navplane.admin.usage_answers import LONGEST, Dimensions, TheSelection
from navplane.errors import Invalid, NotFound
from navplane.store import exports, names, organizations
from navplane.store import usage as store
from navplane.store.database import Connection
from navplane.store.exports import DAILY_COLUMNS, REQUEST_COLUMNS
from navplane.store.rollups import SUMS

router = APIRouter(tags=["exports"], dependencies=[require(Permission.EXPORT_READ)])

# A function's answer may have 6 MB, and a row of the widest file has half a kilobyte.
MOST = 5000
FILE: dict[int | str, dict[str, Any]] = {200: {"content": {media.partition(";")[0]: {} for media in MEDIA_TYPES.values()}}}
TOO_MANY = f"That is more than {MOST} rows. Ask for a shorter time, or for some of the calls only."

FileFormat = Annotated[Format, Query(alias="format", description="`csv` is safe to open in a spreadsheet.")]
AtMost = Annotated[int, Query(ge=1, le=MOST, description="How many rows a file holds at most.")]

_KINDS = {
    "created_at": Kind.TIME, "cost_usd": Kind.DECIMAL, "stream": Kind.BOOLEAN, "demo": Kind.BOOLEAN,
    **dict.fromkeys(("status", "web_searches", "attempts", "first_byte_ms", "duration_ms", "revision"), Kind.INTEGER),
    **{name: Kind.INTEGER for name in REQUEST_COLUMNS if name.endswith("_tokens")},
}  # fmt: skip
REQUESTS = tuple(Column(name=name, kind=_KINDS.get(name, Kind.TEXT)) for name in REQUEST_COLUMNS)


@router.get(
    "/admin/orgs/{org_id}/exports/requests",
    summary="Export requests, newest first",
    responses={**FILE, **responses(404, 422)},
    response_class=Response,
)
def export_requests(
    org_id: UUID,
    plane: ThePlane,
    wanted: TheWanted,
    limit: AtMost = MOST,
    cursor: RequestCursor = None,
    file_format: FileFormat = Format.CSV,
) -> StreamingResponse:
    """The same filters as the list's. If there are more, the header `x-navplane-next-cursor` is the next file's `cursor`."""
    with plane.database.transaction(org_id=org_id) as db:
        _must_exist(db, org_id)
        rows = exports.requests(db, org_id=org_id, wanted=wanted, limit=limit + 1, cursor=cursor)
    table = Table(columns=REQUESTS, rows=rows[:limit])
    next_cursor = rows[limit - 1][0] if len(rows) > limit else None
    return as_file(table, file_format, name="requests", next_cursor=next_cursor)


@router.get(
    "/admin/orgs/{org_id}/exports/usage",
    summary="Export usage and cost by dimensions",
    responses={**FILE, **responses(404, 422)},
    response_class=Response,
)
def export_usage(
    org_id: UUID, plane: ThePlane, selection: TheSelection, by: Dimensions, file_format: FileFormat = Format.CSV
) -> StreamingResponse:
    """All groups of the breakdown, so that they add up to its totals; ids with what they are called."""
    if len(set(by)) != len(by) or store.Dimension.ORGANIZATION in by:
        raise Invalid("Break down by one or two different dimensions of the organization.")
    with plane.database.transaction(org_id=org_id) as db:
        _must_exist(db, org_id)
        _, groups = store.breakdown(db, org_id=org_id, selection=selection, by=by, limit=MOST + 1)
        called = {name: names.of(db, dimension=name, ids=[group[name] for group, _ in groups], org_id=org_id) for name in by}
    if len(groups) > MOST:
        raise Invalid(TOO_MANY)
    ids = [column for name in by for column in ((name, Kind.TEXT), (f"{name.removesuffix('_id')}_name", Kind.TEXT))]
    sums = [(name, Kind.DECIMAL if name == "cost_usd" else Kind.INTEGER) for name in SUMS]
    columns = tuple(Column(name=name, kind=kind) for name, kind in [*ids, *sums])
    rows = [
        [
            *(text for name in by for text in (_text(group[name]), called[name].get(group[name]))),
            *(_held(getattr(totals, name)) for name in SUMS),
        ]
        for group, totals in groups
    ]
    return as_file(Table(columns=columns, rows=rows), file_format, name="usage")


@router.get(
    "/admin/orgs/{org_id}/exports/focus",
    summary="Export costs in the shape of FOCUS 1.2",
    responses={**FILE, **responses(404, 422)},
    response_class=Response,
)
def export_focus(
    org_id: UUID,
    plane: ThePlane,
    start: Annotated[date, Query(description="A UTC day.")],
    end: Annotated[date, Query(description="A UTC day. Not included.")],
    file_format: FileFormat = Format.CSV,
) -> StreamingResponse:
    """One row for each day, workspace, key, user, provider, model and endpoint; `BilledCost` adds up to the summary's cost."""
    since, until = (datetime(day.year, day.month, day.day, tzinfo=UTC) for day in (start, end))
    if not timedelta() < until - since <= LONGEST:
        raise Invalid("The end must be after the start, and by 400 days at most.")
    with plane.database.transaction(org_id=org_id) as db:
        _must_exist(db, org_id)
        name = organizations.name_of(db, org_id=org_id)
        rows = exports.daily(db, org_id=org_id, start=since, end=until, limit=MOST + 1)
    if len(rows) > MOST:
        raise Invalid(TOO_MANY)
    days = [dict(zip(DAILY_COLUMNS, row, strict=True)) for row in rows]
    return as_file(focus.table(days, org_id=org_id, organization=name), file_format, name="focus")


def _held(value: int | Decimal) -> int | Decimal:
    """A provider's nonsense adds up to more than a column of a file can hold."""
    return min(value, focus.LARGEST)


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _must_exist(db: Connection, org_id: UUID) -> None:
    if not organizations.ever_existed(db, org_id=org_id):
        raise NotFound(NO_SUCH_ORGANIZATION)
