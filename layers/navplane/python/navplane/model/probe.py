"""What a provider says of a stored key, or of an object that it keeps for us, and who can ask."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol, Self
from uuid import UUID

from navplane.model.reading import Reading
from navplane.model.usage import Endpoint


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Awaited:
    """An object at a provider that will tell what the call that made it used: a batch, or a response in the background.
    `endpoint` is that call's."""

    org_id: UUID
    provider_key_id: UUID
    provider: str
    endpoint: Endpoint
    object_id: str


class CollectState(StrEnum):
    """UNTOLD: the provider could not be asked or did not say, and may be asked again. TOO_LARGE: there is no use in that."""

    OVER = "over"
    UNDER_WAY = "under_way"
    UNTOLD = "untold"
    TOO_LARGE = "too_large"


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """`reading` is there exactly where `state` is OVER."""

    state: CollectState
    reading: Reading | None = None

    def to_wire(self) -> dict[str, Any]:
        return {"state": self.state.value, "reading": self.reading and self.reading.to_wire()}

    @classmethod
    def from_wire(cls, wire: dict[str, Any]) -> Self:
        """Raise KeyError, TypeError or ValueError for what `to_wire` has not made."""
        reading = wire["reading"]
        return cls(state=CollectState(wire["state"]), reading=None if reading is None else Reading.from_wire(reading))


class Probe(Protocol):
    """Opens a stored provider key and asks its provider. Both raise DependencyUnavailable when it can't be opened just now."""

    def test(self, *, org_id: UUID, provider_key_id: UUID) -> Probed | None:
        """None when there is no such key."""
        ...

    def collect(self, awaited: Awaited) -> Collected:
        """What the object says of its usage by now; never anything of its content."""
        ...
