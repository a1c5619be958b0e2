"""The price list that admission reckons with, as it is loaded."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field

from navplane.admin.access import Permission, require
from navplane.admin.fields import PRINTABLE, View
from navplane.admin.plane import ThePlane
from navplane.admin.problem import responses
from navplane.store import model_prices
from navplane.store.model_prices import LoadedPrice

router = APIRouter(tags=["prices"])

NANO_PER_MILLION = Decimal(1000)
NANO = Decimal(10**9)


class ModelPriceView(View):
    provider: str
    model: str
    input_usd_per_million: str = Field(description="The most that a million input tokens may cost from now on.")
    output_usd_per_million: str = Field(description="The most that a million output tokens may cost from now on.")
    request_usd: str
    context_tokens: int | None


class ModelPricePage(View):
    source_version: str | None = Field(description="What the list was made from; null before it is loaded.")
    loaded_at: datetime | None
    items: list[ModelPriceView]
    next_cursor: str | None


@router.get(
    "/admin/model-prices",
    summary="List the models with a known price",
    responses=responses(422),
    dependencies=[require(Permission.MODEL_PRICE_LIST)],
)
def list_model_prices(
    plane: ThePlane, provider: Annotated[str | None, Query(max_length=40, pattern=PRINTABLE)] = None
) -> ModelPricePage:
    """Ceilings, by which a budget is reserved. What a request cost, to the tier and the kind of token, is in its row."""
    with plane.database.transaction() as db:
        found = model_prices.listed(db, provider=provider)
    return ModelPricePage(
        source_version=found[0].source_version if found else None,
        loaded_at=found[0].loaded_at if found else None,
        items=[_view(price) for price in found],
        next_cursor=None,
    )


def _view(price: LoadedPrice) -> ModelPriceView:
    return ModelPriceView(
        provider=price.provider,
        model=price.model,
        input_usd_per_million=_text(price.input_nano_usd / NANO_PER_MILLION),
        output_usd_per_million=_text(price.output_nano_usd / NANO_PER_MILLION),
        request_usd=_text(price.request_nano_usd / NANO),
        context_tokens=price.context_tokens,
    )


def _text(amount: Decimal) -> str:
    return f"{amount:.9f}".rstrip("0").rstrip(".")
