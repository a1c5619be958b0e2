"""routes: where the names that an organization's clients write lead to."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from navplane.model.dialect import Dialect
from navplane.model.route import Condition, Route, Target
from navplane.store.database import Connection
from navplane.store.organizations import Position

COLUMNS = (
    "id, name, match, dialect, targets, conditions, workspace_id, position, fallback_when_billed, workflow_version_id,"
    " created_at"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptRoute:
    route: Route
    created_at: datetime


def has_workspace(db: Connection, *, org_id: UUID, workspace_id: UUID) -> bool:
    return bool(db.run("SELECT FROM public.workspaces WHERE org_id = :org_id AND id = :id", org_id=org_id, id=workspace_id))


def insert(db: Connection, route: Route, *, org_id: UUID, now: datetime) -> bool:
    """False, and nothing stored, when the name is taken in its workspace, or among the organization's own."""
    rows = db.run(
        """
        INSERT INTO public.routes (org_id, id, workspace_id, name, match, dialect, position, conditions, targets,
            fallback_when_billed, workflow_version_id, created_at, updated_at)
        VALUES (:org_id, :id, :workspace_id, :name, :match, :dialect, :position, :conditions::jsonb, :targets::jsonb,
            :when_billed, :workflow_version, :now, :now)
        ON CONFLICT (org_id, workspace_id, name) DO NOTHING
        RETURNING id
        """,
        **_values(route, org_id=org_id),
        workflow_version=route.workflow_version,
        now=now,
    )
    return bool(rows)


def update(db: Connection, route: Route, *, org_id: UUID) -> bool:
    """False, and nothing changed, when the name is another route's."""
    rows = db.run(
        """
        UPDATE public.routes AS r SET workspace_id = :workspace_id, name = :name, match = :match, dialect = :dialect,
            position = :position, conditions = :conditions::jsonb, targets = :targets::jsonb,
            fallback_when_billed = :when_billed
         WHERE r.org_id = :org_id AND r.id = :id AND NOT EXISTS (
               SELECT FROM public.routes AS other
                WHERE other.org_id = :org_id AND other.id <> :id AND other.name = :name
                  AND other.workspace_id IS NOT DISTINCT FROM :workspace_id::uuid)
        RETURNING r.id
        """,
        **_values(route, org_id=org_id),
    )
    return bool(rows)


def delete(db: Connection, *, org_id: UUID, route_id: UUID) -> None:
    db.run("DELETE FROM public.routes WHERE org_id = :org_id AND id = :id", org_id=org_id, id=route_id)


def find(db: Connection, *, org_id: UUID, route_id: UUID) -> KeptRoute | None:
    rows = db.run(
        f"SELECT {COLUMNS} FROM public.routes WHERE org_id = :org_id AND id = :id",  # noqa: S608 - our columns
        org_id=org_id,
        id=route_id,
    )
    return _kept(rows[0]) if rows else None


def every(db: Connection, *, org_id: UUID) -> list[Route]:
    rows = db.run(f"SELECT {COLUMNS} FROM public.routes WHERE org_id = :org_id", org_id=org_id)  # noqa: S608 - our columns
    return [_kept(row).route for row in rows]


def page(db: Connection, *, org_id: UUID, limit: int, after: Position | None) -> list[KeptRoute]:
    """Up to `limit`, newest first."""
    rows = db.run(
        f"""
        SELECT {COLUMNS} FROM public.routes
         WHERE org_id = :org_id
           AND (:after_id::uuid IS NULL OR (created_at, id) < (:after_time::timestamptz, :after_id::uuid))
         ORDER BY created_at DESC, id DESC LIMIT :limit
        """,  # noqa: S608 - what is filled in are names of our own columns
        org_id=org_id,
        after_id=after.id if after else None,
        after_time=after.created_at if after else None,
        limit=limit,
    )
    return [_kept(row) for row in rows]


def _values(route: Route, *, org_id: UUID) -> dict[str, Any]:
    return {
        "org_id": org_id,
        "id": route.id,
        "workspace_id": route.workspace_id,
        "name": route.name,
        "match": route.match,
        "dialect": route.dialect.value,
        "position": route.position,
        "conditions": json.dumps([{"attribute": each.attribute, "any_of": each.any_of} for each in route.conditions]),
        "targets": json.dumps(
            [
                {"provider": each.provider, "model": each.model, "step": each.step, "weight": each.weight}
                for each in route.targets
            ]
        ),
        "when_billed": route.fallback_when_billed,
    }


def _kept(row: Sequence[Any]) -> KeptRoute:
    route = Route(
        id=row[0],
        name=row[1],
        match=row[2],
        dialect=Dialect(row[3]),
        targets=tuple(Target(**target) for target in row[4]),
        conditions=tuple(Condition(attribute=each["attribute"], any_of=tuple(each["any_of"])) for each in row[5]),
        workspace_id=row[6],
        position=row[7],
        fallback_when_billed=row[8],
        workflow_version=row[9],
    )
    return KeptRoute(route=route, created_at=row[10])
