"""What a provider says of a stored key, and who can ask."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol
from uuid import UUID


class ProbeResult(StrEnum):
    OK = "ok"
    INVALID = "invalid"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Probed:
    """`duration_ms` is how long the provider took. `unreachable` says nothing of the key."""

    result: ProbeResult
    tested_at: datetime
    duration_ms: int


class Probe(Protocol):
    """Opens a stored provider key and asks its provider about it."""

    def test(self, *, org_id: UUID, provider_key_id: UUID) -> Probed | None:
        """None when there is no such key. Raise DependencyUnavailable when it can't be opened just now."""
        ...
