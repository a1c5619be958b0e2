"""Tables as files that people and programs open: CSV, JSON, Parquet. Piece by piece, so that a file may be begun by one and
gone on with by another: however it is made, its bytes are the same."""

import csv
import io
import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from navplane.admin import parquet
from navplane.admin.table import Column, Kind, Piece, Place, Table
from navplane.model.export_job import ExportFormat

# What a spreadsheet takes for a formula.
FORMULA = ("=", "+", "-", "@", "\t", "\r")
# Rows of a piece. A function's answer may have 6 MB and a row some two kilobytes. It is part of what a Parquet file looks like:
# a job that was begun with another one ends with groups of two sizes, which is no harm.
PIECE = 1000

MEDIA_TYPES = {
    ExportFormat.CSV: "text/csv; charset=utf-8",
    ExportFormat.JSON: "application/json",
    ExportFormat.PARQUET: "application/vnd.apache.parquet",
}


@dataclass(frozen=True, slots=True)
class FileFormat:
    """How a file begins, how some rows go on from a place, and how it ends, given what its pieces left to be said of them."""

    begin: Callable[[Sequence[Column]], bytes]
    rows: Callable[[Sequence[Column], Sequence[Sequence[Any]], Place], Piece]
    end: Callable[[Sequence[Column], Sequence[bytes], Place], bytes]


def as_file(table: Table, file_format: ExportFormat) -> Iterator[bytes]:
    """The file, piece by piece."""
    shape, described = FORMATS[file_format], list[bytes]()
    beginning = shape.begin(table.columns)
    yield beginning
    at = Place(bytes=len(beginning), rows=0)
    for rows in in_pieces(table):
        piece = shape.rows(table.columns, rows, at)
        yield piece.content
        at = at.after(piece)
        described.append(piece.described)
    yield shape.end(table.columns, described, at)


def in_pieces(table: Table) -> Iterator[Sequence[Sequence[Any]]]:
    apart = table.apart
    runs = [table.rows] if apart is None else (list(run) for _, run in itertools.groupby(table.rows, lambda row: row[apart]))
    for rows in runs:
        yield from (rows[first : first + PIECE] for first in range(0, len(rows), PIECE))


def _csv_begin(columns: Sequence[Column]) -> bytes:
    return _lines([[column.name for column in columns]])


def _csv_rows(columns: Sequence[Column], rows: Sequence[Sequence[Any]], _at: Place) -> Piece:
    cells = [[_cell(column, value) for column, value in zip(columns, row, strict=True)] for row in rows]
    return Piece(content=_lines(cells), described=b"", rows=len(rows))


def _lines(rows: Sequence[Sequence[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def _cell(column: Column, value: Any) -> str:
    """Only a text can be somebody else's: a number that begins with a minus stays a number."""
    text = str(_plain(value)) if value is not None else ""
    return "'" + text if column.kind is Kind.TEXT and text.startswith(FORMULA) else text


def _json_rows(columns: Sequence[Column], rows: Sequence[Sequence[Any]], at: Place) -> Piece:
    """Objects of a list. Money is text."""
    names = [column.name for column in columns]
    objects = (json.dumps(dict(zip(names, map(_plain, row), strict=True))) for row in rows)
    return Piece(content=((",\n" if at.rows else "") + ",\n".join(objects)).encode(), described=b"", rows=len(rows))


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bool):
        return value
    return f"{value:f}" if isinstance(value, Decimal) else value


FORMATS: Mapping[ExportFormat, FileFormat] = {
    ExportFormat.CSV: FileFormat(_csv_begin, _csv_rows, lambda *_: b""),
    ExportFormat.JSON: FileFormat(lambda _: b"[", _json_rows, lambda *_: b"]\n"),
    ExportFormat.PARQUET: FileFormat(parquet.begin, parquet.group, parquet.end),
}
