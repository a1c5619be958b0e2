"""Exported files as others read them: a spreadsheet, a JSON parser, and pyarrow, which is not what wrote them."""

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from navplane.admin import focus
from navplane.admin.file_formats import FORMATS, FORMULA, PIECE, as_file, in_pieces
from navplane.admin.table import Kind, Place, Table, columns
from navplane.model.export_job import ExportFormat

COLUMNS = columns(text=Kind.TEXT, count=Kind.INTEGER, cost=Kind.DECIMAL, at=Kind.TIME, yes=Kind.BOOLEAN)
NAMES = [column.name for column in COLUMNS]
START = datetime(2026, 1, 1, tzinfo=UTC)
rows = st.lists(
    st.tuples(
        st.none() | st.text(st.characters(codec="utf-8")),
        st.none() | st.integers(-(2**63), 2**63 - 1),
        st.none() | st.decimals(min_value=-(10**11), max_value=10**11, places=9, allow_nan=False),
        st.none() | st.timedeltas(timedelta(days=-40_000), timedelta(days=40_000)).map(lambda later: START + later),
        st.none() | st.booleans(),
    ),
    max_size=40,
)


def file(table: Table, file_format: ExportFormat) -> bytes:
    return b"".join(as_file(table, file_format))


def read(table: Table) -> pa.Table:
    return pq.read_table(io.BytesIO(file(table, ExportFormat.PARQUET)))


@given(rows=rows)
def test_a_parquet_file_says_what_the_table_says(rows: list[tuple[Any, ...]]) -> None:
    found = read(Table(columns=COLUMNS, rows=rows))
    assert [tuple(row[name] for name in NAMES) for row in found.to_pylist()] == rows
    assert found.schema.types == [pa.string(), pa.int64(), pa.decimal128(38, 9), pa.timestamp("us", "UTC"), pa.bool_()]


def test_a_parquet_file_of_several_groups_is_whole() -> None:
    rows = [(None if n % 7 == 0 else str(n), n, Decimal(n).scaleb(-9), START, n % 3 == 0) for n in range(2 * PIECE + 1)]
    found = read(Table(columns=COLUMNS, rows=rows))
    assert [tuple(row.values()) for row in found.to_pylist()] == rows


@pytest.mark.parametrize("file_format", ExportFormat)
def test_a_file_that_one_begins_and_others_go_on_with_is_the_one_that_is_made_at_once(file_format: ExportFormat) -> None:
    rows = [(str(n), n, Decimal(n), START, None) for n in range(2 * PIECE + 7)]
    shape, described = FORMATS[file_format], list[bytes]()
    made = shape.begin(COLUMNS)
    for some in in_pieces(Table(columns=COLUMNS, rows=rows)):
        piece = shape.rows(COLUMNS, some, Place(bytes=len(made), rows=sum(1 for _ in described) * PIECE))
        made += piece.content
        described.append(piece.described)
    made += shape.end(COLUMNS, described, Place(bytes=len(made), rows=len(rows)))
    assert made == file(Table(columns=COLUMNS, rows=rows), file_format)


@given(rows=rows)
def test_json_says_what_the_table_says_with_money_as_text(rows: list[tuple[Any, ...]]) -> None:
    found = json.loads(file(Table(columns=COLUMNS, rows=rows), ExportFormat.JSON))
    assert [(row["text"], row["count"], row["yes"]) for row in found] == [(row[0], row[1], row[4]) for row in rows]
    assert [None if row["cost"] is None else Decimal(row["cost"]) for row in found] == [row[2] for row in rows]


@pytest.mark.parametrize("beginning", FORMULA)
def test_a_text_that_a_spreadsheet_would_run_is_text(beginning: str) -> None:
    evil = f'{beginning}HYPERLINK("http://evil.example","x")'
    table = Table(columns=COLUMNS, rows=[(evil, -5, Decimal("-0.5"), START, True)])
    written = file(table, ExportFormat.CSV).decode()
    _, row = csv.reader(io.StringIO(written, newline=""))
    assert row == ["'" + evil, "-5", "-0.5", START.isoformat(), "True"]


@given(rows=rows)
def test_no_cell_of_a_csv_file_begins_like_a_formula_but_numbers(rows: list[tuple[Any, ...]]) -> None:
    written = file(Table(columns=COLUMNS, rows=rows), ExportFormat.CSV).decode()
    _, *found = csv.reader(io.StringIO(written, newline=""))
    assert len(found) == len(rows)
    for row, given_row in zip(found, rows, strict=True):
        assert not row[0].startswith(FORMULA)
        assert row[0].removeprefix("'") == (given_row[0] or "").removeprefix("'")
        assert (Decimal(row[2]) if row[2] else None) == given_row[2]


# The columns that FOCUS 1.2 always demands, and those of its conditional ones whose condition holds here.
FOCUS = {
    "BilledCost", "BillingAccountId", "BillingAccountName", "BillingAccountType", "BillingCurrency", "BillingPeriodEnd",
    "BillingPeriodStart", "ChargeCategory", "ChargeClass", "ChargeDescription", "ChargePeriodEnd", "ChargePeriodStart",
    "ConsumedQuantity", "ConsumedUnit", "ContractedCost", "EffectiveCost", "InvoiceIssuerName", "ListCost", "PricingQuantity",
    "PricingUnit", "ProviderName", "PublisherName", "RegionId", "ResourceId", "ResourceName", "ResourceType", "ServiceCategory",
    "ServiceName", "SkuId", "SubAccountId", "SubAccountName", "SubAccountType", "Tags",
}  # fmt: skip
RECOMMENDED = {"ChargeFrequency", "ServiceSubcategory"}


def test_a_cost_export_has_the_columns_of_its_focus_version_and_marks_its_own() -> None:
    names = {column.name for column in focus.COLUMNS}
    assert focus.VERSION == "1.2"
    assert names >= FOCUS
    assert {name for name in names - FOCUS if not name.startswith("x_")} == RECOMMENDED
