"""model_prices: the price list that admission reads, replaced as a whole."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from navplane.store.database import Connection

# Any number that nothing else locks in this database.
_LOCK = 0x6E61_7672


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelPrice:
    """A row: of a provider's rows whose `pattern` (a Postgres regular expression) matches a model's name, the one with the
    lowest position holds. The prices are ceilings in nano-USD, per token and per request."""

    provider: str
    position: int
    pattern: str
    model: str
    input_nano_usd: int
    output_nano_usd: int
    request_nano_usd: int
    context_tokens: int | None


def lock(db: Connection) -> None:
    """Until the end of the transaction, nobody else replaces the list."""
    db.run("SELECT pg_advisory_xact_lock(:key)", key=_LOCK)


def loaded_version(db: Connection) -> str | None:
    """What the list was made from; None if there is none."""
    rows = db.run("SELECT source_version FROM public.model_prices LIMIT 1")
    return rows[0][0] if rows else None


def replace(db: Connection, prices: Sequence[ModelPrice], *, version: str, now: datetime) -> None:
    """Readers see the old list until the transaction commits, and then the new one."""
    db.run("DELETE FROM public.model_prices")
    db.run(
        """
        INSERT INTO public.model_prices (provider, position, pattern, model, input_nano_usd, output_nano_usd,
                                         request_nano_usd, context_tokens, source_version, loaded_at)
        SELECT p.*, :version, :now
          FROM jsonb_to_recordset(:prices::jsonb) AS p (provider text, position integer, pattern text, model text,
               input_nano_usd bigint, output_nano_usd bigint, request_nano_usd bigint, context_tokens bigint)
        """,
        prices=json.dumps([asdict(price) for price in prices]),
        version=version,
        now=now,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedPrice:
    provider: str
    model: str
    input_nano_usd: int
    output_nano_usd: int
    request_nano_usd: int
    context_tokens: int | None
    source_version: str
    loaded_at: datetime


def listed(db: Connection, *, provider: str | None = None) -> list[LoadedPrice]:
    """Each model once, by the row that holds for its name."""
    columns = tuple(LoadedPrice.__dataclass_fields__)
    rows = db.run(
        f"SELECT DISTINCT ON (provider, model) {', '.join(columns)} FROM public.model_prices"  # noqa: S608 - our own names
        " WHERE :provider::text IS NULL OR provider = :provider::text ORDER BY provider, model, position",
        provider=provider,
    )
    return [LoadedPrice(**dict(zip(columns, row, strict=True))) for row in rows]
