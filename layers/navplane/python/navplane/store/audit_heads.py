"""audit_keys, audit_chains and audit_heads: who signs the audit, where each chain ends, and what was signed of it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from navplane.store.database import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditKey:
    """`sealed` is the private half under the KEK `kek_id`; only the signer reads it."""

    id: UUID
    public_key: bytes
    region: str
    sealed: bytes = field(repr=False)
    kek_id: str
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptHead:
    org_id: UUID
    sequence: int
    hash: bytes
    signed_at: datetime
    key_id: UUID
    signature: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsigned:
    """A chain that has grown since its last signed head, or whose head is old. `signed` is that head's place, or 0."""

    org_id: UUID
    sequence: int
    hash: bytes
    signed: int
    signed_hash: bytes


def keys(db: Connection, *, region: str) -> list[AuditKey]:
    """The newest first: that one signs."""
    rows = db.run(
        """
        SELECT id, public_key, region, sealed, kek_id, created_at FROM public.audit_keys
         WHERE region = :region ORDER BY created_at DESC, id
        """,
        region=region,
    )
    return [
        AuditKey(id=row[0], public_key=bytes(row[1]), region=row[2], sealed=bytes(row[3]), kek_id=row[4], created_at=row[5])
        for row in rows
    ]


def public_keys(db: Connection) -> list[tuple[UUID, bytes, datetime]]:
    """Id, public key and since when; the newest first."""
    rows = db.run("SELECT id, public_key, created_at FROM public.audit_keys ORDER BY created_at DESC, id")
    return [(row[0], bytes(row[1]), row[2]) for row in rows]


def insert_key(db: Connection, key: AuditKey) -> None:
    db.run(
        """
        INSERT INTO public.audit_keys (id, public_key, region, sealed, kek_id, created_at)
        VALUES (:id, :public_key, :region, :sealed, :kek_id, :created_at)
        """,
        id=key.id,
        public_key=key.public_key,
        region=key.region,
        sealed=key.sealed,
        kek_id=key.kek_id,
        created_at=key.created_at,
    )


def alone(db: Connection) -> None:
    """Until the transaction ends no other signer makes a key or signs."""
    db.run("SELECT pg_advisory_xact_lock(hashtextextended('navplane.audit.sign', 0))")


def unsigned(db: Connection, *, signed_before: datetime, limit: int) -> list[Unsigned]:
    """Up to `limit` chains with entries since their last signed head, or whose last was signed before `signed_before`."""
    rows = db.run(
        """
        SELECT c.org_id, c.sequence, c.hash, coalesce(h.sequence, 0), coalesce(h.hash, decode(repeat('00', 32), 'hex'))
          FROM public.audit_chains AS c
          LEFT JOIN LATERAL (
               SELECT k.sequence, k.hash, k.signed_at FROM public.audit_heads AS k WHERE k.org_id = c.org_id
                ORDER BY k.sequence DESC, k.signed_at DESC LIMIT 1) AS h ON true
         WHERE h.sequence IS NULL OR h.sequence <> c.sequence OR h.signed_at < :signed_before
         ORDER BY h.signed_at NULLS FIRST, c.org_id LIMIT :limit
        """,
        signed_before=signed_before,
        limit=limit,
    )
    return [
        Unsigned(org_id=row[0], sequence=row[1], hash=bytes(row[2]), signed=row[3], signed_hash=bytes(row[4])) for row in rows
    ]


def insert_head(db: Connection, head: KeptHead) -> None:
    db.run(
        """
        INSERT INTO public.audit_heads (org_id, sequence, hash, signed_at, key_id, signature)
        VALUES (:org_id, :sequence, :hash, :signed_at, :key_id, :signature)
        """,
        org_id=head.org_id,
        sequence=head.sequence,
        hash=head.hash,
        signed_at=head.signed_at,
        key_id=head.key_id,
        signature=head.signature,
    )


def heads(db: Connection, *, org_id: UUID, first: int, last: int) -> list[KeptHead]:
    """Those of the places `first` to `last`, and the newest of all."""
    rows = db.run(
        """
        SELECT org_id, sequence, hash, signed_at, key_id, signature FROM public.audit_heads
         WHERE org_id = :org_id AND (sequence BETWEEN :first AND :last
               OR (sequence, signed_at) = (SELECT sequence, signed_at FROM public.audit_heads WHERE org_id = :org_id
                                            ORDER BY sequence DESC, signed_at DESC LIMIT 1))
         ORDER BY sequence, signed_at
        """,
        org_id=org_id,
        first=first,
        last=last,
    )
    return [_head(row) for row in rows]


def _head(row: Sequence[Any]) -> KeptHead:
    return KeptHead(
        org_id=row[0], sequence=row[1], hash=bytes(row[2]), signed_at=row[3], key_id=row[4], signature=bytes(row[5])
    )
