"""A table that is about to become a file: named, typed columns and rows of plain values."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    """What a column holds, None aside: str, int of 64 bits, Decimal of 38 digits (9 behind the point), aware datetime, bool."""

    TEXT = "text"
    INTEGER = "integer"
    DECIMAL = "decimal"
    TIME = "time"
    BOOLEAN = "boolean"


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    name: str
    kind: Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """`rows` have a value, or None, for each of `columns`. Where the value of column number `apart`
    changes, a piece of the file ends."""

    columns: tuple[Column, ...]
    rows: Sequence[Sequence[Any]]
    apart: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """What some rows became. `described` is what the end of the file will say of them; empty where it says nothing."""

    content: bytes
    described: bytes
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """How far a file has come."""

    bytes: int
    rows: int

    def after(self, piece: Piece) -> "Place":
        return Place(bytes=self.bytes + len(piece.content), rows=self.rows + piece.rows)


def columns(**kinds: Kind) -> tuple[Column, ...]:
    return tuple(Column(name=name, kind=kind) for name, kind in kinds.items())
