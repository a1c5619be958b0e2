"""Where the usage of a time is read from: days and hours that were summed, rows where an hour is cut. All answer the same."""

from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from navplane.model.ids import smallest_id_of
from navplane.store.rollups import ROLLUPS, SUMS

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Dimension(StrEnum):
    ORGANIZATION = "org_id"
    WORKSPACE = "workspace_id"
    KEY = "key_id"
    USER = "user_id"
    PROVIDER = "provider"
    MODEL = "model"
    ENDPOINT = "endpoint"


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """From `start` on and before `end`, both aware; of real calls, or of those that the demo upstream answered; and only those
    that have these values."""

    start: datetime
    end: datetime
    demo: bool = False
    only: Mapping[Dimension, UUID | str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A stretch of time. `summed` by HOUR or by DAY, or None: row by row."""

    start: datetime
    end: datetime
    summed: timedelta | None


def pieces(selection: Selection, *, coarsest: timedelta | None, kept_from: datetime) -> list[Piece]:
    """The selection's time, in order. Before `kept_from`, a midnight, rows were dropped: there whole hours are all that is
    known, and an hour that the selection cuts counts as a whole."""
    start, found = selection.start, list[Piece]()
    if start < kept_from:
        until = min(ceiling(selection.end, HOUR), kept_from)
        found += _summed(floor(start, HOUR), until, coarsest or HOUR)
        start = kept_from
    if start < selection.end:
        found += _counted(start, selection.end, coarsest)
    return found


def _counted(start: datetime, end: datetime, coarsest: timedelta | None) -> Iterator[Piece]:
    first, last = ceiling(start, HOUR), floor(end, HOUR)
    if coarsest is None or first >= last:
        yield Piece(start=start, end=end, summed=None)
        return
    if start < first:
        yield Piece(start=start, end=first, summed=None)
    yield from _summed(first, last, coarsest)
    if last < end:
        yield Piece(start=last, end=end, summed=None)


def _summed(start: datetime, end: datetime, coarsest: timedelta) -> Iterator[Piece]:
    first, last = ceiling(start, coarsest), floor(end, coarsest)
    if first >= last:
        yield Piece(start=start, end=end, summed=HOUR)
        return
    if start < first:
        yield Piece(start=start, end=first, summed=HOUR)
    yield Piece(start=first, end=last, summed=coarsest)
    if last < end:
        yield Piece(start=last, end=end, summed=HOUR)


def floor(moment: datetime, step: timedelta) -> datetime:
    return moment - (moment - EPOCH) % step


def ceiling(moment: datetime, step: timedelta) -> datetime:
    return moment + (EPOCH - moment) % step


def source(found: list[Piece], selection: Selection, *, org_id: UUID | None, by: Set[Dimension]) -> tuple[str, dict[str, Any]]:
    """The SELECT that the pieces make, with the columns of `by`, `starts_at` and the sums; and its arguments. Keys and users
    are looked at only where they are asked for."""
    finest = bool((by | selection.only.keys()) & {Dimension.KEY, Dimension.USER})
    arguments: dict[str, Any] = {"demo": selection.demo, **{f"only_{name}": value for name, value in selection.only.items()}}
    if org_id is not None:
        arguments["org_id"] = org_id
    selects = []
    for number, piece in enumerate(found):
        columns = ", ".join(f"{_of_row(name) if piece.summed is None else name} AS {name}" for name in sorted(by))
        select = _ROWS if piece.summed is None else f"starts_at, {', '.join(SUMS)} FROM {_table(piece.summed, finest)}"
        conditions = [*_conditions(piece, number), *_narrowing(selection, org_id, rows=piece.summed is None)]
        selects.append(f"SELECT {columns}{', ' if by else ''}{select} WHERE {' AND '.join(conditions)}")
        arguments |= _bounds(piece, number)
    return " UNION ALL ".join(selects), arguments


# One row, in the shape of an hour.
_ROWS = """
created_at AS starts_at, 1 AS requests,
       (outcome <> 'ok')::integer AS failed_requests, (price_quality = 'unpriced')::integer AS unpriced_requests,
       (usage_quality <> 'exact')::integer AS inexact_requests, input_tokens::numeric, cached_input_tokens::numeric,
       cache_write_5m_tokens::numeric + cache_write_1h_tokens AS cache_write_tokens, output_tokens::numeric,
       reasoning_tokens::numeric, cost_usd
  FROM public.request_logs
"""


def _table(summed: timedelta, finest: bool) -> str:
    span = "hour" if summed == HOUR else "day"
    return next(rollup.table for rollup in ROLLUPS if rollup.span == span and rollup.finest == finest)


def _of_row(name: Dimension) -> str:
    """A sum keeps so much of a model's name."""
    return "left(model, 200)" if name is Dimension.MODEL else name.value


def _narrowing(selection: Selection, org_id: UUID | None, *, rows: bool) -> Iterator[str]:
    if org_id is not None:
        yield "org_id = :org_id"
    yield "demo = :demo"
    for name in selection.only:
        yield f"{_of_row(name) if rows else name} = :only_{name}"


def _conditions(piece: Piece, number: int) -> tuple[str, str]:
    column = "request_id" if piece.summed is None else "starts_at"
    return f"{column} >= :from_{number}", f"{column} < :to_{number}"


def _bounds(piece: Piece, number: int) -> dict[str, Any]:
    if piece.summed is None:
        return {f"from_{number}": smallest_id_of(piece.start), f"to_{number}": smallest_id_of(piece.end)}
    return {f"from_{number}": piece.start, f"to_{number}": piece.end}
