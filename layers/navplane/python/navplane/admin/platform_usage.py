"""Usage of all organizations, for platform admins: the same questions, and who among them used most."""

from typing import Annotated

from fastapi import APIRouter, Depends

from navplane.admin import usage_answers as answers
from navplane.admin.access import Permission, require
from navplane.admin.problem import responses
from navplane.admin.usage_answers import Asking, Dimensions, Groups, Items, TheSelection, Zone
from navplane.admin.usage_views import BreakdownView, SummaryView, TimeseriesView, TopView
from navplane.store.usage import Dimension, Interval, Measure

router = APIRouter(tags=["platform usage"], dependencies=[require(Permission.PLATFORM_USAGE_READ)])

About = Annotated[Asking, Depends(answers.about_all)]


@router.get("/admin/usage/summary", summary="Sum up usage and cost of all organizations", responses=responses(422))
def platform_usage_summary(about: About, selection: TheSelection) -> SummaryView:
    return answers.summary(about, selection)


@router.get("/admin/usage/breakdown", summary="Break usage and cost of all organizations down", responses=responses(422))
def platform_usage_breakdown(
    about: About, selection: TheSelection, by: Dimensions, limit: Groups = 50, measure: Measure = Measure.COST
) -> BreakdownView:
    return answers.breakdown(about, selection, by=by, limit=limit, measure=measure)


@router.get("/admin/usage/top", summary="Show who or what used most of all organizations", responses=responses(422))
def platform_usage_top(
    about: About,
    selection: TheSelection,
    by: Dimension = Dimension.ORGANIZATION,
    limit: Items = 10,
    measure: Measure = Measure.COST,
) -> TopView:
    return answers.top(about, selection, by=by, limit=limit, measure=measure)


@router.get("/admin/usage/timeseries", summary="Follow usage and cost of all organizations over time", responses=responses(422))
def platform_usage_timeseries(
    about: About, selection: TheSelection, interval: Interval = Interval.DAY, timezone: Zone = "UTC"
) -> TimeseriesView:
    return answers.timeseries(about, selection, interval=interval, zone=timezone)
