"""workflows: documents with versions, and whose the rows are that a published one is in force by."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from navplane.model.workflow import VersionState, Workflow, WorkflowVersion
from navplane.store.database import Connection
from navplane.store.organizations import Position

_SELECT = """
SELECT w.id, w.org_id, w.workspace_id, w.name, w.created_by, w.created_at,
       (SELECT v.number FROM public.workflow_versions AS v
         WHERE v.org_id = w.org_id AND v.workflow_id = w.id AND v.state = 'published'),
       (SELECT v.number FROM public.workflow_versions AS v
         WHERE v.org_id = w.org_id AND v.workflow_id = w.id AND v.state IN ('draft', 'in_review', 'approved'))
  FROM public.workflows AS w
"""
_COLUMNS = tuple(WorkflowVersion.__dataclass_fields__)
_VERSION = f"SELECT {', '.join(_COLUMNS)} FROM public.workflow_versions"  # noqa: S608 - our own columns
# What a version's rows are in.
OWNING = ("routes", "limits", "policies")


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Whose version made a row."""

    workflow_id: UUID
    name: str
    number: int


def insert(db: Connection, workflow: Workflow) -> bool:
    """False, and nothing stored, when the name is taken where it is."""
    rows = db.run(
        """
        INSERT INTO public.workflows (org_id, id, workspace_id, name, created_by, created_at, updated_at)
        VALUES (:org_id, :id, :workspace_id, :name, :created_by, :now, :now)
        ON CONFLICT (org_id, workspace_id, name) DO NOTHING RETURNING id
        """,
        org_id=workflow.org_id,
        id=workflow.id,
        workspace_id=workflow.workspace_id,
        name=workflow.name,
        created_by=workflow.created_by,
        now=workflow.created_at,
    )
    return bool(rows)


def find(db: Connection, *, org_id: UUID, workflow_id: UUID) -> Workflow | None:
    rows = db.run(_SELECT + " WHERE w.org_id = :org_id AND w.id = :id", org_id=org_id, id=workflow_id)
    return Workflow(**_named(Workflow, rows[0])) if rows else None


def page(
    db: Connection,
    *,
    org_id: UUID,
    limit: int,
    after: Position | None,
    workspace_id: UUID | None = None,
    within: Sequence[UUID] | None = None,
) -> list[Workflow]:
    """Up to `limit`, newest first; those of one workspace, and only of those that `within` names."""
    rows = db.run(
        _SELECT
        + """
         WHERE w.org_id = :org_id AND (:workspace_id::uuid IS NULL OR w.workspace_id = :workspace_id::uuid)
           AND (:within::uuid[] IS NULL OR w.workspace_id = ANY(:within::uuid[]))
           AND (:after_id::uuid IS NULL OR (w.created_at, w.id) < (:after_time::timestamptz, :after_id::uuid))
         ORDER BY w.created_at DESC, w.id DESC LIMIT :limit
        """,
        org_id=org_id,
        workspace_id=workspace_id,
        within=None if within is None else list(within),
        after_id=after and after.id,
        after_time=after and after.created_at,
        limit=limit,
    )
    return [Workflow(**_named(Workflow, row)) for row in rows]


def save(db: Connection, version: WorkflowVersion) -> None:
    """As it now is; a new one is added."""
    values = {name: getattr(version, name) for name in _COLUMNS} | {
        "state": version.state.value,
        "authors": list(version.authors),
    }
    changing = [
        name for name in _COLUMNS if name not in ("id", "org_id", "workflow_id", "workspace_id", "number", "created_by")
    ]
    db.run(
        f"""
        INSERT INTO public.workflow_versions ({", ".join(_COLUMNS)}) VALUES ({", ".join(f":{name}" for name in _COLUMNS)})
        ON CONFLICT (org_id, id) DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name in changing)}
        """,  # noqa: S608 - our own columns
        **values,
    )


def version(db: Connection, *, org_id: UUID, workflow_id: UUID, number: int) -> WorkflowVersion | None:
    rows = db.run(
        _VERSION + " WHERE org_id = :org_id AND workflow_id = :workflow_id AND number = :number",
        org_id=org_id,
        workflow_id=workflow_id,
        number=number,
    )
    return _version(rows[0]) if rows else None


def versions(
    db: Connection, *, org_id: UUID, workflow_id: UUID, limit: int, before: int | None = None
) -> list[WorkflowVersion]:
    """Up to `limit`, the newest first, of those older than the number `before`."""
    rows = db.run(
        _VERSION
        + """
         WHERE org_id = :org_id AND workflow_id = :workflow_id AND (:before::integer IS NULL OR number < :before::integer)
         ORDER BY number DESC LIMIT :limit
        """,
        org_id=org_id,
        workflow_id=workflow_id,
        before=before,
        limit=limit,
    )
    return [_version(row) for row in rows]


def published(db: Connection, *, org_id: UUID, workspace_id: UUID | None) -> Owner | None:
    """What is in force there, in the workspace itself or in the organization itself."""
    rows = db.run(
        """
        SELECT w.id, w.name, v.number FROM public.workflow_versions AS v
          JOIN public.workflows AS w ON w.org_id = v.org_id AND w.id = v.workflow_id
         WHERE v.org_id = :org_id AND v.workspace_id IS NOT DISTINCT FROM :workspace_id::uuid AND v.state = 'published'
        """,
        org_id=org_id,
        workspace_id=workspace_id,
    )
    return Owner(workflow_id=rows[0][0], name=rows[0][1], number=rows[0][2]) if rows else None


def owner_of(db: Connection, *, org_id: UUID, version_id: UUID) -> Owner | None:
    rows = db.run(
        """
        SELECT w.id, w.name, v.number FROM public.workflow_versions AS v
          JOIN public.workflows AS w ON w.org_id = v.org_id AND w.id = v.workflow_id
         WHERE v.org_id = :org_id AND v.id = :id
        """,
        org_id=org_id,
        id=version_id,
    )
    return Owner(workflow_id=rows[0][0], name=rows[0][1], number=rows[0][2]) if rows else None


def disown(db: Connection, *, org_id: UUID, workflow_id: UUID) -> None:
    """Remove the rows that any version of it made."""
    for table in OWNING:
        db.run(
            f"""
            DELETE FROM public.{table} WHERE org_id = :org_id AND workflow_version_id IN (
                   SELECT id FROM public.workflow_versions WHERE org_id = :org_id AND workflow_id = :workflow_id)
            """,  # noqa: S608 - our own tables
            org_id=org_id,
            workflow_id=workflow_id,
        )


def end(db: Connection, *, org_id: UUID, workflow_id: UUID, state: VersionState, now: datetime) -> None:
    """The published version, if there is one, is in force no more."""
    db.run(
        """
        UPDATE public.workflow_versions SET state = :state, ended_at = :now
         WHERE org_id = :org_id AND workflow_id = :workflow_id AND state = 'published'
        """,
        state=state.value,
        now=now,
        org_id=org_id,
        workflow_id=workflow_id,
    )


def _named(kind: type[Any], row: Sequence[Any]) -> dict[str, Any]:
    return dict(zip(kind.__dataclass_fields__, row, strict=True))


def _version(row: Sequence[Any]) -> WorkflowVersion:
    named = _named(WorkflowVersion, row)
    return WorkflowVersion(**{**named, "state": VersionState(named["state"]), "authors": tuple(named["authors"])})


def version_ids(db: Connection, *, org_id: UUID, workflow_id: UUID) -> frozenset[UUID]:
    rows = db.run(
        "SELECT id FROM public.workflow_versions WHERE org_id = :org_id AND workflow_id = :id", org_id=org_id, id=workflow_id
    )
    return frozenset(row[0] for row in rows)
