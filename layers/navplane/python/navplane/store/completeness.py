"""Up to which moment everything that was admitted has its row: what is still on its way decides, never the clock alone."""

from datetime import datetime, timedelta
from uuid import UUID

from navplane.store.database import Connection

# A queue that is emptied all the time always has an event of some seconds; a backlog is older than this.
BACKLOG = timedelta(minutes=2)


def complete_to(db: Connection, *, org_id: UUID | None) -> datetime:
    """Of the organization that the transaction is about; None: of all, in a transaction with `platform=True`. Ask it before the
    rows are read: what is added in between only makes them more complete."""
    function = "usage_complete_to" if org_id is not None else "usage_complete_to_everywhere"
    found: datetime = db.run(f"SELECT public.{function}()")[0][0]
    return found


def note_queue(db: Connection, *, oldest_event_age: timedelta | None, now: datetime) -> None:
    """Keep how long the queue's oldest event has waited; None, where that can't be told, keeps what was known."""
    if oldest_event_age is None:
        return
    db.run(
        """
        INSERT INTO public.usage_queue_sightings (seen_at, oldest_event_at) VALUES (:now, :oldest)
        ON CONFLICT (only_one) DO UPDATE SET seen_at = excluded.seen_at, oldest_event_at = excluded.oldest_event_at
        """,
        now=now,
        oldest=now - oldest_event_age if oldest_event_age > BACKLOG else None,
    )
