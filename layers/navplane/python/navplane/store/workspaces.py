"""workspaces: every organization has a default one, in its home region."""

from datetime import datetime
from uuid import UUID

from navplane.model.tenancy import Region
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


def default_of(db: Connection, *, org_id: UUID) -> UUID:
    return UUID(int=db.run("SELECT id FROM public.workspaces WHERE org_id = :org_id AND is_default", org_id=org_id)[0][0].int)
