"""Which stretches of a time are read from which sums: together the whole of it, once, and never more than was asked for."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from navplane.store.usage_source import DAY, EPOCH, HOUR, Dimension, Selection, floor, pieces, source

LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
START = datetime(2026, 1, 1, tzinfo=UTC)
moments = st.timedeltas(timedelta(), timedelta(days=4)).map(lambda later: START + later)
spans = st.tuples(moments, moments).filter(lambda pair: pair[0] < pair[1])


@pytest.mark.parametrize("coarsest", [None, HOUR, DAY])
@given(span=spans)
def test_the_pieces_are_the_whole_span_and_summed_ones_are_whole(
    coarsest: timedelta | None, span: tuple[datetime, datetime]
) -> None:
    found = pieces(Selection(start=span[0], end=span[1]), coarsest=coarsest, kept_from=LONG_AGO)
    assert (found[0].start, found[-1].end) == span
    assert all(left.end == right.start for left, right in pairwise(found))
    for piece in found:
        assert piece.start < piece.end
        step = piece.summed or timedelta(microseconds=1)
        assert (piece.start - EPOCH) % step == (piece.end - EPOCH) % step == timedelta()
        assert piece.summed is None or (coarsest is not None and piece.summed <= coarsest)


@given(span=spans)
def test_as_little_as_can_be_is_read_row_by_row(span: tuple[datetime, datetime]) -> None:
    found = pieces(Selection(start=span[0], end=span[1]), coarsest=DAY, kept_from=LONG_AGO)
    assert sum((piece.end - piece.start for piece in found if piece.summed is None), timedelta()) < 2 * HOUR
    assert sum((piece.end - piece.start for piece in found if piece.summed == HOUR), timedelta()) < 2 * DAY


@given(span=spans)
def test_where_rows_were_dropped_whole_hours_are_read(span: tuple[datetime, datetime]) -> None:
    kept_from = datetime(2026, 1, 3, tzinfo=UTC)
    found = pieces(Selection(start=span[0], end=span[1]), coarsest=None, kept_from=kept_from)
    assert all(piece.summed is None if piece.start >= kept_from else piece.summed == HOUR for piece in found)
    assert found[0].start == (floor(span[0], HOUR) if span[0] < kept_from else span[0])
    assert found[-1].end >= span[1]


@pytest.mark.parametrize(
    ("by", "only", "table"),
    [
        ({Dimension.MODEL}, {}, "public.org_usage_daily"),
        ({Dimension.KEY}, {}, "public.usage_daily"),
        (set(), {Dimension.USER: "somebody"}, "public.usage_daily"),
        (set(), {Dimension.PROVIDER: "openai"}, "public.org_usage_daily"),
    ],
)
def test_the_larger_sums_are_read_only_for_keys_and_users(by: set[Dimension], only: dict[Dimension, str], table: str) -> None:
    selection = Selection(start=LONG_AGO, end=LONG_AGO + DAY, only=only)
    sql, _ = source(pieces(selection, coarsest=DAY, kept_from=LONG_AGO), selection, org_id=None, by=by)
    assert f"FROM {table} " in sql
