"""kek_rotations: which KEK is being replaced by which. While a KEK is in it, nothing new is sealed under it."""

from dataclasses import dataclass
from datetime import datetime

from navplane.store.database import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    old_kek_id: str
    new_kek_id: str
    rewrapped: int
    started_at: datetime
    finished_at: datetime | None


def rotations(db: Connection) -> list[Rotation]:
    """All of them, the oldest first."""
    rows = db.run(
        """
        SELECT old_kek_id, new_kek_id, rewrapped, started_at, finished_at FROM public.kek_rotations
         ORDER BY started_at, old_kek_id
        """
    )
    return [
        Rotation(old_kek_id=row[0], new_kek_id=row[1], rewrapped=row[2], started_at=row[3], finished_at=row[4]) for row in rows
    ]


def alone(db: Connection) -> None:
    """Until the transaction ends nothing is sealed, and no other rotation begins."""
    db.run("SELECT pg_advisory_xact_lock(hashtextextended('navplane.kek', 0))")


def start(db: Connection, *, old_kek_id: str, new_kek_id: str, now: datetime) -> bool:
    """From the commit on nothing is sealed under the old one. `alone` comes first. The new one may have been retired before.
    False when that very rotation has begun already."""
    db.run("DELETE FROM public.kek_rotations WHERE old_kek_id = :new", new=new_kek_id)
    rows = db.run(
        """
        INSERT INTO public.kek_rotations (old_kek_id, new_kek_id, started_at) VALUES (:old, :new, :now)
        ON CONFLICT (old_kek_id) DO UPDATE
           SET new_kek_id = excluded.new_kek_id, started_at = excluded.started_at, finished_at = NULL, rewrapped = 0
         WHERE public.kek_rotations.new_kek_id <> excluded.new_kek_id
        RETURNING old_kek_id
        """,
        old=old_kek_id,
        new=new_kek_id,
        now=now,
    )
    return bool(rows)


def advance(db: Connection, *, old_kek_id: str, by: int) -> None:
    db.run("UPDATE public.kek_rotations SET rewrapped = rewrapped + :by WHERE old_kek_id = :old", by=by, old=old_kek_id)


def finish(db: Connection, *, old_kek_id: str, now: datetime) -> bool:
    """False when it was finished before."""
    rows = db.run(
        """
        UPDATE public.kek_rotations SET finished_at = :now WHERE old_kek_id = :old AND finished_at IS NULL
        RETURNING old_kek_id
        """,
        now=now,
        old=old_kek_id,
    )
    return bool(rows)
