"""Rows that a workflow made are changed by the workflow, and by nobody else."""

from uuid import UUID

from navplane.errors import Conflict
from navplane.store import workflows
from navplane.store.database import Connection


def by_hand(db: Connection, *, org_id: UUID, version_id: UUID | None, what: str) -> None:
    """Raise Conflict, which says whose it is, for a row of a workflow's version."""
    if version_id is None:
        return
    owner = workflows.owner_of(db, org_id=org_id, version_id=version_id)
    whose = f"Version {owner.number} of the workflow {owner.name!r} ({owner.workflow_id})" if owner else "A workflow"
    raise Conflict(f"{whose} made this {what}: publish a new version of it instead.")
