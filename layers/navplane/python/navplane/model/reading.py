"""What was read of usage in a provider's answer, and what it makes of the usage event of the call that it belongs to."""

from dataclasses import asdict, dataclass, replace
from decimal import Decimal
from typing import Any, Self

from navplane.model.usage import Outcome, Usage, UsageQuality
from navplane.model.usage_event import UsageEvent

BYTES_PER_TOKEN = 4
# How far a response is that has not ended.
_UNDER_WAY = frozenset({"queued", "in_progress"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """`usage` is None where the provider gave none. `final`: these are the provider's last word, not an interim count.
    `ended`: the stream's own end mark was seen. `failed`: the provider reported an error inside the answer. `text_bytes`:
    the size of the generated text seen so far, for an estimate. `cost_usd`: what the answer itself says that it cost."""

    usage: Usage | None
    final: bool
    raw: dict[str, Any] | None
    response_model: str | None
    service_tier: str | None
    finish_reason: str | None
    text_bytes: int
    ended: bool
    failed: bool
    cost_usd: Decimal | None = None

    def to_wire(self) -> dict[str, Any]:
        """As JSON has it, between functions of ours."""
        return asdict(self) | {"cost_usd": None if self.cost_usd is None else str(self.cost_usd)}

    @classmethod
    def from_wire(cls, wire: dict[str, Any]) -> Self:
        """Raise KeyError, TypeError or ValueError for what `to_wire` has not made."""
        usage, cost = wire["usage"], wire["cost_usd"]
        known = wire | {
            "usage": None if usage is None else Usage(**usage),
            "cost_usd": None if cost is None else Decimal(cost),
        }
        return cls(**known)


def under_way(reading: Reading) -> bool:
    """Of a response that is made in the background: it says that it has not ended."""
    return reading.finish_reason in _UNDER_WAY


def response_ended(reading: Reading) -> bool:
    return reading.finish_reason is not None and not under_way(reading)


def measure(reading: Reading | None, *, request_bytes: int) -> tuple[Usage, UsageQuality]:
    """Exact where the provider had its last word. Else an estimate: input as the provider began to count it, or a token for
    every 4 bytes of request; output as far as it was counted, or a token for every 4 bytes of text, whichever is more."""
    if reading is not None and reading.final and reading.usage is not None:
        return reading.usage, UsageQuality.EXACT
    begun = reading.usage if reading is not None else None
    text_tokens = estimate_tokens(reading.text_bytes) if reading is not None else 0
    usage = begun or Usage(input_tokens=estimate_tokens(request_bytes))
    return replace(usage, output_tokens=max(usage.output_tokens, text_tokens)), UsageQuality.ESTIMATED


def estimate_tokens(size: int) -> int:
    return -(-size // BYTES_PER_TOKEN)


def completed(event: UsageEvent, reading: Reading) -> UsageEvent:
    """The event that was kept with an object, with what the object has told since."""
    usage, quality = measure(reading, request_bytes=event.request_bytes)
    return replace(
        event,
        usage=usage,
        usage_quality=quality,
        raw_usage={**(event.raw_usage or {}), **(reading.raw or {})} or None,
        outcome=Outcome.FAILED if reading.failed else Outcome.OK,
        error_code="upstream_error" if reading.failed else None,
        response_model=reading.response_model or event.response_model,
        service_tier=reading.service_tier,
        finish_reason=reading.finish_reason,
    )
