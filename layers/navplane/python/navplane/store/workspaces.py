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
