"""user_identities: who has signed in, by issuer and subject."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from navplane.store.database import Connection

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
