"""A batch of messages becomes rows: parse, record, tell the gate, and only then may the messages be acknowledged.

A crash between any two steps is harmless: the messages come back, recording them again changes nothing, and the gate is told
once more.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from navplane.errors import DependencyUnavailable
from navplane.gate.gate import Charge, Gate
from navplane.ingest.keep import keep, sort_out
from navplane.ingest.recording import NOBODYS, Recorded, Refused, record_what_can_be, tell_gate
from navplane.model.usage import Usage
from navplane.model.usage_event import MalformedEvent, UsageEvent
from navplane.queue.message import DeadLetter, DeadLetters, Message
from navplane.store.database import Database
from navplane.telemetry import logger

MALFORMED = "not a usage event of a known wire version"


@dataclass(frozen=True, slots=True, kw_only=True)
class Consumer:
    database: Database
    gate: Gate
    dead_letters: DeadLetters
    now: Callable[[], datetime]

    def consume(self, messages: Sequence[Message]) -> frozenset[str]:
        """Record the messages' events; the ids of messages that must come back. All others may be acknowledged.

        A dependency's failure rises: then nothing may be acknowledged. Only a message that is proven to be unrecordable is
        buried, and it comes back if even that fails.
        """
        carrying, messages = sort_out(messages)
        events, malformed = parse(messages)
        recorded = record_what_can_be(self.database, [event for _, event in events])
        tell_gate(self.gate, self.database, recorded.rows, now=self.now())
        recorded = self._void(recorded)
        poison, superseded = sort_refused(events, recorded)
        unburied = self._bury([*malformed, *poison])
        unpriced = sum(row.unpriced for row in recorded.rows)
        counts = {"messages": len(messages), "unpriced": unpriced, "poison": len(malformed) + len(poison)}
        logger.info("usage.recorded", extra=counts)
        return superseded | unburied | keep(self.database, carrying)

    def _void(self, recorded: Recorded) -> Recorded:
        """Close the request ids whose admission the proxy never heard of, and which were not admitted after all: a gate that
        is slower still finds them closed. What remains is poison."""
        void = {request_id: Charge() for request_id, refused in recorded.refused.items() if is_void(refused)}
        if void:
            self.gate.finalize(void, self.now())
        remaining = {request_id: refused for request_id, refused in recorded.refused.items() if request_id not in void}
        return replace(recorded, refused=remaining)

    def _bury(self, letters: Sequence[DeadLetter]) -> frozenset[str]:
        """The ids of those that could not be buried."""
        for letter in letters:
            logger.error("usage.poison", extra={"message_id": letter.message.id, "reason": letter.reason})
        try:
            self.dead_letters.bury(letters)
        except DependencyUnavailable:
            logger.error("usage.poison_unburied", extra={"messages": len(letters)})
            return frozenset(letter.message.id for letter in letters)
        return frozenset()


def parse(messages: Sequence[Message]) -> tuple[list[tuple[Message, UsageEvent]], list[DeadLetter]]:
    events, malformed = [], []
    for message in messages:
        try:
            events.append((message, UsageEvent.from_json(message.body)))
        except MalformedEvent:
            malformed.append(DeadLetter(message=message, reason=MALFORMED))
    return events, malformed


def is_void(refused: Refused) -> bool:
    """An event that claims no key and no usage, and has no reservation: nobody owes anything for it."""
    event = refused.event
    return refused.reason == NOBODYS and event.key_id is None and event.usage == Usage()


def sort_refused(events: Sequence[tuple[Message, UsageEvent]], recorded: Recorded) -> tuple[list[DeadLetter], frozenset[str]]:
    """Dead letters for the refused events, and the ids of messages that a refused one stood in for: another event of the same
    request may be sound, so it gets a try of its own."""
    poison, superseded = [], set()
    for message, event in events:
        refused = recorded.refused.get(event.request_id)
        if refused is None:
            continue
        if event == refused.event:
            poison.append(DeadLetter(message=message, reason=refused.reason))
        else:
            superseded.add(message.id)
    return poison, frozenset(superseded)
