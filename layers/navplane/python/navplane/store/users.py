"""user_identities: who has signed in, by issuer and subject."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from navplane.store.database import Connection
from navplane.store.organizations import Position

# Seen again within this time is not written again: a person's every click would be a write otherwise.
SEEN_RESOLUTION = timedelta(minutes=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What an issuer says of a user. All but issuer and subject are for people to read; nothing is decided by them."""

    issuer: str
    subject: str
    email: str | None
    name: str | None
    permissions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What we say of a user. Tokens from before `tokens_not_before` are void."""

    id: UUID
    is_platform_admin: bool
    deactivated_at: datetime | None
    tokens_not_before: datetime | None


def known(db: Connection, *, issuer: str, subject: str) -> Known | None:
    rows = db.run(
        """
        SELECT id, is_platform_admin, deactivated_at, tokens_not_before FROM public.user_identities
         WHERE issuer = :issuer AND subject = :subject
        """,
        issuer=issuer,
        subject=subject,
    )
    if not rows:
        return None
    user_id, admin, deactivated_at, not_before = rows[0]
    return Known(id=user_id, is_platform_admin=admin, deactivated_at=deactivated_at, tokens_not_before=not_before)


def is_member(db: Connection, *, org_id: UUID, user_id: UUID) -> bool:
    sql = "SELECT FROM public.org_members WHERE org_id = :org_id AND user_id = :user_id"
    return bool(db.run(sql, org_id=org_id, user_id=user_id))


def see(db: Connection, identity: Identity, *, user_id: UUID, now: datetime) -> None:
    """Write down that the user was here, under `user_id` if never before."""
    db.run(
        """
        INSERT INTO public.user_identities AS u
               (id, issuer, subject, email, name, claimed_permissions, last_seen_at, created_at, updated_at)
        VALUES (:user_id, :issuer, :subject, :email, :name, CAST(:permissions AS text[]), :now, :now, :now)
        ON CONFLICT (issuer, subject) DO UPDATE
           SET email = excluded.email, name = excluded.name, claimed_permissions = excluded.claimed_permissions,
               last_seen_at = excluded.last_seen_at
         WHERE u.last_seen_at IS NULL OR u.last_seen_at < :seen_before
            OR (u.email, u.name, u.claimed_permissions)
               IS DISTINCT FROM (excluded.email, excluded.name, excluded.claimed_permissions)
        """,
        user_id=user_id,
        issuer=identity.issuer,
        subject=identity.subject,
        email=identity.email,
        name=identity.name,
        permissions=list(identity.permissions),
        now=now,
        seen_before=now - SEEN_RESOLUTION,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    id: UUID
    issuer: str
    subject: str
    email: str | None
    name: str | None
    permissions: tuple[str, ...]
    is_platform_admin: bool
    deactivated_at: datetime | None
    last_seen_at: datetime | None
    created_at: datetime


COLUMNS = """u.id, u.issuer, u.subject, u.email, u.name, u.claimed_permissions, u.is_platform_admin, u.deactivated_at,
       u.last_seen_at, u.created_at"""


def page(
    db: Connection, *, limit: int, after: Position | None, search: str | None, role: str | None, active: bool | None
) -> list[User]:
    """Up to `limit`, newest first, in a transaction with `platform=True`. `role`: `platform_admin`, or a membership."""
    rows = db.run(
        f"""
        SELECT {COLUMNS} FROM public.user_identities AS u
         WHERE (:search::text IS NULL
                OR strpos(lower(concat_ws(' ', u.email, u.name, u.subject)), lower(:search::text)) > 0)
           AND (:active::boolean IS NULL OR (u.deactivated_at IS NULL) = :active::boolean)
           AND (:role::text IS NULL OR :role::text = 'platform_admin' AND u.is_platform_admin
                OR EXISTS (SELECT FROM public.org_members AS m WHERE m.user_id = u.id AND m.role = :role::text))
           AND (:after_id::uuid IS NULL OR (u.created_at, u.id) < (:after_time::timestamptz, :after_id::uuid))
         ORDER BY u.created_at DESC, u.id DESC LIMIT :limit
        """,  # noqa: S608 - what is filled in are names of our own columns
        search=search,
        role=role,
        active=active,
        after_id=after and after.id,
        after_time=after and after.created_at,
        limit=limit,
    )
    return [_user(row) for row in rows]


def find(db: Connection, *, user_id: UUID) -> User | None:
    rows = db.run(f"SELECT {COLUMNS} FROM public.user_identities AS u WHERE u.id = :user_id", user_id=user_id)  # noqa: S608
    return _user(rows[0]) if rows else None


def set_deactivated(db: Connection, *, user_id: UUID, at: datetime | None) -> None:
    db.run("UPDATE public.user_identities SET deactivated_at = :at WHERE id = :user_id", at=at, user_id=user_id)


def void_tokens(db: Connection, *, user_id: UUID, now: datetime) -> None:
    db.run("UPDATE public.user_identities SET tokens_not_before = :now WHERE id = :user_id", now=now, user_id=user_id)


def _user(row: Sequence[Any]) -> User:
    return User(
        id=row[0],
        issuer=row[1],
        subject=row[2],
        email=row[3],
        name=row[4],
        permissions=tuple(row[5]),
        is_platform_admin=row[6],
        deactivated_at=row[7],
        last_seen_at=row[8],
        created_at=row[9],
    )
