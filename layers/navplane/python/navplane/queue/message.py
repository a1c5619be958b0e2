"""A message as the log plane sees it, and the Protocols of where messages come from and where poison goes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """`id` is unique within the queue; `receipt` stands for this one delivery of it."""

    id: str
    body: str
    receipt: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A message that no retry can mend. `reason` says why, in printable ASCII, without anything of its body."""

    message: Message
    reason: str


class MessageSource(Protocol):
    """A queue with SQS's semantics: what is taken stays hidden for a while and comes back unless it is acknowledged.
    All methods raise DependencyUnavailable when the queue can't be reached."""

    def take(self, limit: int, *, wait_seconds: float) -> Sequence[Message]:
        """Up to `limit` messages; none if there were none for `wait_seconds`."""
        ...

    def acknowledge(self, messages: Sequence[Message]) -> None: ...


class DeadLetters(Protocol):
    def bury(self, letters: Sequence[DeadLetter]) -> None:
        """Keep the letters durably where operators look; only then may their messages be acknowledged. Burying one twice is
        harmless. Raise DependencyUnavailable if that is not certain."""
        ...
