"""organizations: tenants. A deleted one keeps its row, so that its usage and audit keep their owner."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from navplane.model.tenancy import Organization, Region, StreamUsage
from navplane.store.database import Connection

COLUMNS = "id, name, enabled, home_region, stream_usage, cached_admission, created_at, updated_at"


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """Where a page of a list ended: newest first, and by id among equals."""

    created_at: datetime
    id: UUID


def insert(db: Connection, organization: Organization) -> None:
    db.run(
        f"""
        INSERT INTO public.organizations ({COLUMNS})
        VALUES (:id, :name, :enabled, :home_region, :stream_usage, :cached_admission, :created_at, :updated_at)
        """,  # noqa: S608 - what is filled in are names of our own columns
        id=organization.id,
        name=organization.name,
        enabled=organization.enabled,
        home_region=organization.home_region.value,
        stream_usage=organization.stream_usage.value,
        cached_admission=organization.cached_admission,
        created_at=organization.created_at,
        updated_at=organization.updated_at,
    )


def find(db: Connection, *, org_id: UUID) -> Organization | None:
    sql = f"SELECT {COLUMNS} FROM public.organizations WHERE id = :org_id AND deleted_at IS NULL"  # noqa: S608
    return _one(db.run(sql, org_id=org_id))


def hold(db: Connection, *, org_id: UUID) -> Organization | None:
    """The organization, with changes to whatever belongs to it held back until the transaction ends. Every change holds it
    first: so two changes never cross, and none meets an organization that is being deleted.

    Not by a lock on its row: an admission locks the key's row and then the organization's, and a rotation that held them the
    other way round would deadlock with it. Whoever changes both rows goes in the admission's order.
    """
    db.run("SELECT pg_advisory_xact_lock(hashtextextended(:org_id::text, 0))", org_id=org_id)
    return find(db, org_id=org_id)


def ever_existed(db: Connection, *, org_id: UUID) -> bool:
    """Deleted ones too: what they used is kept."""
    return bool(db.run("SELECT 1 FROM public.organizations WHERE id = :org_id", org_id=org_id))


def page(db: Connection, *, limit: int, after: Position | None, among: Sequence[UUID] | None = None) -> list[Organization]:
    """Up to `limit`, newest first, of all organizations, or of those in `among`: in a transaction with `platform=True` only."""
    rows = db.run(
        f"""
        SELECT {COLUMNS} FROM public.organizations
         WHERE deleted_at IS NULL AND (:among::uuid[] IS NULL OR id = ANY(:among::uuid[]))
           AND (:after_id::uuid IS NULL OR (created_at, id) < (:after_time::timestamptz, :after_id::uuid))
         ORDER BY created_at DESC, id DESC LIMIT :limit
        """,  # noqa: S608 - what is filled in are names of our own columns
        after_id=after and after.id,
        after_time=after and after.created_at,
        limit=limit,
        among=None if among is None else list(among),
    )
    return [_organization(row) for row in rows]


def update(db: Connection, *, org_id: UUID, name: str, stream_usage: StreamUsage, cached_admission: bool) -> Organization:
    """The organization as it is then. It must be held."""
    rows = db.run(
        f"""
        UPDATE public.organizations
           SET name = :name, stream_usage = :stream_usage, cached_admission = :cached_admission, row_version = row_version + 1
         WHERE id = :org_id RETURNING {COLUMNS}
        """,  # noqa: S608 - what is filled in are names of our own columns
        org_id=org_id,
        name=name,
        stream_usage=stream_usage.value,
        cached_admission=cached_admission,
    )
    return _organization(rows[0])


def set_enabled(db: Connection, *, org_id: UUID, enabled: bool) -> Organization:
    """The kill switch, on an organization that is held. Waits for the admissions that lock the row; none follows the commit."""
    rows = db.run(
        f"""
        UPDATE public.organizations SET enabled = :enabled, row_version = row_version + 1
         WHERE id = :org_id RETURNING {COLUMNS}
        """,  # noqa: S608 - what is filled in are names of our own columns
        org_id=org_id,
        enabled=enabled,
    )
    return _organization(rows[0])


def mark_deleted(db: Connection, *, org_id: UUID, now: datetime) -> None:
    db.run(
        """
        UPDATE public.organizations SET deleted_at = :now, enabled = false, row_version = row_version + 1
         WHERE id = :org_id AND deleted_at IS NULL
        """,
        org_id=org_id,
        now=now,
    )


def _one(rows: Sequence[Sequence[Any]]) -> Organization | None:
    return _organization(rows[0]) if rows else None


def _organization(row: Sequence[Any]) -> Organization:
    return Organization(
        id=row[0],
        name=row[1],
        enabled=row[2],
        home_region=Region(row[3]),
        stream_usage=StreamUsage(row[4]),
        cached_admission=row[5],
        created_at=row[6],
        updated_at=row[7],
    )
