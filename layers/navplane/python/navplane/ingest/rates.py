"""What genai-prices says that one token, one search and one request of a model cost at a moment, and the arithmetic.

The arithmetic is ours because genai-prices' own takes as long as recording the row; a differential test compares the two.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache, partial

from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import ModelInfo, ModelPrice, Provider, TieredPrices

from navplane.ingest.price_list import BOUNDED, GENAI_NAMES, is_free, units
from navplane.model.price_line import PricedCall, PriceLine
from navplane.model.usage import Usage
from navplane.model.usage_event import UsageEvent

# Names are the callers' choice; what is remembered about them is bounded.
REMEMBERED = 4096
# An id may be no UUIDv7 at all; no calendar goes beyond the year 9999.
LAST_MILLISECOND = 253_402_214_400_000
# The service tiers that genai-prices calls something else. One that it does not know costs what the standard one does.
CONTEXTS = {"batch": {"processing": "batch"}}
_PROVIDERS = {provider.id: provider for provider in get_snapshot().providers}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """USD per token, per web search and per request. A token of a kind without a rate of its own costs what the kind does
    that it is a part of; `tiers` changes all rates by the size of the input: (more than so many tokens, those rates)."""

    input: Decimal | None
    output: Decimal | None
    cached: Decimal | None
    write_5m: Decimal | None
    write_1h: Decimal | None
    audio_input: Decimal | None
    audio_output: Decimal | None
    reasoning: Decimal | None
    search: Decimal | None
    request: Decimal
    tiers: "tuple[tuple[int, Rates], ...]" = ()

    def cost(self, usage: Usage, *, largest_input: int | None = None) -> Decimal | None:
        """None where a part of the usage has no price, or contradicts another part. `largest_input`: the usage is the sum of
        many requests, none of which read more than this; in a sum nothing tells which of them are beyond a tier."""
        if not (usage.is_in_tokens and is_consistent(usage)):
            return None
        if largest_input is not None and (self.request or any(largest_input > start for start, _ in self.tiers)):
            return None
        rates = self if largest_input is not None else self._at(usage)
        total = rates.request
        for _, count, rate in rates._parts(usage):
            if count:
                if rate is None:
                    return None
                total += count * rate
        return total

    def lines(self, usage: Usage) -> tuple[PriceLine, ...]:
        """What `cost` adds up, if it is not None."""
        rates = self._at(usage)
        parts = (*rates._parts(usage), ("requests", 1 if rates.request else 0, rates.request))
        return tuple(PriceLine(what=what, quantity=n, rate_usd=rate) for what, n, rate in parts if n and rate is not None)

    def _at(self, usage: Usage) -> "Rates":
        return next((rates for start, rates in self.tiers if usage.input_tokens > start), self)

    def _parts(self, usage: Usage) -> tuple[tuple[str, int, Decimal | None], ...]:
        return (
            ("input_tokens", plain_input(usage), self.input),
            ("output_tokens", plain_output(usage), self.output),
            ("cached_input_tokens", usage.cached_input_tokens, self.cached),
            ("cache_write_5m_tokens", usage.cache_write_5m_tokens, self.write_5m),
            ("cache_write_1h_tokens", usage.cache_write_1h_tokens, self.write_1h),
            ("audio_input_tokens", usage.audio_input_tokens, self.audio_input),
            ("audio_output_tokens", usage.audio_output_tokens, self.audio_output),
            ("reasoning_tokens", usage.reasoning_tokens, self.reasoning),
            ("web_searches", usage.web_searches, self.search),
        )


def plain_input(usage: Usage) -> int:
    """Input that is neither cached, nor written to a cache, nor audio. No provider tells how much of its audio was cached."""
    cache_writes = usage.cache_write_5m_tokens + usage.cache_write_1h_tokens
    return usage.input_tokens - usage.cached_input_tokens - cache_writes - usage.audio_input_tokens


def plain_output(usage: Usage) -> int:
    return usage.output_tokens - usage.audio_output_tokens - usage.reasoning_tokens


def is_consistent(usage: Usage) -> bool:
    """Whether the parts fit into their sums, and all of it is in tokens: nobody here knows a price for anything else."""
    return plain_input(usage) >= 0 and plain_output(usage) >= 0


def find(event: UsageEvent | PricedCall) -> Rates | None:
    """The rates of the model that answered, else of the one that was asked for; None where there are none."""
    # No price begins within a minute, and what is remembered by the minute is found again.
    minute = min(event.request_id.int >> 80, LAST_MILLISECOND) // 60_000
    for name in (event.response_model, event.model):
        if name and event.provider and (rates := _rates(event.provider, name, event.service_tier, minute)) is not None:
            return rates
    return None


@lru_cache(REMEMBERED)
def _rates(provider: str, name: str, service_tier: str | None, minute: int) -> Rates | None:
    model = _model(provider, name)
    if model is None:
        return None
    tier = (service_tier or "").lower()
    offered = any(model is own for own in _offering(provider).models)
    context = CONTEXTS.get(tier, {"service_tier": tier}) if tier and offered else None
    return _read(model, model.get_prices(datetime.fromtimestamp(minute * 60, UTC), context))


@lru_cache(REMEMBERED)
def _model(provider: str, name: str) -> ModelInfo | None:
    if provider not in GENAI_NAMES:
        return None
    return _offering(provider).find_model(name, all_providers=list(_PROVIDERS.values()))


def _offering(provider: str) -> Provider:
    return _PROVIDERS[GENAI_NAMES[provider]]


def _read(model: ModelInfo, prices: ModelPrice) -> Rates | None:
    priced = {key: price for key, price in vars(prices).items() if price is not None}
    if not priced:
        return _of(lambda _: Decimal(0)) if is_free(model) else None
    if any(units().unit_for_price_key(key).dimensions["family"] not in BOUNDED for key in priced):
        return None
    starts = {tier.start for price in priced.values() if isinstance(price, TieredPrices) for tier in price.tiers}
    tiers = tuple((start, _of(partial(_each, priced, start + 1))) for start in sorted(starts, reverse=True))
    return replace(_of(partial(_each, priced, 0)), tiers=tiers)


def _each(priced: Mapping[str, Decimal | TieredPrices], input_tokens: int, key: str) -> Decimal | None:
    """The price of one, where so much is read; every token of a request is in the same tier."""
    price = priced.get(key)
    if price is None:
        return None
    if isinstance(price, TieredPrices):
        price = next((tier.price for tier in reversed(price.tiers) if input_tokens > tier.start), price.base)
    return price / units().unit_for_price_key(key).per


def _of(rate: Callable[[str], Decimal | None]) -> Rates:
    def first(*keys: str) -> Decimal | None:
        return next((found for key in keys if (found := rate(key)) is not None), None)

    return Rates(
        input=rate("input_mtok"),
        output=rate("output_mtok"),
        cached=first("cache_read_mtok", "input_mtok"),
        write_5m=first("cache_write_5m_mtok", "cache_write_mtok", "input_mtok"),
        write_1h=first("cache_write_1h_mtok", "cache_write_mtok", "input_mtok"),
        audio_input=first("input_audio_mtok", "input_mtok"),
        audio_output=first("output_audio_mtok", "output_mtok"),
        reasoning=first("output_reasoning_mtok", "output_mtok"),
        search=rate("web_searches_kcount"),
        request=rate("requests_kcount") or Decimal(0),
    )
