"""Tables as files that people and programs open: CSV, JSON, Parquet."""

import csv
import io
import json
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from fastapi.responses import StreamingResponse

from navplane.admin.parquet import parquet
from navplane.admin.table import Column, Kind, Table

# What a spreadsheet takes for a formula.
FORMULA = ("=", "+", "-", "@", "\t", "\r")
PIECE = 500


class Format(StrEnum):
    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"


MEDIA_TYPES = {
    Format.CSV: "text/csv; charset=utf-8",
    Format.JSON: "application/json",
    Format.PARQUET: "application/vnd.apache.parquet",
}


def as_file(table: Table, file_format: Format, *, name: str, next_cursor: str | None = None) -> StreamingResponse:
    """Streamed; the cursor of the next part, if there is one, is in a header."""
    pieces = {Format.CSV: as_csv, Format.JSON: as_json, Format.PARQUET: parquet}[file_format](table)
    headers = {"content-disposition": f'attachment; filename="{name}.{file_format}"'}
    if next_cursor is not None:
        headers["x-navplane-next-cursor"] = next_cursor
    return StreamingResponse(pieces, media_type=MEDIA_TYPES[file_format], headers=headers)


def as_csv(table: Table) -> Iterator[bytes]:
    text = io.StringIO()
    lines = csv.writer(text)
    lines.writerow([column.name for column in table.columns])
    for number, row in enumerate(table.rows, start=1):
        lines.writerow([_cell(column, value) for column, value in zip(table.columns, row, strict=True)])
        if number % PIECE == 0:
            yield text.getvalue().encode()
            text.seek(0)
            text.truncate()
    yield text.getvalue().encode()


def _cell(column: Column, value: Any) -> str:
    """Only a text can be somebody else's: a number that begins with a minus stays a number."""
    text = str(_plain(value)) if value is not None else ""
    return "'" + text if column.kind is Kind.TEXT and text.startswith(FORMULA) else text


def as_json(table: Table) -> Iterator[bytes]:
    """A list of objects. Money is text."""
    names = [column.name for column in table.columns]
    yield b"["
    for first in range(0, len(table.rows), PIECE):
        piece = (dict(zip(names, map(_plain, row), strict=True)) for row in table.rows[first : first + PIECE])
        yield (",\n" if first else "").encode() + ",\n".join(json.dumps(one) for one in piece).encode()
    yield b"]\n"


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bool):
        return value
    return f"{value:f}" if isinstance(value, Decimal) else value
