"""A price, line by line: how many of what, at which rate. The lines of a request add up to what it costs, to 1e-9 USD."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from uuid import UUID

from navplane.model.ids import RequestId
from navplane.model.price import AgreedRates
from navplane.model.usage import Usage

SMALLEST = Decimal("1e-9")


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceLine:
    """`quantity` of `what` (tokens of a kind, searches, requests) at `rate_usd` each. Not rounded."""

    what: str
    quantity: int
    rate_usd: Decimal

    @property
    def amount_usd(self) -> Decimal:
        return self.quantity * self.rate_usd


@dataclass(frozen=True, slots=True, kw_only=True)
class PricedCall:
    """What decides the list price of a call that was recorded, and which version of the list it was priced by."""

    request_id: RequestId
    provider: str | None
    model: str | None
    response_model: str | None
    service_tier: str | None
    usage: Usage
    price_version: str


def total(lines: Iterable[PriceLine]) -> Decimal:
    return sum((line.amount_usd for line in lines), Decimal(0)).quantize(SMALLEST, rounding=ROUND_HALF_UP)


def agreed_lines(usage: Usage, rates: AgreedRates) -> tuple[PriceLine, ...]:
    """As the ledger weighs an agreed price: a kind without a rate of its own costs what the kind does that it is a part of."""
    writes = usage.cache_write_5m_tokens + usage.cache_write_1h_tokens
    plain = usage.input_tokens - usage.cached_input_tokens - writes - usage.audio_input_tokens
    write_5m = _first(rates.cache_write_5m_usd, rates.input_usd)
    parts = (
        ("input_tokens", plain, rates.input_usd),
        ("cached_input_tokens", usage.cached_input_tokens, _first(rates.cached_input_usd, rates.input_usd)),
        ("cache_write_5m_tokens", usage.cache_write_5m_tokens, write_5m),
        ("cache_write_1h_tokens", usage.cache_write_1h_tokens, _first(rates.cache_write_1h_usd, write_5m)),
        ("audio_input_tokens", usage.audio_input_tokens, _first(rates.audio_input_usd, rates.input_usd)),
        ("output_tokens", usage.output_tokens - usage.audio_output_tokens, rates.output_usd),
        ("audio_output_tokens", usage.audio_output_tokens, _first(rates.audio_output_usd, rates.output_usd)),
        ("web_searches", usage.web_searches, rates.web_search_usd),
        ("audio_seconds", usage.audio_seconds, rates.audio_second_usd),
        ("characters", usage.characters, rates.character_usd),
        ("images", usage.images, rates.image_usd),
        ("requests", 1 if rates.request_usd else 0, rates.request_usd),
    )
    return tuple(
        PriceLine(what=what, quantity=quantity, rate_usd=rate)
        for what, quantity, rate in parts
        if quantity and rate is not None
    )


def override_id(price_version: str | None) -> UUID | None:
    """Of the agreed price that a row was weighed by; None if it was another price."""
    kind, _, identifier = (price_version or "").partition(" ")
    return UUID(identifier) if kind == "override" else None


def _first(rate: Decimal | None, otherwise: Decimal) -> Decimal:
    return otherwise if rate is None else rate
