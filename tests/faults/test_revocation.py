"""Kills and revocations under load, with several warm environments: none admits after the acknowledgement.

Prints one JSON line. REVOCATION_TRIALS and REVOCATION_ENVIRONMENTS make it larger.
"""

import json
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Protocol

from navplane.gate.gate import Admission, Ask, Refusal
from navplane.gate.gate_postgres import PostgresGate

from tests.support.gate_seed_postgres import NOW, PostgresSeed, Tenant
from tests.support.postgres import TestDatabase

TRIALS = int(os.environ.get("REVOCATION_TRIALS", "10"))
ENVIRONMENTS = int(os.environ.get("REVOCATION_ENVIRONMENTS", "8"))
# How many times each environment asks once it is known that the change was acknowledged.
AFTER = 3


class Admits(Protocol):
    def admit(self, ask: Ask, now: datetime) -> Admission | Refusal: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """`admitted_after`: admissions that were asked for after the acknowledgement."""

    harness: str
    trials: int
    environments: int
    admitted_before: int
    refused_after: int
    admitted_after: int


class Remembers:
    """A mutant: an identity cache, good for a moment."""

    SECONDS = 0.3

    def __init__(self, gate: PostgresGate) -> None:
        self._gate = gate
        self._known: dict[bytes, tuple[float, Admission | Refusal]] = {}

    def admit(self, ask: Ask, now: datetime) -> Admission | Refusal:
        when, answer = self._known.get(ask.key_digest, (0.0, None))
        if answer is None or time.monotonic() - when > self.SECONDS:
            answer = self._gate.admit(ask, now)
            self._known[ask.key_digest] = (time.monotonic(), answer)
        return answer


def run(databases: TestDatabase, trials: int, environment: Callable[[PostgresGate], Admits]) -> Report:
    seed = PostgresSeed(databases.as_role("navplane_admin"))
    gates = [environment(PostgresGate(databases.as_role("navplane_gate", size=1))) for _ in range(ENVIRONMENTS)]
    counts = [0, 0, 0]
    with ThreadPoolExecutor(ENVIRONMENTS) as threads:
        for number in range(trials):
            for place, count in enumerate(_trial(seed, gates, threads, kill=number % 2 == 0)):
                counts[place] += count
    return Report(
        harness="revocation", trials=trials, environments=ENVIRONMENTS, admitted_before=counts[0], refused_after=counts[1],
        admitted_after=counts[2],
    )  # fmt: skip


def _trial(seed: PostgresSeed, gates: list[Admits], threads: ThreadPoolExecutor, *, kill: bool) -> tuple[int, int, int]:
    tenant, acknowledged, warm = Tenant(seed), threading.Event(), threading.Barrier(len(gates) + 1)

    def serve(gate: Admits) -> tuple[int, int, int]:
        before = refused = after = 0
        assert isinstance(gate.admit(tenant.ask(), NOW), Admission)
        warm.wait()
        while refused + after < AFTER:
            known = acknowledged.is_set()
            admitted = isinstance(gate.admit(tenant.ask(), NOW), Admission)
            before += admitted and not known
            after += admitted and known
            refused += known and not admitted
        return before, refused, after

    serving = [threads.submit(serve, gate) for gate in gates]
    warm.wait()
    if kill:
        seed.set_enabled(tenant.org_id, False)
    else:
        seed.revoke(tenant.caller.key_id)
    acknowledged.set()
    before, refused, after = zip(*(each.result(timeout=60) for each in serving), strict=True)
    return sum(before), sum(refused), sum(after)


def test_nothing_is_admitted_after_the_acknowledgement(databases: TestDatabase) -> None:
    report = run(databases, TRIALS, lambda gate: gate)
    print(json.dumps(asdict(report)))
    assert (report.admitted_after, report.refused_after) == (0, TRIALS * ENVIRONMENTS * AFTER)


def test_the_harness_catches_an_environment_that_remembers(databases: TestDatabase) -> None:
    assert run(databases, 2, Remembers).admitted_after > 0
