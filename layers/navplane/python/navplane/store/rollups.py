"""The sums by hour and by UTC day: kept by the statement that records rows, rebuilt and checked from the rows."""

from datetime import datetime
from typing import Literal

from navplane.model.ids import smallest_id_of
from navplane.store.database import Connection

Span = Literal["hour", "day"]
TABLES: dict[Span, str] = {"hour": "public.usage_hourly", "day": "public.usage_daily"}

_KEY = "org_id, workspace_id, key_id, user_id, provider, model, endpoint, demo, starts_at"
# A model's name is the caller's choice, and an index takes only so much.
_DIMENSIONS = "org_id, workspace_id, key_id, NULL::uuid, provider, left(model, 200), endpoint, demo"
SUMS = {
    "requests": "sum(sign)",
    "failed_requests": "sum(sign) FILTER (WHERE outcome <> 'ok')",
    "unpriced_requests": "sum(sign) FILTER (WHERE price_quality = 'unpriced')",
    "inexact_requests": "sum(sign) FILTER (WHERE usage_quality <> 'exact')",
    "input_tokens": "sum(sign * input_tokens::numeric)",
    "cached_input_tokens": "sum(sign * cached_input_tokens::numeric)",
    "cache_write_tokens": "sum(sign * (cache_write_5m_tokens::numeric + cache_write_1h_tokens))",
    "output_tokens": "sum(sign * output_tokens::numeric)",
    "reasoning_tokens": "sum(sign * reasoning_tokens::numeric)",
    "cost_usd": "sum(sign * coalesce(cost_usd, 0))",
}

# Each row of `changed` as it stands, and taken away again as it stood before.
MOVES = """
SELECT 1 AS sign, (after).* FROM changed
UNION ALL SELECT -1, (before).* FROM changed WHERE (before).request_id IS NOT NULL
"""


_GROUPS = ", ".join(str(n) for n in range(1, 10))
_COUNTED = ", ".join(f"coalesce({expression}, 0)" for expression in SUMS.values())


def add_up(span: Span, source: str = "moved") -> str:
    """Add the rows of `source`, in the shape of MOVES, to their sums; in order, so that no two writers wait for each other."""
    return f"""
        INSERT INTO {TABLES[span]} AS total ({_KEY}, {", ".join(SUMS)})
        SELECT {_DIMENSIONS}, date_trunc('{span}', created_at, 'UTC'), {_COUNTED}
          FROM {source} GROUP BY {_GROUPS} ORDER BY {_GROUPS}
        ON CONFLICT (org_id, starts_at, key_id, workspace_id, user_id, provider, model, endpoint, demo) DO UPDATE
           SET {", ".join(f"{name} = total.{name} + excluded.{name}" for name in SUMS)}
    """  # noqa: S608 - what is filled in are names of our own columns


# A sum that was moved away from is left over as zeros.
_COUNTS_SOMETHING = "(requests, input_tokens, output_tokens, cost_usd) <> (0, 0, 0, 0)"
_RAW = "(SELECT 1 AS sign, * FROM public.request_logs WHERE request_id >= :first) AS raw"


def drift(db: Connection, *, since: datetime) -> int:
    """How many sums of whole UTC days from `since` on are not those of the rows, in one snapshot. 0 is the only good one."""
    differing = 0
    for span, table in TABLES.items():
        kept = f"SELECT {_KEY}, {', '.join(SUMS)} FROM {table} WHERE starts_at >= :since AND {_COUNTS_SOMETHING}"  # noqa: S608
        true = f"SELECT {_DIMENSIONS}, date_trunc('{span}', created_at, 'UTC'), {_COUNTED} FROM {_RAW} GROUP BY {_GROUPS}"  # noqa: S608
        both = f"SELECT count(*) FROM (({kept} EXCEPT {true}) UNION ALL ({true} EXCEPT {kept})) AS differing"  # noqa: S608
        differing += db.run(both, since=since, first=smallest_id_of(since))[0][0]
    return differing


def rebuild(db: Connection, *, since: datetime) -> None:
    """Make the sums of whole UTC days from `since` on anew. Until the caller's transaction ends, writers wait: whoever has
    written rows that are not seen here adds them up afterwards."""
    for table in TABLES.values():
        db.run(f"LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE")
    for span, table in TABLES.items():
        db.run(f"DELETE FROM {table} WHERE starts_at >= :since", since=since)  # noqa: S608 - the name is one of ours
        db.run(add_up(span, _RAW), first=smallest_id_of(since))
