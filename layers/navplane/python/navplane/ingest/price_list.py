"""The price list that admission reads: genai-prices, as the package was installed, into table model_prices."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from decimal import ROUND_CEILING, Decimal
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING

from navplane.store import model_prices
from navplane.store.database import Connection
from navplane.store.model_prices import ModelPrice

if TYPE_CHECKING:
    from genai_prices.types import ConditionalPrice, ModelInfo, Provider
    from genai_prices.types import ModelPrice as Prices
    from genai_prices.units import UnitDef, UnitRegistry

# What genai-prices calls our providers. Those that it does not know have no row, and so no price.
GENAI_NAMES = {
    "openai": "openai",
    "anthropic": "anthropic",
    "azure": "azure",
    "bedrock": "aws",
    "deepseek": "deepseek",
    "google": "google",
    "groq": "groq",
    "mistral": "mistral",
    "openrouter": "openrouter",
    "together": "together",
    "xai": "x-ai",
}
# Raised when rows come out differently from the same package.
TRANSLATION = 1
NANO = Decimal(10**9)
# What else is charged is charged beside tokens and requests (searches); anything other than these measures something that a
# body does not bound, such as hours of audio.
BOUNDED = frozenset({"tokens", "requests", "tool_calls"})


def list_version() -> str:
    return f"genai-prices {version('genai-prices')}"


def load(db: Connection, *, now: datetime) -> int:
    """Within the caller's transaction, replace the list if it was made from another version; how many rows were written."""
    wanted = f"{list_version()}/{TRANSLATION}"
    if model_prices.loaded_version(db) == wanted:
        return 0
    model_prices.lock(db)
    if model_prices.loaded_version(db) == wanted:
        return 0
    prices = list(rows(now))
    model_prices.replace(db, prices, version=wanted, now=now)
    return len(prices)


def rows(now: datetime) -> Iterator[ModelPrice]:
    """Positions follow the order in which genai-prices looks: a provider's own models, those of the providers whose models it
    offers, and then all of them again for names with a compact date."""
    # Half a second and 30,000 lines of data, which only a change of version pays for.
    from genai_prices.data_snapshot import get_snapshot

    from navplane.ingest.price_patterns import compact_pattern, pattern

    providers = {provider.id: provider for provider in get_snapshot().providers}
    for name, genai_name in GENAI_NAMES.items():
        models = list(_models(providers[genai_name], providers))
        patterns = [(pattern(model.match), model) for model in models]
        patterns += [(compact, model) for model in models if (compact := compact_pattern(model.match)) is not None]
        for position, (expression, model) in enumerate(patterns):
            ceilings = _ceilings(model, now)
            if ceilings is not None:
                yield ModelPrice(
                    provider=name,
                    position=position,
                    pattern=expression,
                    model=model.id,
                    context_tokens=model.context_window,
                    **ceilings,
                )


def _models(provider: "Provider", providers: "dict[str, Provider]") -> "Iterator[ModelInfo]":
    yield from provider.models
    for other in provider.fallback_model_providers or ():
        yield from providers[other].models


def _ceilings(model: "ModelInfo", now: datetime) -> dict[str, int] | None:
    """The highest price per input token, output token and request that may hold from now on, in nano-USD, rounded up; None
    if the model is charged by something that tokens don't bound."""
    found = [item for prices in _possible(model, now) for item in _prices(prices)]
    if not (found or is_free(model)) or any(unit.dimensions["family"] not in BOUNDED for unit, _ in found):
        return None
    return {
        "input_nano_usd": _highest(price for unit, price in found if _is(unit, "tokens", "input")),
        "output_nano_usd": _highest(price for unit, price in found if _is(unit, "tokens", "output")),
        "request_nano_usd": _highest(price for unit, price in found if unit.dimensions["family"] == "requests"),
    }


def is_free(model: "ModelInfo") -> bool:
    """A model without any price is free only where its name says so: others are listed before their price is known."""
    return model.id.endswith(":free")


@cache
def units() -> "UnitRegistry":
    from genai_prices.data_units import unit_data
    from genai_prices.units import UnitRegistry

    return UnitRegistry(unit_data)


def _is(unit: "UnitDef", family: str, direction: str) -> bool:
    return unit.dimensions["family"] == family and unit.dimensions.get("direction") == direction


def _highest(prices: Iterable[Decimal]) -> int:
    return int((max(prices, default=Decimal(0)) * NANO).to_integral_value(ROUND_CEILING))


def _possible(model: "ModelInfo", now: datetime) -> "Iterator[Prices]":
    """The prices of today, those that come, those of other hours of the day, and those of other service tiers."""
    from genai_prices.types import ModelPrice as Prices

    if isinstance(model.prices, Prices):
        yield model.prices
    else:
        yield from _conditional(model.prices, now)
    for variant in model.price_variants or ():
        yield variant.prices


def _conditional(prices: "list[ConditionalPrice]", now: datetime) -> "Iterator[Prices]":
    """The last one that is active holds, else the first; what stands before one that holds from now on for good is past."""
    from genai_prices.types import StartDateConstraint

    for conditional in reversed(prices):
        yield conditional.prices
        constraint = conditional.constraint
        if constraint is None or (isinstance(constraint, StartDateConstraint) and constraint.active(now)):
            return
    yield prices[0].prices


def _prices(prices: "Prices") -> "Iterator[tuple[UnitDef, Decimal]]":
    """Each unit that is charged, with the price of one: of the dearest tier."""
    from genai_prices.types import TieredPrices

    for key, price in vars(prices).items():
        unit = units().unit_for_price_key(key)
        for each in [price.base, *(tier.price for tier in price.tiers)] if isinstance(price, TieredPrices) else [price]:
            yield unit, each / unit.per
