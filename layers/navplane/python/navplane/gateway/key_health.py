"""Which provider keys failed lately: a circuit breaker for each, in this process, kept in bounded memory.

    closed ──failed──▶ open ──its time is over──▶ half open: one call tries it ──succeeded──▶ closed
                        ▲                                    │
                        └──────────────failed────────────────┘

An open key is not refused: it comes last. A caller is never told no because of what happened to another one.
"""

import threading
from collections import OrderedDict
from dataclasses import dataclass
from uuid import UUID

MAX_KEYS = 4096
LONGEST_SECONDS = 60.0
# A trial that never ends must not keep the key open for ever.
TRIAL_SECONDS = 30.0


@dataclass(slots=True)
class _Breaker:
    failures: int
    open_until: float
    tried_until: float = 0.0


class KeyHealth:
    """Times are seconds of the monotonic clock. Thread-safe."""

    def __init__(self, *, max_keys: int = MAX_KEYS) -> None:
        self._breakers: OrderedDict[UUID, _Breaker] = OrderedDict()
        self._max_keys, self._lock = max_keys, threading.Lock()

    def open_until(self, key_id: UUID, now: float) -> float | None:
        """When the key may be tried again; None when it may be just now."""
        with self._lock:
            breaker = self._breakers.get(key_id)
            until = max(breaker.open_until, breaker.tried_until) if breaker else 0.0
        return until if until > now else None

    def begin(self, key_id: UUID, now: float) -> None:
        """A call goes out with the key. If it failed before, this is its trial: until it ends, others go elsewhere."""
        with self._lock:
            if breaker := self._breakers.get(key_id):
                breaker.tried_until = now + TRIAL_SECONDS

    def succeeded(self, key_id: UUID) -> None:
        with self._lock:
            self._breakers.pop(key_id, None)

    def failed(self, key_id: UUID, now: float, *, wait_seconds: float | None = None) -> None:
        """`wait_seconds` is what the provider asked for, heeded up to a minute; without it 1, 2, 4 … seconds."""
        with self._lock:
            breaker = self._breakers.pop(key_id, None) or _Breaker(failures=0, open_until=0.0)
            breaker.failures += 1
            wait = 2.0 ** min(breaker.failures - 1, 10) if wait_seconds is None else max(1.0, wait_seconds)
            breaker.open_until, breaker.tried_until = now + min(wait, LONGEST_SECONDS), 0.0
            self._breakers[key_id] = breaker
            while len(self._breakers) > self._max_keys:
                self._breakers.popitem(last=False)
