"""Retention of reservations and of windows of limits: what is final and old goes. Everything else about them is the gate's."""

from datetime import datetime

from navplane.model.ids import smallest_id_of
from navplane.store.database import Connection

BATCH = 10_000


def delete_final(db: Connection, *, before: datetime) -> int:
    """Delete final reservations of requests admitted before `before`, oldest first, BATCH at most; how many went."""
    db.run(
        """
        DELETE FROM public.reservations WHERE request_id IN (
            SELECT request_id FROM public.reservations
             WHERE state = 'final' AND request_id < :bound ORDER BY request_id LIMIT :limit)
        """,
        bound=smallest_id_of(before),
        limit=BATCH,
    )
    return int(db.row_count)


def forget_windows(db: Connection, *, before: datetime) -> int:
    """Forget what was counted in windows of limits that ended before `before`, BATCH at most; how many went."""
    rows = db.run("SELECT public.gate_forget_windows(:before, :limit)", before=before, limit=BATCH)
    return int(rows[0][0])
