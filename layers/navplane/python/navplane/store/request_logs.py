"""request_logs: one row per request, whatever arrives how often and in which order."""

import json
import math
import re
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from operator import attrgetter
from typing import Any
from uuid import UUID

from pg8000.exceptions import DatabaseError
from pg8000.native import PreparedStatement

from navplane.model.ids import RequestId
from navplane.model.price import UNPRICED, Price, PriceSource
from navplane.model.usage import Outcome, PriceQuality, Usage, UsageQuality
from navplane.model.usage_event import UsageEvent
from navplane.store.database import Connection, sqlstate
from navplane.store.ledger import AGREED, ENTER
from navplane.store.rollups import CHANGES, MOVES, adding_up

# Which fact wins: a later one supersedes the row of its request only from further right.
QUALITIES = (UsageQuality.LOST, UsageQuality.ESTIMATED, UsageQuality.EXACT)

# What an event fills in, in the types of the table. Whose row it is, is not among these.
_FACTS = {
    "endpoint": "text",
    "region": "text",
    "started_at": "timestamptz",
    "status": "integer",
    "outcome": "text",
    "usage_quality": "text",
    "provider": "text",
    "provider_key_id": "uuid",
    "model": "text",
    "response_model": "text",
    "stream": "boolean",
    "demo": "boolean",
    "error_code": "text",
    "raw_usage": "jsonb",
    "service_tier": "text",
    "provider_request_id": "text",
    "finish_reason": "text",
    "attempts": "integer",
    "first_byte_ms": "integer",
    "duration_ms": "integer",
    "request_bytes": "bigint",
    "response_bytes": "bigint",
    "client": "text",
    "provider_cost_usd": "numeric",
    "route": "text",
    "workflow_version_id": "uuid",
    "upstream_model": "text",
    "attempt_log": "jsonb",
}
_FACT_NAMES = ("request_id", "key_id", *_FACTS)
_COUNTS = dict.fromkeys(Usage.__dataclass_fields__, "bigint")
_COLUMNS = {**_FACTS, **_COUNTS}

# What a price fills in, and how it comes with its event.
_PRICE = {"cost_usd": "numeric", "price_quality": "text", "price_version": "text"}
_OFFER = {**_PRICE, "price_source": "text", "negotiable": "boolean"}
_STORED = (*_COLUMNS, *_PRICE)

# Of some rows, what Standing holds. As one document: to take so many values apart costs pg8000 a third of what the statement
# itself costs Postgres.
_STANDS = """
SELECT coalesce(json_agg(json_build_array(
           request_id, outcome, usage_quality, input_tokens + output_tokens, cost_usd::text, revision,
           price_quality = 'unpriced' AND NOT demo AND usage_quality <> 'lost')), '[]')::text
"""
_STANDING = f"{_STANDS} FROM public.request_logs WHERE request_id = ANY(:ids::uuid[])"

# One document in place of an array per column: pg8000 writes the text 'null' into an array as NULL, and unnest would spread
# a nested array over other events' rows. One statement for the rows and for all that follows from them: from what was there
# before and what is there after, an entry in the ledger and the difference in each sum. Every writer locks in the same order.
_RECORD = f"""
WITH given AS (
    SELECT request_id, key_id, {", ".join((*_FACTS, *(f"coalesce({name}, 0) AS {name}" for name in _COUNTS), *_OFFER))}
      FROM json_to_recordset(:events::json)
        AS e (request_id uuid, key_id uuid, {", ".join(f"{name} {kind}" for name, kind in {**_COLUMNS, **_OFFER}.items())})
), owners AS (
    SELECT o.* FROM (SELECT array_agg(request_id) AS requests, array_agg(key_id) AS keys FROM given) AS asked,
        public.usage_owners(asked.requests, asked.keys) AS o
), priced AS (
    SELECT given.request_id, owners.org_id, owners.workspace_id, owners.key_id, owners.user_id,
           {", ".join(f"given.{name}" for name in _COLUMNS)},
           coalesce(agreed.cost_usd, given.cost_usd) AS cost_usd,
           CASE WHEN agreed.id IS NULL THEN given.price_quality ELSE '{PriceQuality.PRICED}' END AS price_quality,
           coalesce('override ' || agreed.id, given.price_version) AS price_version,
           CASE WHEN agreed.id IS NULL THEN given.price_source ELSE '{PriceSource.OVERRIDE}' END AS price_source
      FROM given JOIN owners USING (request_id)
      LEFT JOIN LATERAL ({AGREED}) AS agreed ON given.negotiable
), changed AS (
    INSERT INTO public.request_logs AS log (request_id, org_id, workspace_id, key_id, user_id, {", ".join(_STORED)})
    SELECT request_id, org_id, workspace_id, key_id, user_id, {", ".join(_STORED)} FROM priced ORDER BY request_id
    ON CONFLICT (request_id) DO UPDATE
       SET {", ".join(f"{name} = excluded.{name}" for name in _STORED)}, revision = log.revision + 1, recorded_at = now()
     WHERE array_position(:qualities::text[], excluded.usage_quality) > array_position(:qualities::text[], log.usage_quality)
    {CHANGES}
), entered AS ({ENTER}), moved AS ({MOVES}), {adding_up()}
{_STANDS} FROM changed
"""  # noqa: S608 - what is filled in are names of our own columns

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
# How JSON says what may be unstorable. It says the same of other characters: a look does no harm.
_SUSPECT = ("\\u0000", "\\ud", "NaN", "Infinity")

# Data exceptions and violated constraints, a missing partition included. Everything else (a lock, a full disk, a missing
# grant) is not the events' fault and may pass.
_DATA_ERRORS = ("22", "23")


# Postgres has one code for this and for a violated CHECK, but only a CHECK has a name.
NO_PARTITION = "there is no partition for its month: retention has dropped it, or its time is no real one"


class Unrecordable(Exception):
    """Postgres refused what the events say: at least one of them can never be stored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A request's row as it stands: this delivery's or a better one. `tokens` is input plus output. `unpriced`: something was
    used, by a real call, and nobody knows its price."""

    request_id: RequestId
    outcome: Outcome
    usage_quality: UsageQuality
    tokens: int
    cost_usd: Decimal | None
    revision: int
    unpriced: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordResult:
    """`ownerless`: neither a reservation nor a key is known for these, so no organization may be charged for them."""

    rows: tuple[Standing, ...]
    ownerless: frozenset[RequestId]


def record(
    db: Connection, events: Sequence[UsageEvent], *, price: Callable[[UsageEvent], Price] = lambda _: UNPRICED
) -> RecordResult:
    """Insert or supersede the rows of `events`, with what follows from them for the ledger and the sums, in one statement.
    Repeating it, in any order, ends in the same rows, entries that add up to the same costs, and the same sums.

    Organization, workspace and key come from the reservation or from the key's own row, never from the event. Raise
    Unrecordable, with the transaction aborted, if Postgres refuses a value or there is no partition for a request id.
    """
    best = best_of_each(events)
    if not best:
        return RecordResult(rows=(), ownerless=frozenset())
    with data_errors_told():
        events_json = _storable_json([_document(event, price(event)) for event in best])
        changed = _stand(_prepared(db).run(events=events_json, qualities=list(QUALITIES)))
        others = {event.request_id for event in best} - {row.request_id for row in changed}
        unchanged = standing(db, list(others)) if others else ()
    return RecordResult(rows=changed + unchanged, ownerless=frozenset(others - {row.request_id for row in unchanged}))


@contextmanager
def data_errors_told() -> Iterator[None]:
    """Raise Unrecordable for what Postgres refuses because of what the data say."""
    try:
        yield
    except DatabaseError as exc:
        if (code := sqlstate(exc)) == "23514" and "n" not in exc.args[0]:
            raise Unrecordable(NO_PARTITION) from exc
        if code[:2] in _DATA_ERRORS:
            # The server's message may quote the value it refused, so only its code is passed on.
            raise Unrecordable(f"SQLSTATE {code}") from exc
        raise


# pg8000 reads a statement letter by letter; for this one that takes a fifth of the time of a batch.
_statements: weakref.WeakKeyDictionary[Connection, PreparedStatement] = weakref.WeakKeyDictionary()


def _prepared(db: Connection) -> PreparedStatement:
    return _statements.get(db) or _statements.setdefault(db, db.prepare(_RECORD))


def standing(db: Connection, request_ids: Sequence[RequestId]) -> tuple[Standing, ...]:
    """The rows as they stand; a request without a row is left out."""
    return _stand(db.run(_STANDING, ids=list(request_ids)))


def _stand(answer: Sequence[Sequence[str]]) -> tuple[Standing, ...]:
    return tuple(_standing(row) for row in json.loads(answer[0][0]))


def best_of_each(events: Iterable[UsageEvent]) -> list[UsageEvent]:
    """One event per request: of several the one of the best quality, and of equals the first."""
    best: dict[RequestId, UsageEvent] = {}
    for event in events:
        known = best.get(event.request_id)
        if known is None or QUALITIES.index(event.usage_quality) > QUALITIES.index(known.usage_quality):
            best[event.request_id] = event
    return list(best.values())


_facts_of = attrgetter(*_FACT_NAMES)
_counts_of = attrgetter(*_COUNTS)


def _document(event: UsageEvent, price: Price) -> dict[str, Any]:
    """What is not there is NULL, or 0 if it is a count."""
    facts = {name: value for name, value in zip(_FACT_NAMES, _facts_of(event), strict=True) if value is not None}
    offer = {
        "cost_usd": price.cost_usd,
        "price_quality": price.quality,
        "price_version": price.version,
        "price_source": price.source,
        "negotiable": price.negotiable,
    }
    counts = {name: count for name, count in zip(_COUNTS, _counts_of(event.usage), strict=True) if count}
    return facts | counts | offer


def _storable_json(documents: list[dict[str, Any]]) -> str:
    """Each value is looked at only where something can be wrong with one of them."""
    found = json.dumps(documents, default=str)
    return json.dumps(_storable(documents), default=str) if any(text in found for text in _SUSPECT) else found


def _storable(value: Any) -> Any:
    """`value` without what JSON can say and Postgres can't keep: a caller chooses a model's name, and a provider its usage."""
    if isinstance(value, str):
        return _UNSTORABLE.sub("\N{REPLACEMENT CHARACTER}", value)
    if isinstance(value, dict):
        return {_storable(name): _storable(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_storable(inner) for inner in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _standing(row: Sequence[Any]) -> Standing:
    return Standing(
        request_id=UUID(row[0]),
        outcome=Outcome(row[1]),
        usage_quality=UsageQuality(row[2]),
        tokens=row[3],
        cost_usd=None if row[4] is None else Decimal(row[4]),
        revision=row[5],
        unpriced=row[6],
    )
