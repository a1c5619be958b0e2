"""What is in the dead-letter queue, for operators: how it looks without its content, and how it goes back on its way."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from navplane.model.usage_event import MalformedEvent, UsageEvent

# Of an event, what tells an operator whose it is and what became of it. Nothing that a caller has written is among it.
SHOWN = ("request_id", "key_id", "provider", "endpoint", "region", "status", "outcome", "usage_quality", "started_at")
NO_REASON = "none given: it was delivered too often, or put there by hand"


@dataclass(frozen=True, slots=True, kw_only=True)
class BuriedLetter:
    """`receipt` stands for this one look at it; `buried_at` is when it came to where it is."""

    id: str
    body: str
    reason: str
    buried_at: datetime
    receipt: str = ""


class Shelf(Protocol):
    """Where dead letters lie. All methods raise DependencyUnavailable when it can't be reached."""

    def letters(self, limit: int) -> Sequence[BuriedLetter]:
        """Up to `limit` letters. They may be out of others' sight until `put_back` or `redrive`."""
        ...

    def put_back(self, letters: Sequence[BuriedLetter]) -> None: ...

    def redrive(self, letters: Sequence[BuriedLetter]) -> int:
        """Send them on their way again, and only then take them off the shelf: one may be delivered twice, which is harmless,
        and none is lost. How many went."""
        ...


def redrive_all(shelf: Shelf, *, limit: int, wanted: Callable[[BuriedLetter], bool]) -> int:
    """Redrive the wanted ones of up to `limit` letters. They are all gathered first: one that comes back at once, because its
    cause is still there, is not met again."""
    letters = shelf.letters(limit)
    chosen = [letter for letter in letters if wanted(letter)]
    try:
        return shelf.redrive(chosen)
    finally:
        shelf.put_back([letter for letter in letters if not wanted(letter)])


def shown(letter: BuriedLetter) -> dict[str, Any]:
    """The letter without its content: who it is about, or, if it is no event at all, only its size and a digest to compare."""
    about: dict[str, Any] = {"id": letter.id, "reason": letter.reason, "buried_at": letter.buried_at.isoformat()}
    try:
        event = UsageEvent.from_json(letter.body)
    except MalformedEvent:
        event = None
    facts = {name: getattr(event, name) for name in SHOWN} if event else None
    size = {"bytes": len(letter.body.encode()), "sha256": hashlib.sha256(letter.body.encode()).hexdigest()}
    return {**about, **size, "event": {name: _plain(value) for name, value in facts.items()} if facts else None}


def _plain(value: object) -> object:
    return value if value is None or isinstance(value, int) else str(value)
