"""The price of one usage event: the provider's word, else the list's; what an organization has agreed is the store's part."""

from dataclasses import replace
from decimal import ROUND_HALF_UP, Decimal

from navplane.ingest import price_list, rates
from navplane.model.price import NOTHING_TO_PAY, UNPRICED, Price, PriceSource
from navplane.model.usage import BATCH_CREATIONS, UNBILLED, Endpoint, Outcome, PriceQuality, Usage, UsageQuality
from navplane.model.usage_event import UsageEvent

# Tokens of pictures and of text cost differently, and an event does not tell them apart.
UNLISTED = frozenset({Endpoint.IMAGES, Endpoint.IMAGE_EDITS})
SMALLEST = Decimal("1e-9")
# Beyond this no column holds it, and no call costs it: the provider's numbers are wrong.
HIGHEST = Decimal(10) ** 9
NOTHING = Usage()
UNPRICED_YET = replace(UNPRICED, negotiable=True)
_LIST_VERSION = price_list.list_version()


def price(event: UsageEvent) -> Price:
    """Never raises: what can't be priced says so."""
    if event.demo or event.usage_quality is UsageQuality.LOST:
        return UNPRICED
    if is_free(event):
        return NOTHING_TO_PAY
    return _reported(event) or _listed(event) or (UNPRICED_YET if _is_negotiable(event.usage) else UNPRICED)


def is_free(event: UsageEvent) -> bool:
    """What never reached a provider, what a provider refused, and what it doesn't charge for. An answer that arrived whole
    with no usage in it is something else: its price is not known."""
    nothing_used = event.usage_quality is UsageQuality.EXACT and event.usage == NOTHING
    return event.outcome is Outcome.REFUSED or event.endpoint in UNBILLED or (nothing_used and event.outcome is not Outcome.OK)


def _is_negotiable(usage: Usage) -> bool:
    """An agreed price is applied to what is known to have been used."""
    return usage != NOTHING and rates.is_consistent(usage)


def _reported(event: UsageEvent) -> Price | None:
    if event.provider_cost_usd is None:
        return None
    return _price(event, event.provider_cost_usd, PriceQuality.PROVIDER_REPORTED, PriceSource.PROVIDER, version="provider")


def _listed(event: UsageEvent) -> Price | None:
    """By the model that answered, else by the one that was asked for: a deployment's name says nothing."""
    found = None if event.usage == NOTHING or event.endpoint in UNLISTED else rates.find(event)
    cost = None if found is None else found.cost(event.usage, largest_input=_largest_input(event))
    return None if cost is None else _price(event, cost, PriceQuality.PRICED, PriceSource.LIST, version=_LIST_VERSION)


def _largest_input(event: UsageEvent) -> int | None:
    """Of a batch, as its row keeps it; without one a sum is never taken for a small request."""
    if event.endpoint not in BATCH_CREATIONS:
        return None
    largest = (event.raw_usage or {}).get("largest_input_tokens")
    return largest if type(largest) is int else event.usage.input_tokens


def _price(event: UsageEvent, cost: Decimal, quality: PriceQuality, source: PriceSource, *, version: str) -> Price | None:
    if cost >= HIGHEST:
        return None
    rounded = cost.quantize(SMALLEST, rounding=ROUND_HALF_UP)
    negotiable = _is_negotiable(event.usage)
    return Price(cost_usd=rounded, quality=quality, source=source, version=version, negotiable=negotiable)
