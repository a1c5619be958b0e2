"""A caller's own receipts: what one of its requests used and cost. Signed in with an API key, not with an access token."""

from dataclasses import asdict
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Security
from fastapi.responses import JSONResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import Field

from navplane.admin.fields import View
from navplane.admin.plane import Plane, ThePlane
from navplane.admin.problem import responses
from navplane.admin.requests import RequestView, served_here, view_of
from navplane.crypto.api_key import ApiKeyShape, digest
from navplane.errors import InvalidAPIKey, NotFound, OrganizationDisabled
from navplane.store import receipts

router = APIRouter(tags=["receipts"])

API_KEY = HTTPBearer(auto_error=False, scheme_name="api_key")
SEND_A_KEY = "Send one NavPlane API key that is in force: Authorization: Bearer np_... or x-api-key."
NOT_FOUND = "No request of this workspace has this id; or its answer has only just ended and it is not written down yet."


class ChargeView(View):
    """An entry of the ledger: the amounts of one receipt add up to its `cost_usd`."""

    revision: int
    kind: str = Field(examples=["charge"])
    amount_usd: Decimal = Field(examples=["0.000123000"])
    price_source: str = Field(examples=["list"])
    price_version: str = Field(examples=["genai-prices 0.2.3"])
    created_at: datetime


class AttemptView(View):
    """One try at a provider: it ended with a `status`, or with an `error`."""

    provider: str | None = None
    provider_key_id: UUID | None = None
    model: str | None = None
    status: int | None = None
    error: str | None = None
    milliseconds: int | None = None


class ReceiptView(RequestView):
    state: Literal["recorded"] = "recorded"
    route: str | None = Field(description="The route that was taken; null where the model's name alone decided.")
    attempt_log: list[AttemptView] | None
    charged: list[ChargeView]


class PendingView(View):
    """The request is open, or its usage is not known yet. Ask again after `Retry-After` seconds."""

    request_id: UUID
    state: Literal["pending"] = "pending"


def presented(
    request: Request, bearer: Annotated[HTTPAuthorizationCredentials | None, Security(API_KEY)], plane: ThePlane
) -> str:
    """The one API key of the headers. Raise InvalidAPIKey."""
    keys = {*request.headers.getlist("x-api-key"), *request.headers.getlist("api-key")}
    keys |= {bearer.credentials} if bearer else set()
    key = keys.pop() if len(keys) == 1 and len(request.headers.getlist("authorization")) <= 1 else ""
    if not ApiKeyShape(plane.key_prefixes).accepts(key):
        raise InvalidAPIKey(SEND_A_KEY)
    return key


@router.get(
    "/v1/receipts/{request_id}",
    summary="Read the receipt of one of your own requests",
    response_model=ReceiptView,
    responses={
        **responses(404),
        202: {
            "model": PendingView,
            "description": "Not settled yet",
            "headers": {"Retry-After": {"schema": {"type": "integer"}}},
        },
    },
)
def read_receipt(request_id: UUID, plane: ThePlane, key: Annotated[str, Depends(presented)]) -> Any:
    """For requests of the key's own workspace, whichever of its keys made them. `x-navplane-request-id` of an answer is the
    id."""
    holder = _holder(plane, key, request_id)
    with plane.database.transaction(org_id=holder.org_id) as db:
        found = receipts.find(db, org_id=holder.org_id, workspace_id=holder.workspace_id, request_id=request_id)
    if found is not None:
        served_here(plane.region, found.row.region)
        return _view(found)
    if holder.pending:
        pending = PendingView(request_id=request_id).model_dump(mode="json")
        return JSONResponse(pending, status_code=202, headers={"Retry-After": "1"})
    raise NotFound(NOT_FOUND)


def _holder(plane: Plane, key: str, request_id: UUID) -> receipts.Holder:
    with plane.database.transaction() as db:
        holder = receipts.holder_of(db, digest=digest(key), request_id=request_id, now=datetime.now(UTC))
    if holder is None or holder.refused == "invalid_key":
        raise InvalidAPIKey(SEND_A_KEY)
    if holder.refused is not None:
        raise OrganizationDisabled("This organization is disabled. An administrator can enable it again.")
    return holder


def _view(found: receipts.Receipt) -> ReceiptView:
    attempts = [AttemptView.model_validate(attempt) for attempt in found.attempt_log] if found.attempt_log is not None else None
    charged = [ChargeView(**asdict(one)) for one in found.charged]
    return ReceiptView(**view_of(found.row).model_dump(), route=found.route, attempt_log=attempts, charged=charged)
