"""What a request costs, and by whose word."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

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


@dataclass(frozen=True, slots=True, kw_only=True)
class AgreedRates:
    """USD per token, per web search and per request; per second of sound, character and picture, where no tokens are counted.
    None: what the kind of token costs that it is a part of, or, for what is no token, no price."""

    input_usd: Decimal
    output_usd: Decimal
    cached_input_usd: Decimal | None = None
    cache_write_5m_usd: Decimal | None = None
    cache_write_1h_usd: Decimal | None = None
    audio_input_usd: Decimal | None = None
    audio_output_usd: Decimal | None = None
    web_search_usd: Decimal = Decimal(0)
    request_usd: Decimal = Decimal(0)
    audio_second_usd: Decimal | None = None
    character_usd: Decimal | None = None
    image_usd: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceOverride:
    """What an organization has agreed: for requests from `effective_from` on and before `effective_to`, if it has an end.
    `model` is the name that answered, or the one that was asked for."""

    id: UUID
    provider: str
    model: str
    effective_from: datetime
    effective_to: datetime | None
    rates: AgreedRates
    created_at: datetime
