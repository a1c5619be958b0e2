"""Where gate and queue are one database: a reservation is settled and its usage event handed over in one step."""

from datetime import datetime
from typing import Protocol

from navplane.model.usage_event import UsageEvent


class Closing(Protocol):
    def settle_and_send(self, event: UsageEvent, *, tokens: int, nano_usd: int | None, now: datetime) -> None:
        """Both or neither. Raise whatever kept it from being known to be done: the two are then done apart, and twice does no
        harm."""
        ...
