"""Request logs: what was called, how it ended, what it used and what it cost."""

from dataclasses import asdict
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from pydantic import Field

from navplane.admin import paging
from navplane.admin.access import Permission, require
from navplane.admin.change import NO_SUCH_ORGANIZATION
from navplane.admin.fields import PRINTABLE, Moment, View
from navplane.admin.plane import ThePlane
from navplane.admin.problem import responses
from navplane.errors import NotFound, RegionMismatch
from navplane.model.tenancy import Region
from navplane.model.usage import Outcome, PriceQuality, UsageQuality
from navplane.store import organizations, request_rows
from navplane.store.completeness import complete_to
from navplane.store.request_filter import FILTERS, Wanted

router = APIRouter(tags=["requests"])


class RequestView(View):
    """Times are UTC, durations milliseconds, sizes bytes of the bodies. Money is a decimal number as text, or null where it
    is not known: never 0 for that."""

    request_id: UUID
    created_at: datetime
    workspace_id: UUID
    key_id: UUID
    user_id: UUID | None = Field(description="Whose key it was when the call was recorded.")
    endpoint: str
    provider: str | None
    provider_key_id: UUID | None
    model: str | None
    response_model: str | None
    stream: bool
    demo: bool = Field(description="Answered by the demo upstream: never real money.")
    region: str
    status: int
    outcome: Outcome
    error_code: str | None
    usage_quality: UsageQuality
    price_quality: PriceQuality
    cost_usd: Decimal | None = Field(examples=["0.000123000"])
    price_version: str | None = Field(examples=["genai-prices 0.2.3"], description="What the price was taken from.")
    input_tokens: int = Field(description="All input that the model read; the cached and cache-writing tokens are parts of it.")
    output_tokens: int = Field(description="With reasoning.")
    total_tokens: int
    cached_input_tokens: int
    cache_write_5m_tokens: int
    cache_write_1h_tokens: int
    reasoning_tokens: int
    audio_input_tokens: int
    audio_output_tokens: int
    web_searches: int
    audio_seconds: int = Field(description="Of sound that was read, where the model is billed by time.")
    characters: int = Field(description="To be spoken, where no tokens were counted.")
    images: int = Field(description="To be made, where no tokens were counted.")
    raw_usage: dict[str, Any] | None = Field(description="The provider's own words.")
    service_tier: str | None
    provider_request_id: str | None
    finish_reason: str | None
    attempts: int
    first_byte_ms: int | None
    duration_ms: int
    request_bytes: int
    response_bytes: int
    client: str | None
    workflow_version_id: UUID | None = Field(description="The version of a workflow that it ran under.")
    started_at: datetime
    recorded_at: datetime
    revision: int


class RequestPage(View):
    items: list[RequestView]
    next_cursor: str | None
    complete_to: datetime = Field(description="Every request admitted before this moment has its row.")


Text = Annotated[str | None, Query(max_length=200, pattern=PRINTABLE)]
RequestCursor = Annotated[UUID | None, Query(description="`next_cursor` of the page before; absent for the first.")]


def the_wanted(
    plane: ThePlane,
    start: Moment | None = None,
    end: Annotated[Moment | None, Query(description="Not included.")] = None,
    workspace_id: UUID | None = None,
    key_id: UUID | None = None,
    user_id: UUID | None = None,
    provider: Text = None,
    model: Annotated[str | None, Query(max_length=1000, pattern=PRINTABLE, description="The one that was asked for.")] = None,
    endpoint: Text = None,
    outcome: Outcome | None = None,
    usage_quality: UsageQuality | None = None,
    price_quality: PriceQuality | None = None,
    route: Text = None,
    status: Annotated[int | None, Query(ge=0, le=599)] = None,
    error_code: Text = None,
    stream: bool | None = None,
    demo: bool | None = None,
    workflow_version_id: Annotated[UUID | None, Query(description="The workflow's version that it ran under.")] = None,
) -> Wanted:
    # What was served in another region is read there.
    region = plane.region
    given = locals()
    return Wanted(start=start, end=end, values={name: given[name] for name in FILTERS if given[name] is not None})


def served_here(region: Region, served_in: str) -> None:
    """Raise RegionMismatch for a request that another region's stack has served."""
    if served_in != region.value:
        raise RegionMismatch(f"This request was served in the region {served_in}: ask the stack of that one.")


TheWanted = Annotated[Wanted, Depends(the_wanted)]


@router.get(
    "/admin/orgs/{org_id}/requests",
    summary="List requests, newest first",
    responses=responses(404, 422),
    dependencies=[require(Permission.REQUEST_LIST)],
)
def list_requests(
    org_id: UUID,
    plane: ThePlane,
    wanted: TheWanted,
    limit: paging.Limit = paging.DEFAULT_LIMIT,
    cursor: RequestCursor = None,
) -> RequestPage:
    """Those of a deleted organization are kept, and listed still. What is asked for must hold all at once."""
    with plane.database.transaction(org_id=org_id) as db:
        if not organizations.ever_existed(db, org_id=org_id):
            raise NotFound(NO_SUCH_ORGANIZATION)
        complete = complete_to(db, org_id=org_id)
        found = request_rows.list_requests(db, org_id=org_id, limit=limit + 1, cursor=cursor, wanted=wanted)
    items, last = paging.cut(found, limit=limit)
    next_cursor = str(last.request_id) if last else None
    return RequestPage(items=[view_of(item) for item in items], next_cursor=next_cursor, complete_to=complete)


def view_of(row: request_rows.RequestRow) -> RequestView:
    return RequestView(**{**asdict(row), **asdict(row.usage), "total_tokens": row.usage.total_tokens})
