"""Usage of one organization: what it used and what it cost, in total, by dimension and over time."""

from typing import Annotated

from fastapi import APIRouter, Depends

from navplane.admin import usage_answers as answers
from navplane.admin.access import Permission, require
from navplane.admin.problem import responses
from navplane.admin.usage_answers import Asking, Dimensions, Groups, Items, TheSelection, Zone
from navplane.admin.usage_views import BreakdownView, SummaryView, TimeseriesView, TopView
from navplane.store.usage import Dimension, Interval, Measure

router = APIRouter(tags=["usage"], dependencies=[require(Permission.USAGE_READ)])

About = Annotated[Asking, Depends(answers.about_one)]


@router.get("/admin/orgs/{org_id}/usage/summary", summary="Sum up usage and cost", responses=responses(404, 422))
def usage_summary(about: About, selection: TheSelection) -> SummaryView:
    """Beside them those of the period before, of the same length."""
    return answers.summary(about, selection)


@router.get("/admin/orgs/{org_id}/usage/breakdown", summary="Break usage and cost down", responses=responses(404, 422))
def usage_breakdown(
    about: About, selection: TheSelection, by: Dimensions, limit: Groups = 50, measure: Measure = Measure.COST
) -> BreakdownView:
    return answers.breakdown(about, selection, by=by, limit=limit, measure=measure)


@router.get("/admin/orgs/{org_id}/usage/top", summary="Show who or what used most", responses=responses(404, 422))
def usage_top(
    about: About, selection: TheSelection, by: Dimension, limit: Items = 10, measure: Measure = Measure.COST
) -> TopView:
    return answers.top(about, selection, by=by, limit=limit, measure=measure)


@router.get("/admin/orgs/{org_id}/usage/timeseries", summary="Follow usage and cost over time", responses=responses(404, 422))
def usage_timeseries(
    about: About, selection: TheSelection, interval: Interval = Interval.DAY, timezone: Zone = "UTC"
) -> TimeseriesView:
    """Of everything, or with `key_id` or `user_id` of one key or one user. Days and months are those of the zone; the first and
    the last hold only what is between `start` and `end`."""
    return answers.timeseries(about, selection, interval=interval, zone=timezone)
