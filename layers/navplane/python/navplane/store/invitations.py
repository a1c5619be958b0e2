"""invitations: who was asked to join, as what. The digests of their tokens can't be read back."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from navplane.store.database import Connection
from navplane.store.members import Assignment
from navplane.store.organizations import Position

COLUMNS = "id, org_id, email, membership, roles, invited_by, expires_at, accepted_at, accepted_by, revoked_at, created_at"


@dataclass(frozen=True, slots=True, kw_only=True)
class Invitation:
    id: UUID
    org_id: UUID
    email: str
    membership: str
    roles: tuple[Assignment, ...]
    invited_by: str
    expires_at: datetime
    accepted_at: datetime | None
    accepted_by: UUID | None
    revoked_at: datetime | None
    created_at: datetime


def insert(db: Connection, invitation: Invitation, *, digest: bytes) -> None:
    db.run(
        """
        INSERT INTO public.invitations
               (org_id, id, email, membership, roles, token_digest, invited_by, expires_at, created_at)
        VALUES (:org_id, :id, :email, :membership, CAST(:roles AS jsonb), :digest, :invited_by, :expires_at, :created_at)
        """,
        org_id=invitation.org_id,
        id=invitation.id,
        email=invitation.email,
        membership=invitation.membership,
        roles=json.dumps([[one.role, one.workspace_id and str(one.workspace_id)] for one in invitation.roles]),
        digest=digest,
        invited_by=invitation.invited_by,
        expires_at=invitation.expires_at,
        created_at=invitation.created_at,
    )


def named_by(db: Connection, *, digest: bytes) -> tuple[UUID, UUID] | None:
    """The organization and the invitation that a token is of, whatever became of it; outside of any organization."""
    rows = db.run("SELECT * FROM public.invitation_of(:digest)", digest=digest)
    return (rows[0][0], rows[0][1]) if rows else None


def page(db: Connection, *, org_id: UUID, limit: int, after: Position | None) -> list[Invitation]:
    """Up to `limit`, newest first."""
    rows = db.run(
        f"""
        SELECT {COLUMNS} FROM public.invitations
         WHERE org_id = :org_id
           AND (:after_id::uuid IS NULL OR (created_at, id) < (:after_time::timestamptz, :after_id::uuid))
         ORDER BY created_at DESC, id DESC LIMIT :limit
        """,  # noqa: S608 - what is filled in are names of our own columns
        org_id=org_id,
        after_id=after and after.id,
        after_time=after and after.created_at,
        limit=limit,
    )
    return [_invitation(row) for row in rows]


def find(db: Connection, *, org_id: UUID, invitation_id: UUID) -> Invitation | None:
    sql = f"SELECT {COLUMNS} FROM public.invitations WHERE org_id = :org_id AND id = :id"  # noqa: S608
    rows = db.run(sql, org_id=org_id, id=invitation_id)
    return _invitation(rows[0]) if rows else None


def is_open(db: Connection, *, org_id: UUID, email: str, now: datetime) -> bool:
    """Whether somebody with this address can still accept one."""
    rows = db.run(
        """
        SELECT FROM public.invitations
         WHERE org_id = :org_id AND lower(email) = lower(:email) AND accepted_at IS NULL AND revoked_at IS NULL
           AND expires_at > :now
        """,
        org_id=org_id,
        email=email,
        now=now,
    )
    return bool(rows)


def renew(db: Connection, *, org_id: UUID, invitation_id: UUID, digest: bytes, expires_at: datetime) -> None:
    """With another token: the one before is nobody's from here on."""
    db.run(
        "UPDATE public.invitations SET token_digest = :digest, expires_at = :expires_at WHERE org_id = :org_id AND id = :id",
        digest=digest,
        expires_at=expires_at,
        org_id=org_id,
        id=invitation_id,
    )


def revoke(db: Connection, *, org_id: UUID, invitation_id: UUID, now: datetime) -> None:
    db.run(
        "UPDATE public.invitations SET revoked_at = :now WHERE org_id = :org_id AND id = :id AND revoked_at IS NULL",
        now=now,
        org_id=org_id,
        id=invitation_id,
    )


def accept(db: Connection, *, org_id: UUID, invitation_id: UUID, user_id: UUID, now: datetime) -> None:
    db.run(
        "UPDATE public.invitations SET accepted_at = :now, accepted_by = :user_id WHERE org_id = :org_id AND id = :id",
        now=now,
        user_id=user_id,
        org_id=org_id,
        id=invitation_id,
    )


def _invitation(row: Sequence[Any]) -> Invitation:
    roles = (Assignment(role=role, workspace_id=workspace and UUID(workspace)) for role, workspace in row[4])
    return Invitation(
        id=row[0],
        org_id=row[1],
        email=row[2],
        membership=row[3],
        roles=tuple(roles),
        invited_by=row[5],
        expires_at=row[6],
        accepted_at=row[7],
        accepted_by=row[8],
        revoked_at=row[9],
        created_at=row[10],
    )
