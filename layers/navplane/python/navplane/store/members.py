"""org_members and role_assignments: who belongs to an organization, as what, and their roles in its workspaces."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from navplane.store.database import Connection
from navplane.store.organizations import Position


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """A role in one workspace; without one in the whole organization."""

    role: str
    workspace_id: UUID | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    user_id: UUID
    membership: str
    subject: str
    email: str | None
    name: str | None
    deactivated_at: datetime | None
    created_at: datetime
    roles: tuple[Assignment, ...] = field(default=())


def grants(db: Connection, *, org_id: UUID, user_id: UUID) -> list[tuple[str, UUID | None]]:
    """Every role of theirs, membership included; nothing in an organization that is deleted or that they don't belong to."""
    rows = db.run(
        """
        SELECT m.role, NULL::uuid FROM public.org_members AS m WHERE m.org_id = :org_id AND m.user_id = :user_id
        UNION ALL
        SELECT a.role, a.workspace_id FROM public.role_assignments AS a WHERE a.org_id = :org_id AND a.user_id = :user_id
        """,
        org_id=org_id,
        user_id=user_id,
    )
    return [(row[0], row[1]) for row in rows]


def organizations_of(db: Connection, *, user_id: UUID) -> list[UUID]:
    """In a transaction with `platform=True` only."""
    return [row[0] for row in db.run("SELECT org_id FROM public.org_members WHERE user_id = :user_id", user_id=user_id)]


def page(
    db: Connection,
    *,
    org_id: UUID,
    limit: int,
    after: Position | None,
    search: str | None = None,
    membership: str | None = None,
) -> list[Member]:
    """Up to `limit`, newest first. `search` is part of an e-mail address or a name."""
    rows = db.run(
        """
        SELECT m.user_id, m.role, u.subject, u.email, u.name, u.deactivated_at, m.created_at
          FROM public.org_members AS m JOIN public.user_identities AS u ON u.id = m.user_id
         WHERE m.org_id = :org_id AND (:membership::text IS NULL OR m.role = :membership::text)
           AND (:search::text IS NULL OR strpos(lower(concat_ws(' ', u.email, u.name)), lower(:search::text)) > 0)
           AND (:after_id::uuid IS NULL OR (m.created_at, m.user_id) < (:after_time::timestamptz, :after_id::uuid))
         ORDER BY m.created_at DESC, m.user_id DESC LIMIT :limit
        """,
        org_id=org_id,
        membership=membership,
        search=search,
        after_id=after and after.id,
        after_time=after and after.created_at,
        limit=limit,
    )
    roles = _roles(db, org_id=org_id, user_ids=[row[0] for row in rows])
    return [_member(row, roles.get(row[0], ())) for row in rows]


def find(db: Connection, *, org_id: UUID, user_id: UUID) -> Member | None:
    rows = db.run(
        """
        SELECT m.user_id, m.role, u.subject, u.email, u.name, u.deactivated_at, m.created_at
          FROM public.org_members AS m JOIN public.user_identities AS u ON u.id = m.user_id
         WHERE m.org_id = :org_id AND m.user_id = :user_id
        """,
        org_id=org_id,
        user_id=user_id,
    )
    if not rows:
        return None
    return _member(rows[0], _roles(db, org_id=org_id, user_ids=[user_id]).get(user_id, ()))


def owners(db: Connection, *, org_id: UUID) -> set[UUID]:
    """Those who can still sign in."""
    rows = db.run(
        """
        SELECT m.user_id FROM public.org_members AS m JOIN public.user_identities AS u ON u.id = m.user_id
         WHERE m.org_id = :org_id AND m.role = 'owner' AND u.deactivated_at IS NULL
        """,
        org_id=org_id,
    )
    return {row[0] for row in rows}


def put(db: Connection, *, org_id: UUID, user_id: UUID, membership: str, now: datetime) -> None:
    db.run(
        """
        INSERT INTO public.org_members (org_id, user_id, role, created_at, updated_at)
        VALUES (:org_id, :user_id, :membership, :now, :now)
        ON CONFLICT (org_id, user_id) DO UPDATE SET role = excluded.role
        """,
        org_id=org_id,
        user_id=user_id,
        membership=membership,
        now=now,
    )


def remove(db: Connection, *, org_id: UUID, user_id: UUID) -> None:
    """With the roles that were assigned to them."""
    db.run("DELETE FROM public.org_members WHERE org_id = :org_id AND user_id = :user_id", org_id=org_id, user_id=user_id)


def assign(db: Connection, *, org_id: UUID, user_id: UUID, assignment: Assignment, assignment_id: UUID, now: datetime) -> None:
    """Nothing changes if they have it already."""
    db.run(
        """
        INSERT INTO public.role_assignments (org_id, id, user_id, workspace_id, role, created_at)
        VALUES (:org_id, :id, :user_id, :workspace_id, :role, :now)
        ON CONFLICT (org_id, user_id, workspace_id, role) DO NOTHING
        """,
        org_id=org_id,
        id=assignment_id,
        user_id=user_id,
        workspace_id=assignment.workspace_id,
        role=assignment.role,
        now=now,
    )


def unassign(db: Connection, *, org_id: UUID, user_id: UUID, assignment: Assignment) -> None:
    db.run(
        """
        DELETE FROM public.role_assignments
         WHERE org_id = :org_id AND user_id = :user_id AND role = :role
           AND workspace_id IS NOT DISTINCT FROM :workspace_id::uuid
        """,
        org_id=org_id,
        user_id=user_id,
        role=assignment.role,
        workspace_id=assignment.workspace_id,
    )


def _roles(db: Connection, *, org_id: UUID, user_ids: Sequence[UUID]) -> dict[UUID, tuple[Assignment, ...]]:
    rows = db.run(
        """
        SELECT user_id, role, workspace_id FROM public.role_assignments
         WHERE org_id = :org_id AND user_id = ANY(CAST(:user_ids AS uuid[])) ORDER BY role, workspace_id
        """,
        org_id=org_id,
        user_ids=list(user_ids),
    )
    found: dict[UUID, tuple[Assignment, ...]] = {}
    for user_id, role, workspace_id in rows:
        found[user_id] = (*found.get(user_id, ()), Assignment(role=role, workspace_id=workspace_id))
    return found


def _member(row: Sequence[Any], roles: tuple[Assignment, ...]) -> Member:
    return Member(
        user_id=row[0],
        membership=row[1],
        subject=row[2],
        email=row[3],
        name=row[4],
        deactivated_at=row[5],
        created_at=row[6],
        roles=roles,
    )
