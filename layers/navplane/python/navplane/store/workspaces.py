"""workspaces: every organization has a default one, in its home region. A deleted one keeps its row, as its usage does."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from navplane.model.tenancy import DataMode, Region
from navplane.store.database import Connection
from navplane.store.organizations import Position

COLUMNS = "id, org_id, name, is_default, region, data_mode, retention_days, created_at, updated_at"


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    id: UUID
    org_id: UUID
    name: str
    is_default: bool
    region: Region
    data_mode: DataMode
    retention_days: int
    created_at: datetime
    updated_at: datetime


def insert(db: Connection, workspace: Workspace) -> None:
    db.run(
        """
        INSERT INTO public.workspaces (org_id, id, name, is_default, region, created_at, updated_at)
        VALUES (:org_id, :id, :name, :is_default, :region, :created_at, :updated_at)
        """,
        org_id=workspace.org_id,
        id=workspace.id,
        name=workspace.name,
        is_default=workspace.is_default,
        region=workspace.region.value,
        created_at=workspace.created_at,
        updated_at=workspace.updated_at,
    )


def find(db: Connection, *, org_id: UUID, workspace_id: UUID) -> Workspace | None:
    rows = db.run(
        f"SELECT {COLUMNS} FROM public.workspaces WHERE org_id = :org_id AND id = :id AND deleted_at IS NULL",  # noqa: S608
        org_id=org_id,
        id=workspace_id,
    )
    return _workspace(rows[0]) if rows else None


def page(db: Connection, *, org_id: UUID, limit: int, after: Position | None, within: Sequence[UUID] | None) -> list[Workspace]:
    """Up to `limit`, newest first; `within` keeps to some of them."""
    rows = db.run(
        f"""
        SELECT {COLUMNS} FROM public.workspaces
         WHERE org_id = :org_id AND deleted_at IS NULL AND (:within::uuid[] IS NULL OR id = ANY(:within::uuid[]))
           AND (:after_id::uuid IS NULL OR (created_at, id) < (:after_time::timestamptz, :after_id::uuid))
         ORDER BY created_at DESC, id DESC LIMIT :limit
        """,  # noqa: S608 - what is filled in are names of our own columns
        org_id=org_id,
        within=None if within is None else list(within),
        after_id=after and after.id,
        after_time=after and after.created_at,
        limit=limit,
    )
    return [_workspace(row) for row in rows]


def pinned_elsewhere(db: Connection, *, org_id: UUID | None, workspace_ids: Sequence[UUID], region: Region) -> bool:
    """Whether one of them is pinned to another region; deleted ones still are. `org_id` None: of whichever organization, in a
    transaction with `platform=True`."""
    rows = db.run(
        """
        SELECT FROM public.workspaces
         WHERE (:org_id::uuid IS NULL OR org_id = :org_id::uuid) AND id = ANY(CAST(:ids AS uuid[])) AND region <> :region
        """,
        org_id=org_id,
        ids=list(workspace_ids),
        region=region.value,
    )
    return bool(rows)


def is_in(db: Connection, region: Region, *, org_id: UUID) -> bool:
    """Whether the organization has a workspace in the region."""
    rows = db.run(
        "SELECT FROM public.workspaces WHERE org_id = :org_id AND region = :region AND deleted_at IS NULL LIMIT 1",
        org_id=org_id,
        region=region.value,
    )
    return bool(rows)


def rename(db: Connection, *, org_id: UUID, workspace_id: UUID, name: str) -> None:
    db.run(
        "UPDATE public.workspaces SET name = :name WHERE org_id = :org_id AND id = :id",
        name=name,
        org_id=org_id,
        id=workspace_id,
    )


def is_in_use(db: Connection, *, org_id: UUID, workspace_id: UUID) -> bool:
    """Whether an API key or a service key of it is not revoked."""
    rows = db.run(
        """
        SELECT FROM public.api_keys WHERE org_id = :org_id AND workspace_id = :id AND revoked_at IS NULL
        UNION ALL
        SELECT FROM public.service_keys WHERE org_id = :org_id AND workspace_id = :id AND revoked_at IS NULL
        """,
        org_id=org_id,
        id=workspace_id,
    )
    return bool(rows)


def mark_deleted(db: Connection, *, org_id: UUID, workspace_id: UUID, now: datetime) -> None:
    db.run(
        "UPDATE public.workspaces SET deleted_at = :now WHERE org_id = :org_id AND id = :id AND deleted_at IS NULL",
        now=now,
        org_id=org_id,
        id=workspace_id,
    )


def insert_default(db: Connection, *, org_id: UUID, workspace_id: UUID, region: Region, now: datetime) -> None:
    db.run(
        """
        INSERT INTO public.workspaces (org_id, id, name, is_default, region, created_at, updated_at)
        VALUES (:org_id, :workspace_id, 'default', true, :region, :now, :now)
        """,
        org_id=org_id,
        workspace_id=workspace_id,
        region=region.value,
        now=now,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class DataModeSetting:
    """What is kept of a workspace's requests: `retention_days` says for how long content is, where any is."""

    data_mode: DataMode
    retention_days: int


def data_mode(db: Connection, *, org_id: UUID, workspace_id: UUID, hold: bool = False) -> DataModeSetting | None:
    """`hold`: it is about to be changed, and other changes wait."""
    lock = " FOR UPDATE" if hold else ""
    rows = db.run(
        f"""
        SELECT data_mode, retention_days FROM public.workspaces
         WHERE org_id = :org_id AND id = :id AND deleted_at IS NULL{lock}
        """,  # noqa: S608 - what is filled in are our own words
        org_id=org_id,
        id=workspace_id,
    )
    return DataModeSetting(data_mode=DataMode(rows[0][0]), retention_days=rows[0][1]) if rows else None


def set_data_mode(db: Connection, setting: DataModeSetting, *, org_id: UUID, workspace_id: UUID) -> None:
    db.run(
        "UPDATE public.workspaces SET data_mode = :data_mode, retention_days = :days WHERE org_id = :org_id AND id = :id",
        data_mode=setting.data_mode.value,
        days=setting.retention_days,
        org_id=org_id,
        id=workspace_id,
    )


def default_of(db: Connection, *, org_id: UUID) -> UUID:
    return UUID(int=db.run("SELECT id FROM public.workspaces WHERE org_id = :org_id AND is_default", org_id=org_id)[0][0].int)


def _workspace(row: Sequence[Any]) -> Workspace:
    return Workspace(
        id=row[0],
        org_id=row[1],
        name=row[2],
        is_default=row[3],
        region=Region(row[4]),
        data_mode=DataMode(row[5]),
        retention_days=row[6],
        created_at=row[7],
        updated_at=row[8],
    )
