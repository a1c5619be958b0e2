"""Whether the dependencies can be used just now: each by a probe that returns if it can and raises if not."""

import time
from collections.abc import Callable, Mapping
from enum import StrEnum
from threading import Lock

from navplane.crypto.kek import KekWrapper
from navplane.store.database import Database

Probe = Callable[[], None]

# Nobody signs in to ask: a flood of questions reaches the dependencies, one of which bills by the call, no more often.
KEPT_SECONDS = 1.0


class State(StrEnum):
    UP = "up"
    DOWN = "down"


class Readiness:
    """`probes` by the dependency's name. Safe to share between threads."""

    def __init__(
        self,
        probes: Mapping[str, Probe],
        *,
        kept_seconds: float = KEPT_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._probes, self._kept_seconds, self._clock = probes, kept_seconds, clock
        self._lock = Lock()
        self._states: Mapping[str, State] = {}
        self._looked_at = float("-inf")

    def states(self) -> Mapping[str, State]:
        with self._lock:
            if self._clock() - self._looked_at >= self._kept_seconds:
                self._states = {name: _state(probe) for name, probe in self._probes.items()}
                self._looked_at = self._clock()
            return self._states


def _state(probe: Probe) -> State:
    try:
        probe()
    except Exception:
        # Whatever it is: the question was whether the dependency can be used, and the answer is no.
        return State.DOWN
    return State.UP


def database_probe(database: Database) -> Probe:
    def probe() -> None:
        with database.connection() as db:
            db.run("SELECT 1")

    return probe


def kek_probe(kek: KekWrapper) -> Probe:
    """Wraps and throws away: what this function may do, and all it has to be able to."""

    def probe() -> None:
        kek.wrap(bytes(32), context={"navplane": "ready"})

    return probe
