"""What exports hold: requests, sums by dimensions and costs by day as tables, of one organization or, with None, of all."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from navplane.admin import focus
from navplane.admin.table import Column, Kind, Table
from navplane.model.ids import RequestId
from navplane.store import exports, names
from navplane.store import usage as store
from navplane.store.database import Connection
from navplane.store.exports import DAILY_COLUMNS, REQUEST_COLUMNS
from navplane.store.request_filter import Wanted
from navplane.store.rollups import SUMS
from navplane.store.usage import Dimension, Selection

ORGANIZATION = Column(name="org_id", kind=Kind.TEXT)
_KINDS = {
    "created_at": Kind.TIME, "cost_usd": Kind.DECIMAL, "stream": Kind.BOOLEAN, "demo": Kind.BOOLEAN,
    **dict.fromkeys(("status", "web_searches", "attempts", "first_byte_ms", "duration_ms", "revision"), Kind.INTEGER),
    **{name: Kind.INTEGER for name in REQUEST_COLUMNS if name.endswith("_tokens")},
}  # fmt: skip
REQUESTS = tuple(Column(name=name, kind=_KINDS.get(name, Kind.TEXT)) for name in REQUEST_COLUMNS)


def requests(
    db: Connection, *, org_id: UUID | None, wanted: Wanted, limit: int, cursor: RequestId | None
) -> tuple[Table, str | None]:
    """Newest first, and the cursor of what follows, if something does."""
    rows = exports.requests(db, org_id=org_id, wanted=wanted, limit=limit + 1, cursor=cursor)
    columns = REQUESTS if org_id is not None else (*REQUESTS, ORGANIZATION)
    return Table(columns=columns, rows=rows[:limit]), rows[limit - 1][0] if len(rows) > limit else None


def usage_columns(by: Sequence[Dimension]) -> tuple[Column, ...]:
    ids = [column for name in by for column in ((name, Kind.TEXT), (f"{name.removesuffix('_id')}_name", Kind.TEXT))]
    sums = [(name, Kind.DECIMAL if name == "cost_usd" else Kind.INTEGER) for name in SUMS]
    return tuple(Column(name=name, kind=kind) for name, kind in [*ids, *sums])


def usage(db: Connection, *, org_id: UUID | None, selection: Selection, by: Sequence[Dimension], limit: int) -> Table:
    """All groups of a breakdown, `limit` at most; ids with what they are called."""
    _, groups = store.breakdown(db, org_id=org_id, selection=selection, by=by, limit=limit)
    ids = {name: [group[name] for group, _ in groups] for name in by}
    called = {name: names.in_files(db, dimension=name, ids=ids[name], org_id=org_id) for name in by}
    rows = [
        [
            *(text for name in by for text in (_text(group[name]), called[name].get(group[name]))),
            *(_held(getattr(totals, name)) for name in SUMS),
        ]
        for group, totals in groups
    ]
    return Table(columns=usage_columns(by), rows=rows)


def costs(db: Connection, *, org_id: UUID | None, start: datetime, end: datetime, limit: int) -> Table:
    """In the shape of FOCUS, `limit` rows at most; `start` and `end` are UTC midnights."""
    days = [
        dict(zip(DAILY_COLUMNS, row, strict=True))
        for row in exports.daily(db, org_id=org_id, start=start, end=end, limit=limit)
    ]
    called: dict[UUID, str] = {}
    for dimension in (Dimension.ORGANIZATION, Dimension.WORKSPACE, Dimension.KEY):
        ids = list({day[dimension] for day in days})
        called |= names.in_files(db, dimension=dimension, ids=ids, org_id=org_id)
    return focus.table(days, called=called)


def _held(value: int | Decimal) -> int | Decimal:
    """A provider's nonsense adds up to more than a column of a file can hold."""
    return min(value, focus.LARGEST)


def _text(value: object) -> str | None:
    return None if value is None else str(value)
