"""What a request costs, and by whose word."""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from navplane.model.usage import PriceQuality


class PriceSource(StrEnum):
    """The value is stored: never rename one. NONE: there was nothing to pay for, or nobody knows the price."""

    OVERRIDE = "override"
    PROVIDER = "provider"
    LIST = "list"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """`cost_usd` is exact to 1e-9, and None where the quality is UNPRICED. `version` is what the source said at that time.
    `negotiable`: a price that the organization has agreed takes its place."""

    cost_usd: Decimal | None
    quality: PriceQuality
    source: PriceSource
    version: str
    negotiable: bool


UNPRICED = Price(cost_usd=None, quality=PriceQuality.UNPRICED, source=PriceSource.NONE, version="none", negotiable=False)
NOTHING_TO_PAY = Price(
    cost_usd=Decimal(0), quality=PriceQuality.PRICED, source=PriceSource.NONE, version="none", negotiable=False
)
