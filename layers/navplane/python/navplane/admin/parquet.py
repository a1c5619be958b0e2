"""Parquet files: flat tables, plain values, gzip. Column by column in groups of rows; what the file says of itself is its end.

https://parquet.apache.org/docs/file-format/ and parquet.thrift, whose field numbers these are.
"""

import gzip
import itertools
import struct as binary
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from navplane.admin.table import Column, Kind, Piece, Place
from navplane.admin.thrift_compact import Field, Type, struct, varint

MAGIC = b"PAR1"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
DIGITS, SCALE, DECIMAL_BYTES = 38, 9, 16
OPTIONAL, PLAIN, RLE, GZIP = 1, 0, 3, 2


@dataclass(frozen=True, slots=True)
class Stored:
    """How a kind is stored: the number of its physical type, its description beside that, and the bytes of its values."""

    type: int
    described: tuple[Field, ...]
    encode: Callable[[Sequence[Any]], bytes]


def _texts(values: Sequence[str]) -> bytes:
    encoded = [value.encode() for value in values]
    return b"".join(binary.pack("<I", len(one)) + one for one in encoded)


def _integers(values: Sequence[int]) -> bytes:
    return binary.pack(f"<{len(values)}q", *values)


def _times(values: Sequence[datetime]) -> bytes:
    return _integers([(value - EPOCH) // MICROSECOND for value in values])


def _decimals(values: Sequence[Decimal]) -> bytes:
    return b"".join(int(value.scaleb(SCALE)).to_bytes(DECIMAL_BYTES, "big", signed=True) for value in values)


def _booleans(values: Sequence[bool]) -> bytes:
    bits = sum(1 << place for place, value in enumerate(values) if value)
    return bits.to_bytes((len(values) + 7) // 8, "little")


_UTF8, _DECIMAL, _TIMESTAMP_MICROS = 0, 5, 10
STORED = {
    Kind.TEXT: Stored(6, ((6, Type.I32, _UTF8),), _texts),
    Kind.INTEGER: Stored(2, (), _integers),
    Kind.DECIMAL: Stored(7, ((6, Type.I32, _DECIMAL), (7, Type.I32, SCALE), (8, Type.I32, DIGITS)), _decimals),
    Kind.TIME: Stored(2, ((6, Type.I32, _TIMESTAMP_MICROS),), _times),
    Kind.BOOLEAN: Stored(0, (), _booleans),
}


def begin(_columns: Sequence[Column]) -> bytes:
    return MAGIC


def group(columns: Sequence[Column], rows: Sequence[Sequence[Any]], at: Place) -> Piece:
    """One group of rows, with how the end of the file describes it."""
    content, chunks = b"", list[list[Field]]()
    for number, column in enumerate(columns):
        page, chunk = _chunk(column, [row[number] for row in rows], at=at.bytes + len(content))
        content += page
        chunks.append(chunk)
    listed: Field = (1, Type.LIST, (Type.STRUCT, chunks))
    return Piece(
        content=content, described=struct([listed, (2, Type.I64, len(content)), (3, Type.I64, len(rows))]), rows=len(rows)
    )


def end(columns: Sequence[Column], described: Sequence[bytes], at: Place) -> bytes:
    about = struct(
        [
            (1, Type.I32, 1),
            (2, Type.LIST, (Type.STRUCT, _schema(columns))),
            (3, Type.I64, at.rows),
            (4, Type.LIST, (Type.STRUCT, described)),
            (6, Type.BINARY, "navplane"),
        ]
    )
    return about + binary.pack("<I", len(about)) + MAGIC


def _schema(columns: Sequence[Column]) -> list[list[Field]]:
    root: list[Field] = [(4, Type.BINARY, "row"), (5, Type.I32, len(columns))]
    return [root, *(_described(column) for column in columns)]


def _described(column: Column) -> list[Field]:
    stored = STORED[column.kind]
    length: list[Field] = [(2, Type.I32, DECIMAL_BYTES)] if column.kind is Kind.DECIMAL else []
    return [
        (1, Type.I32, stored.type),
        *length,
        (3, Type.I32, OPTIONAL),
        (4, Type.BINARY, column.name),
        *stored.described,
    ]


def _chunk(column: Column, values: Sequence[Any], *, at: int) -> tuple[bytes, list[Field]]:
    """One page with all of a group's values of a column, and what the file's end says of it."""
    stored = STORED[column.kind]
    present = [value for value in values if value is not None]
    plain = _which_are_there(values) + stored.encode(present)
    packed = gzip.compress(plain, mtime=0)
    about_data: list[Field] = [(1, Type.I32, len(values)), (2, Type.I32, PLAIN), (3, Type.I32, RLE), (4, Type.I32, RLE)]
    header = struct([(1, Type.I32, 0), (2, Type.I32, len(plain)), (3, Type.I32, len(packed)), (5, Type.STRUCT, about_data)])
    about: list[Field] = [
        (1, Type.I32, stored.type),
        (2, Type.LIST, (Type.I32, [PLAIN, RLE])),
        (3, Type.LIST, (Type.BINARY, [column.name])),
        (4, Type.I32, GZIP),
        (5, Type.I64, len(values)),
        (6, Type.I64, len(header) + len(plain)),
        (7, Type.I64, len(header) + len(packed)),
        (9, Type.I64, at),
    ]
    return header + packed, [(2, Type.I64, at), (3, Type.STRUCT, about)]


def _which_are_there(values: Sequence[Any]) -> bytes:
    """Definition levels: runs of values that are there (1) and that are not (0)."""
    runs = b"".join(
        varint(len(list(run)) << 1) + bytes([there]) for there, run in itertools.groupby(value is not None for value in values)
    )
    return binary.pack("<I", len(runs)) + runs
