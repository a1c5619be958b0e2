"""Costs in the shape of FOCUS 1.2, the FinOps Open Cost and Usage Specification (https://focus.finops.org/focus-specification/v1-2/):
a row is what one key cost on one UTC day with one model. Columns of our own begin with x_, as it asks for."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from navplane.admin.table import Kind, Table, columns

VERSION = "1.2"
DAY = timedelta(days=1)
# A provider's nonsense adds up to more than a column of a file can hold.
LARGEST = 2**63 - 1
TEXT, INTEGER, DECIMAL, TIME = Kind.TEXT, Kind.INTEGER, Kind.DECIMAL, Kind.TIME

COLUMNS = columns(
    BilledCost=DECIMAL,
    BillingAccountId=TEXT,
    BillingAccountName=TEXT,
    BillingAccountType=TEXT,
    BillingCurrency=TEXT,
    BillingPeriodEnd=TIME,
    BillingPeriodStart=TIME,
    ChargeCategory=TEXT,
    ChargeClass=TEXT,
    ChargeDescription=TEXT,
    ChargeFrequency=TEXT,
    ChargePeriodEnd=TIME,
    ChargePeriodStart=TIME,
    ConsumedQuantity=INTEGER,
    ConsumedUnit=TEXT,
    ContractedCost=DECIMAL,
    EffectiveCost=DECIMAL,
    InvoiceIssuerName=TEXT,
    ListCost=DECIMAL,
    PricingQuantity=INTEGER,
    PricingUnit=TEXT,
    ProviderName=TEXT,
    PublisherName=TEXT,
    RegionId=TEXT,
    ResourceId=TEXT,
    ResourceName=TEXT,
    ResourceType=TEXT,
    ServiceCategory=TEXT,
    ServiceName=TEXT,
    ServiceSubcategory=TEXT,
    SkuId=TEXT,
    SubAccountId=TEXT,
    SubAccountName=TEXT,
    SubAccountType=TEXT,
    Tags=TEXT,
    x_Endpoint=TEXT,
    x_Requests=INTEGER,
    x_UnpricedRequests=INTEGER,
    x_InputTokens=INTEGER,
    x_CachedInputTokens=INTEGER,
    x_OutputTokens=INTEGER,
)
_DAY = [column.name for column in COLUMNS].index("ChargePeriodStart")


def table(days: Sequence[Mapping[str, Any]], *, called: Mapping[UUID, str]) -> Table:
    """`days` are rows of store.exports.DAILY_COLUMNS, by name; `called` are the names that organizations, workspaces and keys
    have now."""
    found = [_charge(day, called) for day in days]
    return Table(columns=COLUMNS, rows=[[row.get(column.name) for column in COLUMNS] for row in found], apart=_DAY)


def _charge(day: Mapping[str, Any], called: Mapping[UUID, str]) -> dict[str, Any]:
    """List, contracted and effective cost are the billed one: what was charged is known, not what it would have been."""
    start: datetime = day["day"]
    month = start.replace(day=1)
    read, cached, written = (min(int(day[f"{name}_tokens"]), LARGEST) for name in ("input", "cached_input", "output"))
    tokens = min(read + written, LARGEST)
    provider, model = day["provider"] or "none", day["model"] or "none"
    tags = {name: str(day[name]) for name in ("user_id",) if day[name] is not None}
    return {
        **dict.fromkeys(("BilledCost", "ContractedCost", "EffectiveCost", "ListCost"), day["cost_usd"]),
        **dict.fromkeys(("InvoiceIssuerName", "ProviderName", "PublisherName"), provider),
        **dict.fromkeys(("ConsumedQuantity", "PricingQuantity"), tokens),
        **dict.fromkeys(("ConsumedUnit", "PricingUnit"), "Tokens"),
        "BillingAccountId": str(day["org_id"]),
        "BillingAccountName": called.get(day["org_id"]),
        "BillingAccountType": "Organization",
        "BillingCurrency": "USD",
        "BillingPeriodStart": month,
        "BillingPeriodEnd": (month + 32 * DAY).replace(day=1),
        "ChargeCategory": "Usage",
        "ChargeDescription": f"{model}, {day['endpoint']}",
        "ChargeFrequency": "Usage-Based",
        "ChargePeriodStart": start,
        "ChargePeriodEnd": start + DAY,
        "ResourceId": str(day["key_id"]),
        "ResourceName": called.get(day["key_id"]),
        "ResourceType": "API key",
        "ServiceCategory": "AI and Machine Learning",
        "ServiceName": provider,
        "ServiceSubcategory": "Generative AI",
        "SkuId": f"{provider}/{model}",
        "SubAccountId": str(day["workspace_id"]),
        "SubAccountName": called.get(day["workspace_id"]),
        "SubAccountType": "Workspace",
        "Tags": json.dumps(tags),
        "x_Endpoint": day["endpoint"],
        "x_Requests": day["requests"],
        "x_UnpricedRequests": day["unpriced_requests"],
        "x_InputTokens": read,
        "x_CachedInputTokens": cached,
        "x_OutputTokens": written,
    }
