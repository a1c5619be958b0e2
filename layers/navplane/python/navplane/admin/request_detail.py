"""One request with all that is known of it: each try at a provider, each entry of the ledger, how its price comes about."""

from dataclasses import asdict
from decimal import Decimal
from uuid import UUID

from fastapi import APIRouter
from pydantic import Field

from navplane.admin.access import Permission, require
from navplane.admin.fields import View
from navplane.admin.plane import Plane, ThePlane
from navplane.admin.problem import responses
from navplane.admin.receipts import AttemptView, ChargeView
from navplane.admin.requests import RequestView, served_here, view_of
from navplane.errors import NotFound
from navplane.model.price_line import PricedCall, PriceLine, agreed_lines, override_id, total
from navplane.model.usage import PriceQuality
from navplane.store import price_overrides, receipts
from navplane.store.database import Connection
from navplane.store.request_rows import RequestRow

router = APIRouter(tags=["requests"])

UNPRICED = "Its price is not known."
BY_THE_PROVIDER = "The provider said what it cost; how that comes about, only the provider can tell."
NOTHING = "There was nothing to pay for."
OTHER_LIST = "It was priced by a list that this release does not hold: its rates are not known any more."


class PriceLineView(View):
    what: str = Field(examples=["cached_input_tokens"], description="No token is in two lines.")
    quantity: int
    rate_usd: Decimal = Field(description="Of one.", examples=["0.000000125"])
    amount_usd: Decimal = Field(description="Not rounded.")


class PriceView(View):
    """`lines` add up to the request's `cost_usd`, rounded to 1e-9; where they are empty, `explanation` says why."""

    lines: list[PriceLineView]
    explanation: str | None
    charges: list[ChargeView] = Field(description="The entries of the ledger, adjustments included; they add up to `cost_usd`.")


class RequestDetailView(RequestView):
    route: str | None = Field(description="The route that was taken; null where the model's name alone decided.")
    attempt_log: list[AttemptView] | None
    price: PriceView


@router.get(
    "/admin/orgs/{org_id}/requests/{request_id}",
    summary="Read one request and how its price comes about",
    responses=responses(404),
    dependencies=[require(Permission.REQUEST_READ)],
)
def read_request(org_id: UUID, request_id: UUID, plane: ThePlane) -> RequestDetailView:
    with plane.database.transaction(org_id=org_id) as db:
        found = receipts.find(db, org_id=org_id, workspace_id=None, request_id=request_id)
        if found is None:
            raise NotFound("No request of this organization has this id.")
        served_here(plane.region, found.row.region)
        lines, explanation = _explained(plane, db, found.row)
    attempts = None if found.attempt_log is None else [AttemptView.model_validate(attempt) for attempt in found.attempt_log]
    price = PriceView(
        lines=[PriceLineView.model_validate(line) for line in lines],
        explanation=explanation,
        charges=[ChargeView(**asdict(one)) for one in found.charged],
    )
    return RequestDetailView(**view_of(found.row).model_dump(), route=found.route, attempt_log=attempts, price=price)


def _explained(plane: Plane, db: Connection, row: RequestRow) -> tuple[tuple[PriceLine, ...], str | None]:
    """Lines are shown only if they add up to what the row costs: a wrong explanation is worse than none."""
    if row.price_quality is PriceQuality.PROVIDER_REPORTED:
        return (), BY_THE_PROVIDER
    if row.cost_usd is None:
        return (), UNPRICED
    if not row.cost_usd and row.price_version in (None, "none"):
        return (), NOTHING
    lines = _lines(plane, db, row)
    if lines is None or total(lines) != row.cost_usd:
        return (), OTHER_LIST
    return lines, None


def _lines(plane: Plane, db: Connection, row: RequestRow) -> tuple[PriceLine, ...] | None:
    agreed = override_id(row.price_version)
    if agreed is not None:
        override = price_overrides.find(db, org_id=row.org_id, override_id=agreed)
        return None if override is None else agreed_lines(row.usage, override.rates)
    return plane.list_lines(
        PricedCall(
            request_id=row.request_id,
            provider=row.provider,
            model=row.model,
            response_model=row.response_model,
            service_tier=row.service_tier,
            usage=row.usage,
            price_version=row.price_version or "",
        )
    )
