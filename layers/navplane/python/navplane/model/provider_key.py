"""A provider key as the rest of the code sees it: sealed, or only hinted at."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderKey:
    """What may be shown of a stored provider key. `key_hint` is its last four characters. Where a provider has a default key,
    calls go to that one alone; where it has none they are shared out by `weight`. `replaces` is the key whose rotation
    made this one."""

    id: UUID
    org_id: UUID
    provider: str
    label: str
    key_hint: str
    base_url: str | None
    demo: bool
    created_at: datetime
    is_default: bool = False
    replaces: UUID | None = None
    weight: int = 1


class SealedFor(StrEnum):
    """What kind of secret a sealed value holds. On AWS a function's right to use the KEK may be bound to one of them, and the
    value is bound to it for good: never rename one."""

    PROVIDER_KEY = "provider_key"
    AUDIT_KEY = "audit_key"
    WEBHOOK_SECRET = "webhook_secret"  # noqa: S105 - a kind of secret, not one
    RECONCILIATION_KEY = "reconciliation_key"


@dataclass(frozen=True, slots=True, kw_only=True)
class SealingContext:
    """What a sealed value is bound to; opening it anywhere else fails (docs/adr on envelope encryption). `provider_key_id` is
    the id of the row that holds it, whatever its kind; `provider` is `none` where there is none, never empty."""

    org_id: UUID
    provider_key_id: UUID
    provider: str
    region: str
    kind: SealedFor = SealedFor.PROVIDER_KEY


class Secret:
    """Bytes that don't show themselves: repr and str are redacted, `reveal` is the one way in."""

    __slots__ = ("_value",)

    def __init__(self, value: bytes) -> None:
        self._value = value

    def reveal(self) -> bytes:
        return self._value

    def __repr__(self) -> str:
        return "Secret(redacted)"

    def __eq__(self, other: object) -> bool:
        raise TypeError("secrets are not compared; use hmac.compare_digest on what they reveal")

    __hash__ = None  # type: ignore[assignment]


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedProviderKey:
    """A route candidate: which key to use, where, and its sealed bytes (versioned; see crypto/envelope)."""

    context: SealingContext
    base_url: str | None
    demo: bool
    sealed: bytes = field(repr=False)
