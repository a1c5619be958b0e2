"""Pages of a list: a limit, an opaque cursor, and whether there is more."""

import base64
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, TypeVar
from uuid import UUID

from fastapi import Query

from navplane.errors import Invalid
from navplane.store.organizations import Position

DEFAULT_LIMIT = 50
MAX_LIMIT = 200
Item = TypeVar("Item")

Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="How many items at most.")]
Cursor = Annotated[str | None, Query(max_length=200, description="`next_cursor` of the page before; absent for the first.")]


def cut(found: Sequence[Item], *, limit: int) -> tuple[list[Item], Item | None]:
    """The page's items, and the last of them if more follow. `found` was asked for with a limit of one more."""
    items = list(found[:limit])
    return items, items[-1] if len(found) > limit else None


def encode(position: Position) -> str:
    return base64.urlsafe_b64encode(f"{position.created_at.isoformat()} {position.id}".encode()).decode().rstrip("=")


def decode(cursor: str | None) -> Position | None:
    """Raise Invalid for what no list ever answered."""
    if cursor is None:
        return None
    try:
        time, _, identifier = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii").partition(" ")
        created_at = datetime.fromisoformat(time)
        if created_at.tzinfo is None:
            raise ValueError("a time without a zone")
        # Converted here, because at either end of the calendar another zone's time may not exist in UTC.
        return Position(created_at=created_at.astimezone(UTC), id=UUID(identifier))
    except (ValueError, OverflowError):
        raise Invalid("The cursor is not one that a list answered with.") from None
