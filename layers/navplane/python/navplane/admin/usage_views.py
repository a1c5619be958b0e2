"""What usage looks like: the bodies of the answers about one organization and about all of them."""

from datetime import datetime
from decimal import Decimal
from uuid import UUID

from pydantic import Field

from navplane.admin.fields import View
from navplane.store.usage import Dimension, Interval, Measure, Totals


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


class ChangeView(View):
    """By how much of the previous value each grew: 0.5 is half as much again. Null where it grew from 0."""

    requests: Decimal | None = Field(examples=["0.25"])
    failed_requests: Decimal | None
    input_tokens: Decimal | None
    output_tokens: Decimal | None
    cost_usd: Decimal | None


class PeriodView(View):
    start: datetime
    end: datetime
    totals: TotalsView


class UsageView(View):
    """What every answer about usage says."""

    start: datetime
    end: datetime
    complete_to: datetime = Field(
        description="Every request admitted before this moment is counted. One that is under way, or whose usage waits to be "
        "recorded, holds it back."
    )


class SummaryView(UsageView):
    totals: TotalsView
    previous: PeriodView = Field(description="The same length of time, just before.")
    change: ChangeView


class GroupView(View):
    """The dimensions that were asked for; the others are null."""

    org_id: UUID | None = None
    workspace_id: UUID | None = None
    key_id: UUID | None = None
    user_id: UUID | None = None
    provider: str | None = None
    model: str | None = None
    endpoint: str | None = None
    totals: TotalsView


class BreakdownView(UsageView):
    groups: list[GroupView] = Field(description="Those with the most first.")
    other: TotalsView = Field(description="All groups beyond the limit.")
    totals: TotalsView


class TopItemView(View):
    value: str | None = Field(description="The id or the name; null for calls that have none.", examples=["gpt-5"])
    name: str | None = Field(description="What an id is called, if it is known.")
    share: Decimal | None = Field(description="Of the whole; null where the whole is 0.", examples=["0.61"])
    totals: TotalsView


class TopView(UsageView):
    by: Dimension
    measure: Measure
    items: list[TopItemView]
    other: TopItemView = Field(description="Everything else: with it the items add up to the totals.")
    totals: TotalsView


class PointView(View):
    start: datetime
    totals: TotalsView


class TimeseriesView(UsageView):
    interval: Interval
    timezone: str
    points: list[PointView] = Field(description="Those without a call, too.")


def totals_view(totals: Totals) -> TotalsView:
    return TotalsView.model_validate(totals)


def change_view(totals: Totals, previous: Totals) -> ChangeView:
    grown = {name: growth(getattr(totals, name), getattr(previous, name)) for name in ChangeView.model_fields}
    return ChangeView(**grown)


def growth(now: Decimal | int, before: Decimal | int) -> Decimal | None:
    """To a millionth. From nothing to nothing is no growth; from nothing to something has no number."""
    if not before:
        return None if now else Decimal(0)
    return (Decimal(now - before) / Decimal(before)).quantize(Decimal("1e-6"))


def share(part: Decimal | int, whole: Decimal | int) -> Decimal | None:
    return (Decimal(part) / Decimal(whole)).quantize(Decimal("1e-6")) if whole else None
