"""Every table that holds something sealed, and how a row says what it is bound to. Rotations work by this list."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from navplane.model.provider_key import SealedFor, SealingContext
from navplane.store.database import Connection

NOBODY = "'00000000-0000-0000-0000-000000000000'::uuid"


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedTable:
    """A table with `id`, `sealed`, `kek_id` and `region`. `organization` and `provider` are SQL over its columns; `in_gate`: a
    gate may hold copies of what is sealed here."""

    name: str
    kind: SealedFor
    organization: str = "org_id"
    provider: str = "'none'"
    in_gate: bool = False


# A table that is not here is found by a test, which reads the catalogue.
SEALED_TABLES = (
    SealedTable(name="provider_keys", kind=SealedFor.PROVIDER_KEY, provider="provider", in_gate=True),
    SealedTable(name="audit_keys", kind=SealedFor.AUDIT_KEY, organization=NOBODY),
    SealedTable(name="reconciliation_keys", kind=SealedFor.RECONCILIATION_KEY, provider="provider"),
    SealedTable(name="alert_destinations", kind=SealedFor.WEBHOOK_SECRET, organization=f"coalesce(org_id, {NOBODY})"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedRow:
    table: SealedTable
    context: SealingContext
    sealed: bytes = field(repr=False)

    @property
    def id(self) -> UUID:
        return self.context.provider_key_id


def page(db: Connection, table: SealedTable, *, kek_id: str, after: UUID, limit: int) -> list[SealedRow]:
    """Up to `limit` rows sealed under `kek_id`, by their ids, beginning after one."""
    rows = db.run(
        f"""
        SELECT {table.organization}, id, {table.provider}, region, sealed FROM public.{table.name}
         WHERE kek_id = :kek_id AND length(sealed) > 0 AND id > :after ORDER BY id LIMIT :limit
        """,  # noqa: S608 - what is filled in is in the list above
        kek_id=kek_id,
        after=after,
        limit=limit,
    )
    return [_row(table, row) for row in rows]


def exchange(db: Connection, row: SealedRow, *, sealed: bytes, kek_id: str) -> bool:
    """Put `sealed` in the place of what `row` held, if it holds that still."""
    rows = db.run(
        f"""
        UPDATE public.{row.table.name} SET sealed = :sealed, kek_id = :kek_id WHERE id = :id AND sealed = :before
        RETURNING id
        """,  # noqa: S608 - what is filled in is in the list above
        sealed=sealed,
        kek_id=kek_id,
        id=row.id,
        before=row.sealed,
    )
    return bool(rows)


def count(db: Connection, *, kek_id: str) -> int:
    """How many values are sealed under `kek_id`, in one snapshot of all tables."""
    counts = " + ".join(
        f"(SELECT count(*) FROM public.{table.name} WHERE kek_id = :kek_id AND length(sealed) > 0)"  # noqa: S608
        for table in SEALED_TABLES
    )
    found: int = db.run(f"SELECT {counts}", kek_id=kek_id)[0][0]
    return found


def by_kek(db: Connection) -> dict[str, int]:
    """How many values are sealed under each KEK."""
    union = " UNION ALL ".join(
        f"SELECT kek_id FROM public.{table.name} WHERE length(sealed) > 0"  # noqa: S608
        for table in SEALED_TABLES
    )
    return dict(db.run(f"SELECT kek_id, count(*) FROM ({union}) AS sealed GROUP BY 1 ORDER BY 1"))  # noqa: S608


def _row(table: SealedTable, row: Sequence[Any]) -> SealedRow:
    context = SealingContext(org_id=row[0], provider_key_id=row[1], provider=row[2], region=row[3], kind=table.kind)
    return SealedRow(table=table, context=context, sealed=bytes(row[4]))
