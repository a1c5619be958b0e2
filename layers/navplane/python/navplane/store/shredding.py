"""shredding_certificates: what was destroyed of an organization's secrets, and who vouches for it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from navplane.store.database import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """`statement` is the text that is signed; the last three are None until it is."""

    org_id: UUID
    id: UUID
    statement: str
    key_id: UUID | None
    signature: bytes | None
    signed_at: datetime | None


_SELECT = "SELECT org_id, id, statement, key_id, signature, signed_at FROM public.shredding_certificates"


def shred(db: Connection, *, org_id: UUID, certificate_id: UUID, actor: str, now: datetime) -> str:
    """Destroy everything that is sealed for the transaction's organization; the statement of what that was."""
    sql = "SELECT public.shred_organization(:certificate_id, :org_id, :actor, :now)"
    statement: str = db.run(sql, certificate_id=certificate_id, org_id=org_id, actor=actor, now=now)[0][0]
    return statement


def find(db: Connection, *, org_id: UUID) -> Certificate | None:
    rows = db.run(_SELECT + " WHERE org_id = :org_id", org_id=org_id)
    return _certificate(rows[0]) if rows else None


def unsigned(db: Connection, *, limit: int) -> list[Certificate]:
    rows = db.run(_SELECT + " WHERE signature IS NULL ORDER BY created_at LIMIT :limit", limit=limit)
    return [_certificate(row) for row in rows]


def sign(db: Connection, *, certificate_id: UUID, key_id: UUID, signature: bytes, now: datetime) -> None:
    db.run(
        """
        UPDATE public.shredding_certificates SET key_id = :key_id, signature = :signature, signed_at = :now
         WHERE id = :id AND signature IS NULL
        """,
        key_id=key_id,
        signature=signature,
        now=now,
        id=certificate_id,
    )


def _certificate(row: Sequence[Any]) -> Certificate:
    return Certificate(
        org_id=row[0],
        id=row[1],
        statement=row[2],
        key_id=row[3],
        signature=bytes(row[4]) if row[4] is not None else None,
        signed_at=row[5],
    )
