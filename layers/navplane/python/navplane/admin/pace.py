"""How often one principal may call: a number of reads and of writes in each minute, whichever functions they go to."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from navplane.errors import RateLimited
from navplane.store import admin_calls
from navplane.store.database import Connection

READS = frozenset({"GET", "HEAD"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    reads_per_minute: int
    writes_per_minute: int


def keep_pace(db: Connection, pace: Pace, *, principal: str, method: str, now: datetime) -> None:
    """Count one more call. Raise RateLimited, with the seconds until the next minute, once there were too many."""
    kind: Literal["read", "write"] = "read" if method in READS else "write"
    at_most = pace.reads_per_minute if kind == "read" else pace.writes_per_minute
    if admin_calls.count(db, principal=principal, kind=kind, at_most=at_most, now=now) > at_most:
        wait = 60 - now.second
        message = f"More than {at_most} {kind}s in this minute. Go on in {wait} seconds."
        raise RateLimited(message, retry_after=wait)
