"""A budget in its current window: how much of it is spent, held and left, and where it is heading."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from navplane.model.limit import NANO_USD, LimitKind, LimitMode, LimitScope

# Earlier in its window a budget's pace says nothing yet.
FORECAST_AFTER = Decimal("0.04")


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Amounts are those of the gate's counters: tokens, or nano-USD. `used` is spent and reserved together."""

    limit_id: UUID
    org_id: UUID
    scope: LimitScope
    scope_id: UUID
    kind: LimitKind
    amount: int
    mode: LimitMode
    created_at: datetime
    window_name: str
    starts_at: datetime
    ends_at: datetime
    used: int
    reserved: int

    @property
    def spent(self) -> int:
        return self.used - self.reserved

    @property
    def remaining(self) -> int:
        """What an admission may still reserve; never below 0."""
        return max(self.amount - self.used, 0)

    @property
    def percent(self) -> Decimal | None:
        """Spent, of the whole; None for a budget of nothing."""
        return Decimal(100 * self.spent) / self.amount if self.amount else None

    def forecast(self, now: datetime) -> int | None:
        """What will be spent at the window's end if it goes on as since its beginning; None while it is too early to say."""
        length, passed = (self.ends_at - self.starts_at).total_seconds(), (now - self.starts_at).total_seconds()
        if passed < float(FORECAST_AFTER) * length:
            return None
        return int(self.spent * Decimal(length) / Decimal(passed))

    def in_unit(self, amount: int) -> Decimal:
        """As people count it: tokens, or USD."""
        return Decimal(amount) / NANO_USD if self.kind.measure == "usd" else Decimal(amount)
