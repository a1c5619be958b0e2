"""The gate that is made when it is first asked."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from navplane.errors import DependencyUnavailable
from navplane.gate.gate import Charge, Gate
from navplane.gate.gate_late import LateGate

from tests.support.gate_memory import MemoryGate, State

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_gate_is_made_at_the_first_question_and_once_for_all_threads() -> None:
    made: list[MemoryGate] = []

    def make() -> Gate:
        made.append(MemoryGate())
        return made[-1]

    gate = LateGate(make)
    assert made == []
    with ThreadPoolExecutor(8) as threads:
        for answer in [threads.submit(gate.ready) for _ in range(32)]:
            answer.result()
    assert len(made) == 1


def test_questions_reach_the_gate() -> None:
    memory = MemoryGate()
    gate = LateGate(lambda: memory)
    request_id = uuid4()
    gate.finalize({request_id: Charge(tokens=3)}, NOW)
    assert memory.state_of(request_id) is State.FINAL
    assert gate.standing([], NOW) == []
    assert gate.expire(NOW, limit=10, now=NOW) == []
    gate.settle(request_id, Charge(), NOW)
    assert memory.charge_of(request_id).tokens == 3


def test_gate_that_could_not_be_made_is_made_again() -> None:
    answers: list[Gate | None] = [MemoryGate(), None]

    def make() -> Gate:
        answer = answers.pop()
        if answer is None:
            raise DependencyUnavailable("not yet")
        return answer

    gate = LateGate(make)
    with pytest.raises(DependencyUnavailable):
        gate.ready()
    gate.ready()
