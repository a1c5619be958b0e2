"""Usage: what an organization used and what it cost, in total, by dimension and over time."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from pydantic import AwareDatetime, Field

from navplane.admin.access import Permission, require
from navplane.admin.change import NO_SUCH_ORGANIZATION
from navplane.admin.fields import View
from navplane.admin.plane import ThePlane
from navplane.admin.problem import responses
from navplane.errors import Invalid, NotFound
from navplane.store import organizations
from navplane.store import usage as store
from navplane.store.database import Connection
from navplane.store.usage import Dimension, Interval, Span, Totals, UnknownTimezone

router = APIRouter(tags=["usage"], dependencies=[require(Permission.USAGE_READ)])

LONGEST = timedelta(days=400)
LONGEST_BY_HOUR = timedelta(days=32)
DEFAULT = timedelta(days=30)
ZONE = r"^[A-Za-z_]+(/[A-Za-z0-9_+-]+)*$"


class TotalsView(View):
    """Money is a decimal number as text. Requests that are unpriced have no part in it: their cost is not known."""

    requests: int
    failed_requests: int
    unpriced_requests: int
    inexact_requests: int = Field(description="Their usage is an estimate, or lost.")
    input_tokens: int
    cached_input_tokens: int
    cache_write_tokens: int
    output_tokens: int
    reasoning_tokens: int
    cost_usd: Decimal = Field(examples=["12.345678901"])


class SummaryView(View):
    start: datetime
    end: datetime
    totals: TotalsView


class GroupView(View):
    """The dimensions that were asked for; the others are absent."""

    workspace_id: UUID | None = None
    key_id: UUID | None = None
    provider: str | None = None
    model: str | None = None
    endpoint: str | None = None
    totals: TotalsView


class BreakdownView(View):
    start: datetime
    end: datetime
    groups: list[GroupView] = Field(description="The dearest first.")
    other: TotalsView = Field(description="All groups beyond the limit.")
    totals: TotalsView


class PointView(View):
    start: datetime
    totals: TotalsView


class TimeseriesView(View):
    interval: Interval
    timezone: str
    points: list[PointView] = Field(description="Those without a call, too.")


def the_span(
    start: Annotated[AwareDatetime | None, Query(description="By default 30 days before `end`.")] = None,
    end: Annotated[AwareDatetime | None, Query(description="Not included. By default now.")] = None,
    demo: Annotated[bool, Query(description="Of calls that the demo upstream answered, instead of real ones.")] = False,
) -> Span:
    until = end or datetime.now(UTC)
    since = start or until - DEFAULT
    if not timedelta() < until - since <= LONGEST:
        raise Invalid("The end must be after the start, and by 400 days at most.")
    return Span(start=since, end=until, demo=demo)


TheSpan = Annotated[Span, Depends(the_span)]


@router.get("/admin/orgs/{org_id}/usage/summary", summary="Sum up usage and cost", responses=responses(404, 422))
def usage_summary(org_id: UUID, plane: ThePlane, span: TheSpan) -> SummaryView:
    with plane.database.transaction(org_id=org_id) as db:
        _must_exist(db, org_id)
        totals = store.summary(db, org_id=org_id, span=span)
    return SummaryView(start=span.start, end=span.end, totals=_view(totals))


@router.get("/admin/orgs/{org_id}/usage/breakdown", summary="Break usage and cost down", responses=responses(404, 422))
def usage_breakdown(
    org_id: UUID,
    plane: ThePlane,
    span: TheSpan,
    by: Annotated[list[Dimension], Query(min_length=1, max_length=2, description="One dimension or two.")],
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> BreakdownView:
    if len(set(by)) != len(by):
        raise Invalid("A dimension can't be broken down by itself.")
    with plane.database.transaction(org_id=org_id) as db:
        _must_exist(db, org_id)
        totals, groups = store.breakdown(db, org_id=org_id, span=span, by=by, limit=limit)
    return BreakdownView(
        start=span.start,
        end=span.end,
        groups=[
            GroupView(**{name.value: value for name, value in names.items()}, totals=_view(sums)) for names, sums in groups
        ],
        other=_view(totals.without([sums for _, sums in groups])),
        totals=_view(totals),
    )


@router.get("/admin/orgs/{org_id}/usage/timeseries", summary="Follow usage and cost over time", responses=responses(404, 422))
def usage_timeseries(
    org_id: UUID,
    plane: ThePlane,
    span: TheSpan,
    interval: Interval = Interval.DAY,
    timezone: Annotated[str, Query(pattern=ZONE, max_length=64, description="An IANA zone, such as Europe/Berlin.")] = "UTC",
) -> TimeseriesView:
    """Days and months are those of the zone; the first and the last hold only what is between `start` and `end`."""
    if interval is Interval.HOUR and span.end - span.start > LONGEST_BY_HOUR:
        raise Invalid("By the hour, the end may be 32 days after the start at most.")
    with plane.database.transaction(org_id=org_id) as db:
        _must_exist(db, org_id)
        try:
            points = store.timeseries(db, org_id=org_id, span=span, interval=interval, zone=timezone)
        except UnknownTimezone:
            raise Invalid("No such time zone is known.") from None
    return TimeseriesView(
        interval=interval,
        timezone=timezone,
        points=[PointView(start=start, totals=_view(totals)) for start, totals in points],
    )


def _must_exist(db: Connection, org_id: UUID) -> None:
    """The usage of a deleted organization is kept, and shown still."""
    if not organizations.ever_existed(db, org_id=org_id):
        raise NotFound(NO_SUCH_ORGANIZATION)


def _view(totals: Totals) -> TotalsView:
    return TotalsView.model_validate(totals)
