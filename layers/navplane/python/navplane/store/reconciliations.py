"""reconciliation_keys and reconciliations: whom to ask, when, and how what they said compares with the ledger."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from navplane.model.ids import new_id
from navplane.model.reconciliation import (
    DRIFT_PERCENT,
    Comparison,
    Figures,
    ReconciliationKey,
    Report,
    SealedReconciliationKey,
    gathered,
    key_place,
)
from navplane.model.tenancy import Region
from navplane.store.database import Connection

KEY = "id, org_id, provider, key_hint, created_at, requested_at, ran_at, succeeded_at, last_error"
ROW = (
    "id, provider, day, model, ledger_requests, ledger_input, ledger_output, ledger_usd, provider_requests, provider_input,"
    " provider_output, provider_usd, drift, seen_at"
)
# What the reports of providers count too: their tokens, by the calls that buy them.
COUNTED = ("chat.completions", "responses", "embeddings", "messages", "batches", "messages.batches")
EVERY = timedelta(hours=6)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconciliationRow:
    id: UUID
    provider: str
    day: date
    model: str
    ledger_requests: int
    ledger_input: int
    ledger_output: int
    ledger_usd: Decimal
    provider_requests: int | None
    provider_input: int
    provider_output: int
    provider_usd: Decimal
    drift: Decimal
    seen_at: datetime


def keys(db: Connection, *, org_id: UUID) -> list[ReconciliationKey]:
    sql = f"SELECT {KEY} FROM public.reconciliation_keys WHERE org_id = :org_id ORDER BY provider"  # noqa: S608
    rows = db.run(sql, org_id=org_id)
    return [ReconciliationKey(**dict(zip(KEY.split(", "), row, strict=True))) for row in rows]


def insert_key(db: Connection, key: ReconciliationKey, *, region: str, sealed: bytes, kek_id: str) -> bool:
    """False, and nothing stored, when there is one for this provider."""
    rows = db.run(
        """
        INSERT INTO public.reconciliation_keys
            (id, org_id, provider, key_hint, region, sealed, kek_id, created_at, requested_at)
        VALUES (:id, :org_id, :provider, :key_hint, :region, :sealed, :kek_id, :now, :now)
        ON CONFLICT (org_id, provider) DO NOTHING RETURNING id
        """,
        id=key.id,
        org_id=key.org_id,
        provider=key.provider,
        key_hint=key.key_hint,
        region=region,
        sealed=sealed,
        kek_id=kek_id,
        now=key.created_at,
    )
    return bool(rows)


def delete_key(db: Connection, *, org_id: UUID, provider: str) -> None:
    db.run("DELETE FROM public.reconciliation_keys WHERE org_id = :org_id AND provider = :p", org_id=org_id, p=provider)


def request(db: Connection, *, org_id: UUID, now: datetime) -> int:
    """Ask for a run now, for every provider that has a key; how many."""
    db.run("UPDATE public.reconciliation_keys SET requested_at = :now WHERE org_id = :org_id", org_id=org_id, now=now)
    return int(db.row_count)


def claim(db: Connection, *, region: Region, now: datetime, lease: timedelta) -> SealedReconciliationKey | None:
    """A key of this region whose run was asked for or is due, and that nobody holds; held from now on for as long as
    `lease`."""
    rows = db.run(
        """
        UPDATE public.reconciliation_keys AS k SET leased_until = :until
          FROM (SELECT id FROM public.reconciliation_keys
                 WHERE region = :region AND (requested_at <= :now OR ran_at IS NULL OR ran_at <= :due)
                   AND (leased_until IS NULL OR leased_until <= :now)
                 ORDER BY coalesce(requested_at, ran_at, created_at) LIMIT 1 FOR UPDATE SKIP LOCKED) AS mine
         WHERE k.id = mine.id
        RETURNING k.org_id, k.id, k.provider, k.region, k.sealed
        """,
        region=region.value,
        now=now,
        until=now + lease,
        due=now - EVERY,
    )
    if not rows:
        return None
    org_id, key_id, provider, region, sealed = rows[0]
    place = key_place(org_id=org_id, key_id=key_id, provider=provider, region=region)
    return SealedReconciliationKey(context=place, sealed=bytes(sealed))


def finish(db: Connection, *, key_id: UUID, began: datetime, error: str | None) -> None:
    """A run that was asked for after this one `began` is still to come."""
    db.run(
        """
        UPDATE public.reconciliation_keys
           SET ran_at = :began, leased_until = NULL, last_error = :error::text,
               requested_at = CASE WHEN requested_at <= :began THEN NULL ELSE requested_at END,
               succeeded_at = CASE WHEN :error::text IS NULL THEN :began ELSE succeeded_at END
         WHERE id = :id
        """,
        id=key_id,
        began=began,
        error=error,
    )


def ledger(db: Connection, *, org_id: UUID, provider: str, first: date, days: int) -> Report:
    """What the sums say of these UTC days: real calls, by every workspace."""
    start = datetime(first.year, first.month, first.day, tzinfo=UTC)
    rows = db.run(
        """
        SELECT (starts_at AT TIME ZONE 'UTC')::date, coalesce(model, 'unknown'), sum(requests)::bigint,
               sum(input_tokens)::bigint, sum(output_tokens)::bigint, sum(cost_usd)
          FROM public.org_usage_daily
         WHERE org_id = :org_id AND provider = :provider AND NOT demo AND endpoint = ANY (:counted::text[])
           AND starts_at >= :start AND starts_at < :end GROUP BY 1, 2
        """,
        org_id=org_id,
        provider=provider,
        counted=list(COUNTED),
        start=start,
        end=start + timedelta(days=days),
    )
    parts = [(row[0], row[1], Figures(requests=row[2], input_tokens=row[3], output_tokens=row[4], usd=row[5])) for row in rows]
    return gathered(parts)


def replace(
    db: Connection, found: Sequence[Comparison], *, org_id: UUID, provider: str, first: date, days: int, now: datetime
) -> None:
    """What was known of these days gives way to what was found."""
    db.run(
        """
        DELETE FROM public.reconciliations
         WHERE org_id = :org_id AND provider = :provider AND day >= :first AND day < :first + :days::integer
        """,
        org_id=org_id,
        provider=provider,
        first=first,
        days=days,
    )
    for one in found:
        _insert(db, one, org_id=org_id, provider=provider, now=now)


def _insert(db: Connection, one: Comparison, *, org_id: UUID, provider: str, now: datetime) -> None:
    db.run(
        f"""
        INSERT INTO public.reconciliations (org_id, {ROW})
        VALUES (:org_id, :id, :provider, :day, :model, :lr, :li, :lo, :lu, :pr::bigint, :pi, :po, :pu, :drift, :now)
        """,  # noqa: S608 - what is filled in are names of our own columns
        org_id=org_id,
        id=new_id(),
        provider=provider,
        day=one.day,
        model=one.model,
        lr=one.ledger.requests or 0,
        li=one.ledger.input_tokens,
        lo=one.ledger.output_tokens,
        lu=one.ledger.usd,
        pr=one.provider.requests,
        pi=one.provider.input_tokens,
        po=one.provider.output_tokens,
        pu=one.provider.usd,
        drift=one.drift,
        now=now,
    )


def page(
    db: Connection, *, org_id: UUID, limit: int, after: tuple[date, UUID] | None, provider: str | None
) -> list[ReconciliationRow]:
    """Up to `limit`, newest day first."""
    rows = db.run(
        f"""
        SELECT {ROW} FROM public.reconciliations
         WHERE org_id = :org_id AND (:provider::text IS NULL OR provider = :provider::text)
           AND (:after_day::date IS NULL OR (day, id) < (:after_day::date, :after_id::uuid))
         ORDER BY day DESC, id DESC LIMIT :limit
        """,  # noqa: S608 - what is filled in are names of our own columns
        org_id=org_id,
        provider=provider,
        after_day=after[0] if after else None,
        after_id=after[1] if after else None,
        limit=limit,
    )
    return [_row(row) for row in rows]


def drifting(db: Connection, *, since: datetime) -> list[tuple[UUID, str, str, str, Decimal]]:
    """Of every organization, what was lately seen to be apart: organization, provider, model, day and percent."""
    rows = db.run(
        """
        SELECT org_id, provider, model, day::text, drift FROM public.reconciliations
         WHERE seen_at >= :since AND drift > :least
        """,
        since=since,
        least=DRIFT_PERCENT,
    )
    return [(row[0], row[1], row[2], row[3], row[4]) for row in rows]


def _row(row: Sequence[Any]) -> ReconciliationRow:
    return ReconciliationRow(**dict(zip((name.strip() for name in ROW.split(",")), row, strict=True)))
