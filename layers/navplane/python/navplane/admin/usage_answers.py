"""Questions about usage and their answers, whoever asks: about one organization, or as a platform admin about all of them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Query

from navplane.admin.change import NO_SUCH_ORGANIZATION
from navplane.admin.fields import PRINTABLE, Moment
from navplane.admin.plane import ThePlane
from navplane.admin.usage_views import (
    BreakdownView,
    GroupView,
    PeriodView,
    PointView,
    SummaryView,
    TimeseriesView,
    TopItemView,
    TopView,
    change_view,
    share,
    totals_view,
)
from navplane.errors import Invalid, NotFound
from navplane.store import names, organizations
from navplane.store import usage as store
from navplane.store.completeness import complete_to
from navplane.store.database import Connection, Database
from navplane.store.usage import Dimension, Interval, Measure, Selection, Totals, UnknownTimezone

LONGEST = timedelta(days=400)
LONGEST_BY_HOUR = timedelta(days=32)
DEFAULT = timedelta(days=30)
ZONE = r"^[A-Za-z_]+(/[A-Za-z0-9_+-]+)*$"

Text = Annotated[str | None, Query(max_length=200, pattern=PRINTABLE)]
Zone = Annotated[str, Query(pattern=ZONE, max_length=64, description="An IANA zone, such as Europe/Berlin.")]
Dimensions = Annotated[list[Dimension], Query(min_length=1, max_length=2, description="One dimension or two.")]
Groups = Annotated[int, Query(ge=1, le=500, description="How many groups at most.")]
Items = Annotated[int, Query(ge=1, le=100, description="How many items at most.")]


def the_selection(
    start: Annotated[Moment | None, Query(description="By default 30 days before `end`.")] = None,
    end: Annotated[Moment | None, Query(description="Not included. By default now.")] = None,
    demo: Annotated[bool, Query(description="Of calls that the demo upstream answered, instead of real ones.")] = False,
    workspace_id: UUID | None = None,
    key_id: UUID | None = None,
    user_id: Annotated[UUID | None, Query(description="Whose key it was when the call was recorded.")] = None,
    provider: Text = None,
    model: Text = None,
    endpoint: Text = None,
) -> Selection:
    until = end or datetime.now(UTC)
    since = start or until - DEFAULT
    if not timedelta() < until - since <= LONGEST:
        raise Invalid("The end must be after the start, and by 400 days at most.")
    values: dict[Dimension, UUID | str | None] = {
        Dimension.WORKSPACE: workspace_id, Dimension.KEY: key_id, Dimension.USER: user_id, Dimension.PROVIDER: provider,
        Dimension.MODEL: model, Dimension.ENDPOINT: endpoint,
    }  # fmt: skip
    only = {name: value for name, value in values.items() if value is not None}
    return Selection(start=since, end=until, demo=demo, only=only)


TheSelection = Annotated[Selection, Depends(the_selection)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """About whom: one organization, or with None every one of them. The usage of a deleted one is kept, and shown still."""

    database: Database
    org_id: UUID | None

    @contextmanager
    def reading(self) -> Iterator[tuple[Connection, datetime]]:
        """A transaction, and up to when what it reads is complete. Raise NotFound."""
        with self.database.transaction(org_id=self.org_id, platform=self.org_id is None) as db:
            if self.org_id is not None and not organizations.ever_existed(db, org_id=self.org_id):
                raise NotFound(NO_SUCH_ORGANIZATION)
            yield db, complete_to(db, org_id=self.org_id)


def about_one(plane: ThePlane, org_id: UUID) -> Asking:
    return Asking(database=plane.database, org_id=org_id)


def about_all(plane: ThePlane) -> Asking:
    return Asking(database=plane.database, org_id=None)


def summary(asking: Asking, selection: Selection) -> SummaryView:
    length = selection.end - selection.start
    before = replace(selection, start=_earlier(selection.start, length), end=selection.start)
    with asking.reading() as (db, complete):
        totals = store.summary(db, org_id=asking.org_id, selection=selection)
        previous = store.summary(db, org_id=asking.org_id, selection=before)
    return SummaryView(
        start=selection.start,
        end=selection.end,
        complete_to=complete,
        totals=totals_view(totals),
        previous=PeriodView(start=before.start, end=before.end, totals=totals_view(previous)),
        change=change_view(totals, previous),
    )


def _earlier(moment: datetime, length: timedelta) -> datetime:
    try:
        return moment - length
    except OverflowError:
        raise Invalid("The calendar begins too late for a period before that one.") from None


def breakdown(asking: Asking, selection: Selection, *, by: Sequence[Dimension], limit: int, measure: Measure) -> BreakdownView:
    must_make_sense(asking, by)
    with asking.reading() as (db, complete):
        totals, groups = store.breakdown(db, org_id=asking.org_id, selection=selection, by=by, limit=limit, measure=measure)
    return BreakdownView(
        start=selection.start,
        end=selection.end,
        complete_to=complete,
        groups=[
            GroupView(**{name.value: value for name, value in group.items()}, totals=totals_view(sums))
            for group, sums in groups
        ],
        other=totals_view(totals.without([sums for _, sums in groups])),
        totals=totals_view(totals),
    )


def top(asking: Asking, selection: Selection, *, by: Dimension, limit: int, measure: Measure) -> TopView:
    must_make_sense(asking, [by])
    with asking.reading() as (db, complete):
        totals, groups = store.breakdown(db, org_id=asking.org_id, selection=selection, by=[by], limit=limit, measure=measure)
        values = [group[by] for group, _ in groups]
        known = names.of(db, dimension=by, ids=values, org_id=asking.org_id)
    rest = totals.without([sums for _, sums in groups])

    def item(value: Any, sums: Totals) -> TopItemView:
        part, whole = getattr(sums, measure), getattr(totals, measure)
        text = None if value is None else str(value)
        return TopItemView(value=text, name=known.get(value), share=share(part, whole), totals=totals_view(sums))

    return TopView(
        start=selection.start,
        end=selection.end,
        complete_to=complete,
        by=by,
        measure=measure,
        items=[item(value, sums) for value, (_, sums) in zip(values, groups, strict=True)],
        other=item(None, rest).model_copy(update={"name": "Other"}),
        totals=totals_view(totals),
    )


def timeseries(asking: Asking, selection: Selection, *, interval: Interval, zone: str) -> TimeseriesView:
    if interval is Interval.HOUR and selection.end - selection.start > LONGEST_BY_HOUR:
        raise Invalid("By the hour, the end may be 32 days after the start at most.")
    with asking.reading() as (db, complete):
        try:
            points = store.timeseries(db, org_id=asking.org_id, selection=selection, interval=interval, zone=zone)
        except UnknownTimezone:
            raise Invalid("No such time zone is known.") from None
    return TimeseriesView(
        start=selection.start,
        end=selection.end,
        complete_to=complete,
        interval=interval,
        timezone=zone,
        points=[PointView(start=start, totals=totals_view(totals)) for start, totals in points],
    )


def must_make_sense(asking: Asking, by: Sequence[Dimension]) -> None:
    if len(set(by)) != len(by):
        raise Invalid("A dimension can't be broken down by itself.")
    if asking.org_id is not None and Dimension.ORGANIZATION in by:
        raise Invalid("There is one organization only. Below /admin/usage all of them can be compared.")
