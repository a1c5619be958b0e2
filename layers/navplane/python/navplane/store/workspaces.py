"""workspaces: every organization has a default one, in its home region."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from navplane.model.tenancy import DataMode, Region
from navplane.store.database import Connection


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
        f"SELECT data_mode, retention_days FROM public.workspaces WHERE org_id = :org_id AND id = :id{lock}",  # noqa: S608
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
