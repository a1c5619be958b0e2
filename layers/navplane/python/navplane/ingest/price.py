"""The price of one usage event: the provider's word, else the list's; what an organization has agreed is the store's part."""

from dataclasses import replace
from decimal import ROUND_HALF_UP, Decimal

from navplane.ingest import price_list, rates
from navplane.model.price import NOTHING_TO_PAY, UNPRICED, Price, PriceSource
from navplane.model.usage import Endpoint, Outcome, PriceQuality, Usage, UsageQuality
from navplane.model.usage_event import UsageEvent

UNBILLED = frozenset({Endpoint.MODELS, Endpoint.COUNT_TOKENS})
SMALLEST = Decimal("1e-9")
# Beyond this no column holds it, and no call costs it: the provider's numbers are wrong.
HIGHEST = Decimal(10) ** 9
_LIST_VERSION = price_list.list_version()


def price(event: UsageEvent) -> Price:
    """Never raises: what can't be priced says so."""
    if event.demo or event.usage_quality is UsageQuality.LOST:
        return UNPRICED
    if is_free(event):
        return NOTHING_TO_PAY
    found = _reported(event) or _listed(event) or UNPRICED
    return replace(found, negotiable=event.usage != Usage() and rates.is_consistent(event.usage))


def is_free(event: UsageEvent) -> bool:
    """What never reached a provider, what a provider refused, and what it doesn't charge for. An answer that arrived whole
    with no usage in it is something else: its price is not known."""
    nothing_used = event.usage_quality is UsageQuality.EXACT and event.usage == Usage()
    return event.outcome is Outcome.REFUSED or event.endpoint in UNBILLED or (nothing_used and event.outcome is not Outcome.OK)


def _reported(event: UsageEvent) -> Price | None:
    if event.provider_cost_usd is None:
        return None
    return _price(event.provider_cost_usd, PriceQuality.PROVIDER_REPORTED, PriceSource.PROVIDER, version="provider")


def _listed(event: UsageEvent) -> Price | None:
    """By the model that answered, else by the one that was asked for: a deployment's name says nothing."""
    found = None if event.usage == Usage() else rates.find(event)
    cost = None if found is None else found.cost(event.usage)
    return None if cost is None else _price(cost, PriceQuality.PRICED, PriceSource.LIST, version=_LIST_VERSION)


def _price(cost: Decimal, quality: PriceQuality, source: PriceSource, *, version: str) -> Price | None:
    if cost >= HIGHEST:
        return None
    rounded = cost.quantize(SMALLEST, rounding=ROUND_HALF_UP)
    return Price(cost_usd=rounded, quality=quality, source=source, version=version, negotiable=True)
