"""The ledger against what a provider says of its own that was used: per UTC day and model. docs/reference/reconciliation.md."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from uuid import UUID

from navplane.model.provider_key import SealedFor, SealingContext

# Days that are over, and no more: a provider's figures come late.
DAYS = 3
# Providers call a model by the snapshot that answered; we go by the name that was asked for.
_SNAPSHOT = re.compile(r"-(\d{4}-\d{2}-\d{2}|\d{8})$")
DRIFT_PERCENT = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """`requests` is None where a provider doesn't count them. Input includes what was cached."""

    requests: int | None = 0
    input_tokens: int = 0
    output_tokens: int = 0
    usd: Decimal = Decimal(0)

    def __add__(self, other: "Figures") -> "Figures":
        counted = self.requests is not None and other.requests is not None
        return Figures(
            requests=(self.requests or 0) + (other.requests or 0) if counted else None,
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            usd=self.usd + other.usd,
        )


Place = tuple[date, str]
Report = Mapping[Place, Figures]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One day and model. `drift` is percent of the larger of the two."""

    day: date
    model: str
    ledger: Figures
    provider: Figures
    drift: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconciliationKey:
    """What may be shown of one, and how its runs went."""

    id: UUID
    org_id: UUID
    provider: str
    key_hint: str
    created_at: datetime
    requested_at: datetime | None = None
    ran_at: datetime | None = None
    succeeded_at: datetime | None = None
    last_error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedReconciliationKey:
    context: SealingContext
    sealed: bytes = field(repr=False)


def key_place(*, org_id: UUID, key_id: UUID, provider: str, region: str) -> SealingContext:
    """What such a key is bound to: of another kind than a provider key, so that no call can ever be made with it."""
    return SealingContext(
        org_id=org_id, provider_key_id=key_id, provider=provider, region=region, kind=SealedFor.RECONCILIATION_KEY
    )


def family(model: str) -> str:
    """`model` without the date of its snapshot."""
    return _SNAPSHOT.sub("", model)


def gathered(parts: list[tuple[date, str, Figures]]) -> Report:
    """The sums per day and model."""
    found: dict[Place, Figures] = {}
    for day, model, figures in parts:
        place = (day, family(model))
        found[place] = found[place] + figures if place in found else figures
    return found


def compared(ledger: Report, provider: Report) -> list[Comparison]:
    """Each day and model that either of them knows."""
    found = []
    for day, model in sorted(ledger.keys() | provider.keys()):
        ours, theirs = ledger.get((day, model), Figures()), provider.get((day, model), Figures())
        found.append(Comparison(day=day, model=model, ledger=ours, provider=theirs, drift=drift_of(ours, theirs)))
    return found


def drift_of(ours: Figures, theirs: Figures) -> Decimal:
    """How far tokens, and where the provider says what it cost also dollars, are apart: the worse of the two, in percent of the
    larger figure, from 0 to 100."""
    tokens = _apart(Decimal(ours.input_tokens + ours.output_tokens), Decimal(theirs.input_tokens + theirs.output_tokens))
    return max(tokens, _apart(ours.usd, theirs.usd) if theirs.usd else Decimal(0)).quantize(Decimal("0.01"))


def _apart(one: Decimal, other: Decimal) -> Decimal:
    larger = max(one, other)
    return abs(one - other) * 100 / larger if larger > 0 else Decimal(0)
