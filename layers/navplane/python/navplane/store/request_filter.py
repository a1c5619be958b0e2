"""Which of the request logs are meant: a span of time and any of what a row says of itself."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from navplane.model.ids import smallest_id_of

# What can be asked for, as the columns are called.
FILTERS = (
    "workspace_id", "key_id", "user_id", "provider", "model", "endpoint", "outcome", "usage_quality", "price_quality", "route",
    "status", "error_code", "stream", "demo", "workflow_version_id", "region",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """From `start` on and before `end`, if they are given; `values` by column, of FILTERS only."""

    start: datetime | None = None
    end: datetime | None = None
    values: dict[str, Any] = field(default_factory=dict)

    def condition(self) -> str:
        """SQL that holds for the rows that are meant; its arguments are those of `arguments`."""
        return " AND ".join(("true", *self._conditions()))

    def _conditions(self) -> Iterator[str]:
        if self.start is not None:
            yield "request_id >= :start"
        if self.end is not None:
            yield "request_id < :end"
        for name in FILTERS:
            if name in self.values:
                yield f"{name} = :is_{name}"

    def arguments(self) -> dict[str, Any]:
        bounds = {"start": self.start, "end": self.end}
        ids = {name: smallest_id_of(moment) for name, moment in bounds.items() if moment is not None}
        # Prefixed, because pg8000 has a parameter of its own that is called `stream`.
        return ids | {f"is_{name}": value for name, value in self.values.items()}


EVERYTHING = Wanted()
