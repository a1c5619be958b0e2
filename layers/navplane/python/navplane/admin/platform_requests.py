"""Requests, budgets and exports of all organizations, for platform admins: the same questions as about one."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends
from fastapi.responses import Response, StreamingResponse

from navplane.admin import exports, paging, usage_answers
from navplane.admin.access import Call, Permission, require
from navplane.admin.budgets import BudgetView, budget_view
from navplane.admin.exports import FILE, MOST, AtMost, FileFormat, FirstDay, LastDay
from navplane.admin.fields import View
from navplane.admin.plane import ThePlane
from navplane.admin.problem import responses
from navplane.admin.requests import RequestCursor, RequestView, TheWanted, view_of
from navplane.admin.usage_answers import Asking, Dimensions, TheSelection
from navplane.model.export_job import ExportFormat
from navplane.store import budgets, request_rows
from navplane.store.organizations import Position

router = APIRouter(tags=["platform usage"], dependencies=[require(Permission.PLATFORM_USAGE_READ)])

About = Annotated[Asking, Depends(usage_answers.about_all)]


class OwnedRequestView(RequestView):
    org_id: UUID


class OwnedRequestPage(View):
    items: list[OwnedRequestView]
    next_cursor: str | None
    complete_to: datetime


class OwnedBudgetView(BudgetView):
    org_id: UUID


class OwnedBudgetPage(View):
    items: list[OwnedBudgetView]
    next_cursor: str | None


@router.get("/admin/usage/requests", summary="List requests of all organizations, newest first", responses=responses(422))
def list_platform_requests(
    about: About, wanted: TheWanted, limit: paging.Limit = paging.DEFAULT_LIMIT, cursor: RequestCursor = None
) -> OwnedRequestPage:
    """What is asked for must hold all at once."""
    with about.reading() as (db, complete):
        found = request_rows.list_requests(db, org_id=None, limit=limit + 1, cursor=cursor, wanted=wanted)
    items, last = paging.cut(found, limit=limit)
    return OwnedRequestPage(
        items=[OwnedRequestView(**view_of(item).model_dump(), org_id=item.org_id) for item in items],
        next_cursor=str(last.request_id) if last else None,
        complete_to=complete,
    )


@router.get("/admin/usage/budgets", summary="List budgets of all organizations, newest first", responses=responses(422))
def list_platform_budgets(
    call: Annotated[Call, require(Permission.PLATFORM_USAGE_READ)],
    plane: ThePlane,
    limit: paging.Limit = paging.DEFAULT_LIMIT,
    cursor: paging.Cursor = None,
) -> OwnedBudgetPage:
    after = paging.decode(cursor)
    with plane.database.transaction(platform=True) as db:
        found = budgets.page(db, org_id=None, limit=limit + 1, after=after, now=call.now)
    items, last = paging.cut(found, limit=limit)
    position = Position(created_at=last.budget.created_at, id=last.budget.limit_id) if last else None
    views = [OwnedBudgetView(**budget_view(item, call.now).model_dump(), org_id=item.budget.org_id) for item in items]
    return OwnedBudgetPage(items=views, next_cursor=paging.encode(position) if position else None)


@router.get(
    "/admin/usage/exports/requests",
    summary="Export requests of all organizations, newest first",
    responses={**FILE, **responses(422)},
    response_class=Response,
)
def export_platform_requests(
    about: About,
    wanted: TheWanted,
    limit: AtMost = MOST,
    cursor: RequestCursor = None,
    file_format: FileFormat = ExportFormat.CSV,
) -> StreamingResponse:
    """If there are more, the header `x-navplane-next-cursor` is the next file's `cursor`."""
    return exports.export_requests(about, wanted, limit=limit, cursor=cursor, file_format=file_format)


@router.get(
    "/admin/usage/exports/usage",
    summary="Export usage and cost of all organizations by dimensions",
    responses={**FILE, **responses(422)},
    response_class=Response,
)
def export_platform_usage(
    about: About, selection: TheSelection, by: Dimensions, file_format: FileFormat = ExportFormat.CSV
) -> StreamingResponse:
    """Organizations and workspaces with what they are called."""
    return exports.export_usage(about, selection, by, file_format=file_format)


@router.get(
    "/admin/usage/exports/focus",
    summary="Export costs of all organizations in the shape of FOCUS 1.2",
    responses={**FILE, **responses(422)},
    response_class=Response,
)
def export_platform_focus(
    about: About, first: FirstDay, last: LastDay, file_format: FileFormat = ExportFormat.CSV
) -> StreamingResponse:
    return exports.export_focus(about, first, last, file_format=file_format)
