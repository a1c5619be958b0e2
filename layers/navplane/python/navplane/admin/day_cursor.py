"""Cursors of lists that are in the order of days."""

import base64
from datetime import date
from uuid import UUID

from navplane.errors import Invalid


def encode_day(day: date, row_id: UUID) -> str:
    return base64.urlsafe_b64encode(f"{day.isoformat()} {row_id}".encode()).decode().rstrip("=")


def decode_day(cursor: str | None) -> tuple[date, UUID] | None:
    """Raise Invalid for what no list ever answered."""
    if cursor is None:
        return None
    try:
        day, _, row_id = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii").partition(" ")
        return date.fromisoformat(day), UUID(row_id)
    except ValueError:
        raise Invalid("The cursor is not one that a list answered with.") from None
