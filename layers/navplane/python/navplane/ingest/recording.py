"""Events become rows, and rows become the charges that the gate is told: what the writer and the reaper share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from navplane.gate.gate import Charge, Gate
from navplane.ingest.price import price
from navplane.model.ids import RequestId
from navplane.model.usage import Outcome
from navplane.model.usage_event import UsageEvent
from navplane.store import api_key_uses
from navplane.store.database import Database
from navplane.store.request_logs import Standing, Unrecordable, best_of_each, record, standing

NOBODYS = "no reservation and no key is known for it"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """An event proven to be unrecordable by itself, and why, in printable ASCII."""

    event: UsageEvent
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    rows: tuple[Standing, ...]
    refused: Mapping[RequestId, Refused]


def record_what_can_be(database: Database, events: Sequence[UsageEvent]) -> Recorded:
    """Record `events` in one transaction; only if Postgres refuses what they say, in halves, until what is refused is alone.

    Any other failure rises, and then nothing or only a part is recorded: repeating all of it is harmless.
    """
    best = best_of_each(events)
    try:
        with database.transaction() as db:
            result = record(db, best, price=price)
            api_key_uses.note(db, [row.request_id for row in result.rows])
    except Unrecordable as exc:
        return _record_halves(database, best, exc)
    nobodys = (event for event in best if event.request_id in result.ownerless)
    return Recorded(rows=result.rows, refused={event.request_id: Refused(event=event, reason=NOBODYS) for event in nobodys})


def _record_halves(database: Database, events: Sequence[UsageEvent], cause: Unrecordable) -> Recorded:
    if len(events) == 1:
        return Recorded(rows=(), refused={events[0].request_id: Refused(event=events[0], reason=str(cause))})
    middle = len(events) // 2
    left, right = (record_what_can_be(database, half) for half in (events[:middle], events[middle:]))
    return Recorded(rows=left.rows + right.rows, refused={**left.refused, **right.refused})


def tell_gate(
    gate: Gate,
    database: Database,
    rows: Sequence[Standing],
    *,
    now: datetime,
    estimates: Mapping[RequestId, Charge] | None = None,
) -> None:
    """Finalize with what the rows weigh, until none of them has changed meanwhile.

    Another process may supersede a row between our commit and our word to the gate, and its word may come first. Looking
    again afterwards mends that: either its commit is seen here, or its word is still to come and is the last one.
    """
    while rows:
        gate.finalize(charges(rows, estimates=estimates), now)
        told = {row.request_id: row.revision for row in rows}
        with database.connection() as db:
            rows = [row for row in standing(db, list(told)) if row.revision != told[row.request_id]]


def charges(rows: Sequence[Standing], *, estimates: Mapping[RequestId, Charge] | None = None) -> dict[RequestId, Charge]:
    """What each row weighs as it stands. A row that the reaper closed weighs what its reservation estimated, which only the
    reaper knows: without an estimate such a row is left out."""
    known = estimates or {}
    closed = {row.request_id for row in rows if row.outcome is Outcome.LOST}
    return {
        row.request_id: known[row.request_id] if row.request_id in closed else _charge(row)
        for row in rows
        if row.request_id not in closed or row.request_id in known
    }


def _charge(row: Standing) -> Charge:
    return Charge(tokens=row.tokens, nano_usd=int((row.cost_usd or 0) * 10**9))
