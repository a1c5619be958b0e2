"""What the ledger harness sends, from a seed, and what must come of it."""

import json
import random
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from navplane.gate.gate import Caller
from navplane.model.ids import RequestId
from navplane.model.usage import Usage
from navplane.model.usage_event import UsageEvent
from navplane.store.request_logs import QUALITIES

from tests.support.usage_events import usage_event

DUPLICATES = 0.05
POISON = 0.01
SEVERAL_FACTS = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """`bodies` in the order of sending; `expected` is the event that must stand for each request."""

    bodies: list[str]
    expected: dict[RequestId, UsageEvent]
    poison: list[str]


def make_plan(seed: int, *, requests: int, callers: list[Caller]) -> Plan:
    dice = random.Random(seed)
    events = [event for n in range(requests) for event in _facts(dice, n, callers)]
    expected: dict[RequestId, UsageEvent] = {}
    for event in events:
        known = expected.get(event.request_id)
        if known is None or QUALITIES.index(event.usage_quality) > QUALITIES.index(known.usage_quality):
            expected[event.request_id] = event
    poison = [_poison(dice, callers, n) for n in range(max(3, int(requests * POISON)))]
    bodies = [event.to_json() for event in events] + poison
    bodies += dice.sample([event.to_json() for event in events], int(len(events) * DUPLICATES))
    dice.shuffle(bodies)
    return Plan(bodies=bodies, expected=expected, poison=poison)


def _facts(dice: random.Random, n: int, callers: list[Caller]) -> list[UsageEvent]:
    """One to three facts about one request, each with a number of tokens of its own."""
    first = usage_event(
        request_id=_request_id(dice), key_id=dice.choice(callers).key_id, model="gpt-5" if n % 4 else f"model-{n}"
    )
    qualities = dice.sample(QUALITIES, dice.randint(2, 3)) if dice.random() < SEVERAL_FACTS else [dice.choice(QUALITIES)]
    return [
        replace(
            first,
            usage_quality=quality,
            usage=Usage(input_tokens=dice.randint(1, 10**6), output_tokens=dice.randint(1, 999)),
        )
        for quality in qualities
    ]


def _request_id(dice: random.Random) -> UUID:
    milliseconds = int((datetime.now(UTC) - timedelta(seconds=dice.randint(0, 3600))).timestamp() * 1000)
    return UUID(int=milliseconds << 80 | 0x7 << 76 | dice.getrandbits(12) << 64 | 0x2 << 62 | dice.getrandbits(62))


def _poison(dice: random.Random, callers: list[Caller], n: int) -> str:
    """Of every kind: no event at all, one that Postgres refuses, one of a month that is gone, one of nobody's."""
    sound = usage_event(request_id=_request_id(dice), key_id=callers[0].key_id)
    return (
        json.dumps({"v": 1, "n": n}),
        replace(sound, duration_ms=2**31 + n).to_json(),
        replace(sound, request_id=UUID(int=sound.request_id.int & (1 << 80) - 1 | 1 << 80)).to_json(),
        replace(sound, key_id=UUID(int=dice.getrandbits(128))).to_json(),
    )[n % 4]
