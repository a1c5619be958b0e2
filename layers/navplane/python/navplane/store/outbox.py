"""outbox: what a gate that is not this database has to be told. The aggregate is named, its state is read when it is told."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from navplane.store.database import Connection


class Aggregate(StrEnum):
    """What changes as one. The value is stored: never rename one."""

    ORGANIZATION = "organization"
    API_KEY = "api_key"


def enqueue(db: Connection, *, org_id: UUID, entry_id: UUID, aggregate: Aggregate, aggregate_id: UUID, now: datetime) -> None:
    db.run(
        """
        INSERT INTO public.outbox (id, org_id, aggregate, aggregate_id, created_at)
        VALUES (:entry_id, :org_id, :aggregate, :aggregate_id, :now)
        """,
        entry_id=entry_id,
        org_id=org_id,
        aggregate=aggregate.value,
        aggregate_id=aggregate_id,
        now=now,
    )
