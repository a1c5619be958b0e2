"""The usage event: the one fact that the data plane tells the log plane about a request."""

import json
from dataclasses import dataclass, field, fields
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Self
from uuid import UUID

from navplane.model.ids import RequestId
from navplane.model.usage import Endpoint, Outcome, Usage, UsageQuality

WIRE_VERSION = 1
# In USD. More than this no call costs, and no column holds.
MAX_AMOUNT = 10**9


class MalformedEvent(ValueError):
    """The message is not a usage event: no retry can mend it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageEvent:
    """Times are aware and UTC, durations are milliseconds, sizes are bytes of the bodies.

    Wire form v1 is this object as JSON, with `v`. Fields are never renamed or reused; new ones go last, with a default.
    There is no field that could carry content. `org_id`, `workspace_id` and `key_id` are a hint for people who read a queue:
    the writer takes them from the reservation, or from the key's own row.
    """

    request_id: RequestId
    org_id: UUID | None
    workspace_id: UUID | None
    key_id: UUID | None
    endpoint: Endpoint
    region: str
    started_at: datetime
    status: int
    outcome: Outcome
    usage_quality: UsageQuality
    provider: str | None = None
    provider_key_id: UUID | None = None
    model: str | None = None
    response_model: str | None = None
    stream: bool = False
    demo: bool = False
    error_code: str | None = None
    usage: Usage = field(default_factory=Usage)
    raw_usage: dict[str, Any] | None = None
    service_tier: str | None = None
    provider_request_id: str | None = None
    finish_reason: str | None = None
    attempts: int = 0
    first_byte_ms: int | None = None
    duration_ms: int = 0
    request_bytes: int = 0
    response_bytes: int = 0
    client: str | None = None
    # What the provider itself says that the call cost; only where its word counts.
    provider_cost_usd: Decimal | None = None
    # The route that was taken, and the workflow it comes from; what the provider was called with where that differs from
    # `model`; and each try, where there was a choice: provider, provider_key_id, model, status or error, milliseconds.
    route: str | None = None
    workflow_version_id: UUID | None = None
    upstream_model: str | None = None
    attempt_log: list[dict[str, Any]] | None = None

    def to_json(self) -> str:
        # Not dataclasses.asdict: it copies everything deeply, on the way of every request.
        wire = {name: getattr(self, name) for name in self.__slots__} | {"v": WIRE_VERSION}
        wire["usage"] = {name: getattr(self.usage, name) for name in Usage.__slots__}
        return json.dumps(wire, default=str, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Raise MalformedEvent for anything that is not a v1 event. Unknown fields (of a newer release) are left out."""
        try:
            return cls._from_wire(json.loads(text))
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as exc:
            raise MalformedEvent(f"not a usage event: {exc}") from exc

    @classmethod
    def _from_wire(cls, wire: dict[str, Any]) -> Self:
        if wire["v"] != WIRE_VERSION:
            raise ValueError(f"wire version {wire['v']!r} is not {WIRE_VERSION}")
        known = {field.name: wire[field.name] for field in fields(cls) if field.name in wire}
        for name in ("request_id", "org_id", "workspace_id", "key_id", "provider_key_id", "workflow_version_id"):
            if known.get(name) is not None:
                known[name] = UUID(known[name])
        known["started_at"] = datetime.fromisoformat(known["started_at"])
        known["endpoint"] = Endpoint(known["endpoint"])
        known["outcome"] = Outcome(known["outcome"])
        known["usage_quality"] = UsageQuality(known["usage_quality"])
        if known.get("provider_cost_usd") is not None:
            known["provider_cost_usd"] = _amount(known["provider_cost_usd"])
        usage_fields = {field.name for field in fields(Usage)}
        known["usage"] = Usage(**{name: int(n) for name, n in known.get("usage", {}).items() if name in usage_fields})
        return cls(**known)


def _amount(text: str) -> Decimal:
    """Raise ValueError for what is no amount of money."""
    try:
        amount = Decimal(text)
    except InvalidOperation as exc:
        raise ValueError("not an amount") from exc
    if not amount.is_finite() or not 0 <= amount < MAX_AMOUNT:
        raise ValueError("not an amount")
    return amount
