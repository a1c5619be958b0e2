"""Admissions that are remembered, for organizations that chose to be served while the gate can't answer (docs/adr/0057).

Only what the gate itself said may outlast it is kept, never for longer than `seconds` after the gate was asked, and never
past a refusal of the same key that this process has seen. In good times the gate is asked about every call.
"""

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from navplane.gate.gate import Admission, Ask, Refusal

MAX_KEYS = 1000
QUESTIONS_PER_KEY = 100
# While the gate fails it is asked this often about one key, however many calls there are.
AGAIN_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """`at` is when the gate was asked, in seconds of the monotonic clock."""

    admission: Admission
    at: float


class AdmissionMemory:
    """Safe to use from many threads. Times are seconds of the monotonic clock."""

    def __init__(self, *, seconds: float) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._kept: OrderedDict[bytes, OrderedDict[Any, Remembered]] = OrderedDict()
        self._failing = False
        self._asked: dict[bytes, float] = {}
        # When it was last known that nothing older about a key may be gone by.
        self._erased: OrderedDict[bytes, float] = OrderedDict()

    def note(self, ask: Ask, answer: Admission | Refusal, *, at: float, answered: float, keep: bool = True) -> None:
        """The gate was asked `at` and had `answered`: it is there, and this is what counts from now on. Answers may be noted in
        another order than they were given in."""
        with self._lock:
            self._failing = False
            self._asked.clear()
            if not isinstance(answer, Admission) or not answer.may_outlast_gate:
                self._erase(ask.key_digest, answered)
            elif keep and at > self._erased.get(ask.key_digest, 0.0):
                self._keep(ask, Remembered(admission=answer, at=at))

    def recall(self, ask: Ask, now: float) -> Remembered | None:
        """The gate could not answer. What it last said to the same question, if that is not too long ago."""
        with self._lock:
            self._failing = True
            return self._find(ask, now)

    def spare(self, ask: Ask, now: float) -> Remembered | None:
        """What to go by without asking: the gate is failing, and somebody asked it about this key a moment ago."""
        with self._lock:
            if not self._failing or (found := self._find(ask, now)) is None:
                return None
            if now - self._asked.get(ask.key_digest, -AGAIN_SECONDS) < AGAIN_SECONDS:
                return found
            self._asked[ask.key_digest] = now
            return None

    def _erase(self, key_digest: bytes, answered: float) -> None:
        """An admission that was asked for before then, and comes only now, must not be written back."""
        self._kept.pop(key_digest, None)
        self._erased[key_digest] = max(answered, self._erased.get(key_digest, 0.0))
        self._erased.move_to_end(key_digest)
        if len(self._erased) > MAX_KEYS:
            self._erased.popitem(last=False)

    def _keep(self, ask: Ask, remembered: Remembered) -> None:
        questions = self._kept.setdefault(ask.key_digest, OrderedDict())
        self._kept.move_to_end(ask.key_digest)
        if len(self._kept) > MAX_KEYS:
            self._kept.popitem(last=False)
        questions[_question(ask)] = remembered
        questions.move_to_end(_question(ask))
        if len(questions) > QUESTIONS_PER_KEY:
            questions.popitem(last=False)

    def _find(self, ask: Ask, now: float) -> Remembered | None:
        questions = self._kept.get(ask.key_digest)
        found = questions.get(_question(ask)) if questions else None
        return found if found is not None and now - found.at <= self._seconds else None


def _question(ask: Ask) -> tuple[object, ...]:
    """All that the answer depends on but for limits, of which there are none."""
    return (
        ask.endpoint, ask.provider, ask.model, ask.region, ask.stream, ask.dialect, ask.pinned, ask.offering, ask.touches_files,
        ask.also_models, tuple(sorted(ask.attributes.items())),
    )  # fmt: skip
