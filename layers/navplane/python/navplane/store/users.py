"""user_identities: who has signed in, by issuer and subject."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from navplane.store.database import Connection

# Seen again within this time is not written again: a person's every click would be a write otherwise.
SEEN_RESOLUTION = timedelta(minutes=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What an issuer says of a user. `email` and `name` are for people to read; nothing is decided by them."""

    issuer: str
    subject: str
    email: str | None
    name: str | None


def is_platform_admin(db: Connection, *, issuer: str, subject: str) -> bool:
    rows = db.run(
        "SELECT is_platform_admin FROM public.user_identities WHERE issuer = :issuer AND subject = :subject",
        issuer=issuer,
        subject=subject,
    )
    return bool(rows and rows[0][0])


def is_member(db: Connection, *, org_id: UUID, user_id: UUID) -> bool:
    sql = "SELECT FROM public.org_members WHERE org_id = :org_id AND user_id = :user_id"
    return bool(db.run(sql, org_id=org_id, user_id=user_id))


def see(db: Connection, identity: Identity, *, user_id: UUID, now: datetime) -> bool:
    """Write down that the user was here, under `user_id` if never before; return whether it is a platform admin."""
    db.run(
        """
        INSERT INTO public.user_identities AS u (id, issuer, subject, email, name, last_seen_at, created_at, updated_at)
        VALUES (:user_id, :issuer, :subject, :email, :name, :now, :now, :now)
        ON CONFLICT (issuer, subject) DO UPDATE
           SET email = excluded.email, name = excluded.name, last_seen_at = excluded.last_seen_at
         WHERE u.last_seen_at IS NULL OR u.last_seen_at < :seen_before
            OR (u.email, u.name) IS DISTINCT FROM (excluded.email, excluded.name)
        """,
        user_id=user_id,
        issuer=identity.issuer,
        subject=identity.subject,
        email=identity.email,
        name=identity.name,
        now=now,
        seen_before=now - SEEN_RESOLUTION,
    )
    return is_platform_admin(db, issuer=identity.issuer, subject=identity.subject)
