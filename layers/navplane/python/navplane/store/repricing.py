"""Rows weighed again: what they cost is replaced, and what they cost before is not forgotten: the difference is an entry."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from navplane.model.ids import RequestId
from navplane.model.price import Price, PriceSource
from navplane.model.usage import Endpoint, Outcome, PriceQuality, Usage, UsageQuality
from navplane.model.usage_event import UsageEvent
from navplane.store.database import Connection
from navplane.store.ledger import AGREED, ENTER
from navplane.store.request_logs import data_errors_told
from navplane.store.rollups import CHANGES, MOVES, adding_up

_COUNTS = tuple(Usage.__dataclass_fields__)
_FACTS = (
    "request_id", "org_id", "workspace_id", "key_id", "endpoint", "region", "started_at", "status", "outcome", "usage_quality",
    "provider", "model", "response_model", "demo", "service_tier",
)  # fmt: skip

# What a provider said a call cost was not always kept beside its row; where its word counted, the row's cost is that word.
_ROWS = f"""
SELECT revision, coalesce(provider_cost_usd, CASE price_quality WHEN 'provider_reported' THEN cost_usd END),
       {", ".join((*_FACTS, *_COUNTS))}
  FROM public.request_logs
 WHERE org_id = :org_id AND request_id > :after AND request_id < :beyond
 ORDER BY request_id LIMIT :limit FOR UPDATE
"""  # noqa: S608 - names of our own columns

# As in recording: from what was there before and what is there after, an entry and the difference in each sum, at once.
_REPRICE = f"""
WITH given AS (
    SELECT log.org_id, offer.*, {", ".join(f"log.{name}" for name in ("provider", "model", "response_model", *_COUNTS))}
      FROM jsonb_to_recordset(:offers::jsonb) AS offer (request_id uuid, revision integer, cost_usd numeric,
               price_quality text, price_version text, price_source text, negotiable boolean)
      JOIN public.request_logs AS log USING (request_id)
), owners AS (
    SELECT request_id, org_id FROM given
), priced AS (
    SELECT given.request_id, given.revision, coalesce(agreed.cost_usd, given.cost_usd) AS cost_usd,
           CASE WHEN agreed.id IS NULL THEN given.price_quality ELSE '{PriceQuality.PRICED}' END AS price_quality,
           coalesce('override ' || agreed.id, given.price_version) AS price_version,
           CASE WHEN agreed.id IS NULL THEN given.price_source ELSE '{PriceSource.OVERRIDE}' END AS price_source
      FROM given JOIN owners USING (request_id)
      LEFT JOIN LATERAL ({AGREED}) AS agreed ON given.negotiable
), changed AS (
    UPDATE public.request_logs AS log
       SET cost_usd = priced.cost_usd, price_quality = priced.price_quality, price_version = priced.price_version,
           revision = log.revision + 1
      FROM priced
     WHERE log.request_id = priced.request_id AND log.revision = priced.revision
       AND (log.cost_usd, log.price_quality) IS DISTINCT FROM (priced.cost_usd, priced.price_quality)
    {CHANGES}
), entered AS ({ENTER}), moved AS ({MOVES}), {adding_up()}
SELECT request_id, coalesce(cost_usd, 0) - coalesce(was_cost_usd, 0) FROM changed
"""  # noqa: S608 - names of our own columns


@dataclass(frozen=True, slots=True, kw_only=True)
class PricedRow:
    """`event` is what of the row its price depends on."""

    event: UsageEvent
    revision: int


def rows_between(db: Connection, *, org_id: UUID, after: RequestId, beyond: RequestId, limit: int) -> list[PricedRow]:
    """Up to `limit` rows behind `after` and before `beyond`, oldest first, held against every other change."""
    return [_row(row) for row in db.run(_ROWS, org_id=org_id, after=after, beyond=beyond, limit=limit)]


def reprice(db: Connection, priced: Sequence[tuple[PricedRow, Price]]) -> dict[RequestId, Decimal]:
    """By how much each row that costs something else now changed, in USD; an agreed price goes before the offered one, as in
    recording. The rest stays as it is, by what priced it. Raise Unrecordable, with the transaction aborted, for a cost that no
    column holds."""
    offers = [_offer(row, price) for row, price in priced]
    with data_errors_told():
        return {row[0]: row[1] for row in db.run(_REPRICE, offers=json.dumps(offers, default=str))}


def _offer(row: PricedRow, price: Price) -> dict[str, Any]:
    return {
        "request_id": row.event.request_id,
        "revision": row.revision,
        "cost_usd": price.cost_usd,
        "price_quality": price.quality,
        "price_version": price.version,
        "price_source": price.source,
        "negotiable": price.negotiable,
    }


def _row(values: Sequence[Any]) -> PricedRow:
    revision, provider_cost, *rest = values
    facts = dict(zip(_FACTS, rest, strict=False))
    facts["endpoint"], facts["outcome"] = Endpoint(facts["endpoint"]), Outcome(facts["outcome"])
    facts["usage_quality"] = UsageQuality(facts["usage_quality"])
    usage = Usage(**dict(zip(_COUNTS, rest[len(_FACTS) :], strict=True)))
    return PricedRow(event=UsageEvent(**facts, usage=usage, provider_cost_usd=provider_cost), revision=revision)
