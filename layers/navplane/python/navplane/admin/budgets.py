"""Routes: how much of each budget is spent, held and left, beside what the ledger says."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter
from pydantic import Field

from navplane.admin import change, paging
from navplane.admin.access import Call, Permission, require
from navplane.admin.fields import View
from navplane.admin.plane import ThePlane
from navplane.admin.problem import responses
from navplane.store import budgets
from navplane.store.budgets import KeptBudget
from navplane.store.organizations import Position

router = APIRouter(tags=["limits"])


class BudgetView(View):
    """Amounts are text, in `unit`."""

    limit_id: UUID
    scope: str
    scope_id: UUID
    kind: str
    unit: str = Field(description="`usd` or `tokens`.")
    mode: str
    amount: str
    spent: str = Field(description="By requests that are recorded, as the gate counted them.")
    reserved: str = Field(description="Held by requests that are under way, or not recorded yet.")
    remaining: str = Field(description="What may still be reserved.")
    percent: float | None = Field(description="Spent, of the whole; null for a budget of nothing.")
    forecast: str | None = Field(
        description="Spent at the window's end if it goes on as since its beginning; null while it is too early to say."
    )
    recorded: str = Field(description="What the ledger says of the same window.")
    difference: str = Field(
        description="`recorded` less `spent`. A budget counts from when it was first set, so it may lack what was before."
    )
    starts_at: datetime
    resets_at: datetime


class BudgetPage(View):
    items: list[BudgetView]
    next_cursor: str | None


@router.get("/admin/orgs/{org_id}/budgets", summary="List budgets, newest first", responses=responses(404, 422))
def list_budgets(
    org_id: UUID,
    call: Annotated[Call, require(Permission.BUDGET_LIST)],
    plane: ThePlane,
    limit: paging.Limit = paging.DEFAULT_LIMIT,
    cursor: paging.Cursor = None,
) -> BudgetPage:
    """The limits per day and month of USD and tokens, each in its current window, which is of UTC."""
    after = paging.decode(cursor)
    with plane.database.transaction(org_id=org_id) as db:
        change.found(db, org_id=org_id)
        found = budgets.page(db, org_id=org_id, limit=limit + 1, after=after, now=call.now)
    items, last = paging.cut(found, limit=limit)
    position = Position(created_at=last.budget.created_at, id=last.budget.limit_id) if last else None
    return BudgetPage(
        items=[budget_view(item, call.now) for item in items], next_cursor=paging.encode(position) if position else None
    )


def budget_view(kept: KeptBudget, now: datetime) -> BudgetView:
    budget = kept.budget
    percent, forecast = budget.percent, budget.forecast(now)
    return BudgetView(
        limit_id=budget.limit_id,
        scope=budget.scope.value,
        scope_id=budget.scope_id,
        kind=budget.kind.value,
        unit=budget.kind.measure,
        mode=budget.mode.value,
        amount=_text(budget.in_unit(budget.amount)),
        spent=_text(budget.in_unit(budget.spent)),
        reserved=_text(budget.in_unit(budget.reserved)),
        remaining=_text(budget.in_unit(budget.remaining)),
        percent=None if percent is None else round(float(percent), 2),
        forecast=None if forecast is None else _text(budget.in_unit(forecast)),
        recorded=_text(kept.recorded),
        difference=_text(kept.recorded - budget.in_unit(budget.spent)),
        starts_at=budget.starts_at.astimezone(UTC),
        resets_at=budget.ends_at.astimezone(UTC),
    )


def _text(amount: Decimal) -> str:
    """Without an exponent and without zeros that say nothing."""
    return f"{amount:.9f}".rstrip("0").rstrip(".")
