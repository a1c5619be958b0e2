"""Where rows that are wanted can be at all, as the daily sums say: a rare model is not looked for in millions of rows."""

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

from navplane.store.database import Connection
from navplane.store.request_filter import Wanted
from navplane.store.rollups import ROLLUPS
from navplane.store.usage_source import DAY

# What sums know of their rows, but for the key, whose rows have an index of their own.
SUMMED_BY = ("workspace_id", "user_id", "provider", "model", "endpoint", "demo")
EARLIEST, LATEST = datetime(1, 1, 1, tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


def bounded(db: Connection, *, org_id: UUID | None, wanted: Wanted) -> Wanted | None:
    """`wanted`, within the UTC days that have such a call; None where there is none. It selects the same rows: sums always
    agree with them. `org_id` None: of every organization, in a transaction with `platform=True`."""
    values = {name: wanted.values[name] for name in SUMMED_BY if name in wanted.values}
    if not values.keys() - {"demo"} or "key_id" in wanted.values:
        return wanted
    first, last = _days(db, org_id, wanted, values)
    if first is None or last is None:
        return None
    return replace(wanted, start=max(wanted.start or EARLIEST, first), end=min(wanted.end or LATEST, last + DAY))


def _days(db: Connection, org_id: UUID | None, wanted: Wanted, values: dict[str, object]) -> list[datetime | None]:
    table = next(each.table for each in ROLLUPS if each.span == "day" and each.finest == ("user_id" in values))
    owner = {"org_id": org_id} if org_id is not None else {}
    # A sum keeps so much of a model's name.
    equal = (f"{name} = {f'left(:is_{name}, 200)' if name == 'model' else f':is_{name}'}" for name in values)
    found: list[datetime | None] = db.run(
        f"""
        SELECT min(starts_at), max(starts_at) FROM {table}
         WHERE {"org_id = :org_id AND" if owner else ""} {" AND ".join(equal)} AND requests > 0
           AND starts_at > CAST(:since AS timestamptz) - interval '1 day' AND starts_at < :until
        """,  # noqa: S608 - what is filled in are names of our own
        since=wanted.start or EARLIEST,
        until=wanted.end or LATEST,
        **{f"is_{name}": value for name, value in values.items()},
        **owner,
    )[0]
    return found
