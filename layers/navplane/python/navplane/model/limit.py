"""Limits: how much a key, a person, a workspace, an organization or the whole platform may use in a window of time.

PostgresGate decides by the same words in SQL, inside the admission; the gate contract suite holds both to it.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from uuid import UUID

NANO_USD = 10**9
# Whose id the limits of the platform bear, in counters, too.
PLATFORM_ID = UUID(int=0)
# What a model may write where nothing says how much, and no strict limit asks.
USUAL_OUTPUT_TOKENS = 4096
# The most that one request is counted with: a counter must never overflow, whatever a body claims.
MOST_COUNTED = 4 * 10**18


class LimitKind(StrEnum):
    """In the order in which they are checked. The value is stored: never rename one. Amounts are integers: tokens, requests,
    streams, and nano-USD for money."""

    USD_PER_MONTH = "usd_per_month"
    USD_PER_DAY = "usd_per_day"
    TOKENS_PER_MONTH = "tokens_per_month"
    TOKENS_PER_DAY = "tokens_per_day"
    CONCURRENT_STREAMS = "concurrent_streams"
    REQUESTS_PER_HOUR = "requests_per_hour"
    REQUESTS_PER_MINUTE = "requests_per_minute"
    TOKENS_PER_MINUTE = "tokens_per_minute"

    @property
    def measure(self) -> str:
        """`usd`, `tokens`, `requests` or `concurrent_streams`."""
        return self.value.partition("_per_")[0]

    @property
    def is_budget(self) -> bool:
        """What is spent, and not soon there again."""
        return self.value.endswith(("_day", "_month"))


class LimitScope(StrEnum):
    """Whom a limit is for; of one kind the narrowest is checked first. USER: whose the keys are, in one organization. The value
    is stored: never rename one."""

    KEY = "key"
    USER = "user"
    WORKSPACE = "workspace"
    ORGANIZATION = "organization"
    PLATFORM = "platform"


class LimitMode(StrEnum):
    """STRICT: what is spent and reserved never exceeds the limit. NORMAL: a request is let through until that has reached the
    limit, so at most one goes over."""

    STRICT = "strict"
    NORMAL = "normal"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """`allow_unpriced`: under a limit in USD, models without a known price pass, and weigh nothing."""

    id: UUID
    scope: LimitScope
    scope_id: UUID
    kind: LimitKind
    amount: int
    mode: LimitMode = LimitMode.STRICT
    allow_unpriced: bool = False

    def allows(self, used: int, weight: int) -> bool:
        """Whether a request of `weight` passes when `used` is spent and reserved. What weighs nothing always does."""
        return weight == 0 or (used + weight <= self.amount if self.mode is LimitMode.STRICT else used < self.amount)


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A fixed window in UTC, named in text. `ends_at` is None for what is not per time."""

    name: str
    ends_at: datetime | None


def window_of(kind: LimitKind, now: datetime) -> Window:
    utc = now.astimezone(UTC)
    minute = utc.replace(second=0, microsecond=0)
    day = minute.replace(hour=0, minute=0)
    match kind.value.partition("_per_")[2]:
        case "minute":
            return Window(name=f"min:{utc:%Y-%m-%dT%H:%M}", ends_at=minute + timedelta(minutes=1))
        case "hour":
            return Window(name=f"h:{utc:%Y-%m-%dT%H}", ends_at=minute.replace(minute=0) + timedelta(hours=1))
        case "day":
            return Window(name=f"d:{utc:%Y-%m-%d}", ends_at=day + timedelta(days=1))
        case "month":
            return Window(name=f"m:{utc:%Y-%m}", ends_at=(day.replace(day=28) + timedelta(days=4)).replace(day=1))
        case _:
            return Window(name="open", ends_at=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Worst:
    """The most that a request can use, as far as its body tells. `input_tokens`: the body holds no more. `contexts`: how often
    the model may read as much as its context instead (server tools, what only the provider holds); 0 where the body is all
    there is, None where nothing bounds it. `output_tokens`: None for as many as the model can."""

    input_tokens: int
    output_tokens: int | None
    contexts: int | None = 0

    @property
    def is_nothing(self) -> bool:
        return (self.input_tokens, self.output_tokens, self.contexts) == (0, 0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelPrice:
    """Ceilings, in nano-USD per token and per request; None where a maximum is not known."""

    input_nano_usd: int
    output_nano_usd: int
    request_nano_usd: int = 0
    context_tokens: int | None = None
    max_output_tokens: int | None = None
