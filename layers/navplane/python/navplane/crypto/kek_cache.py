"""Unwrapped data keys, kept for minutes: so that a KEK is asked once per provider key and not once per request."""

import hashlib
import json
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Lock

from navplane.crypto.kek import KekUnwrapper

MAX_TTL_SECONDS = 300.0


class NotAtHand(Exception):
    """The cache would have to ask the KEK."""


@dataclass(frozen=True, slots=True)
class _Entry:
    answer: "Future[bytes]"
    expires_at: float


class CachingKek:
    """A KekUnwrapper before another. At most `size` data keys, for `ttl_seconds` (≤ 5 minutes) from the moment they were
    asked for: a KEK whose use was forbidden stops opening anything after that, without grace.

    Keyed by the SHA-256 of all that was asked, never by a part of it. Threads that ask for the same key share one call.
    Failures are not kept.
    """

    def __init__(
        self,
        kek: KekUnwrapper,
        *,
        ttl_seconds: float = MAX_TTL_SECONDS,
        size: int = 1024,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not 0 < ttl_seconds <= MAX_TTL_SECONDS or size < 1:
            raise ValueError("a data key is kept for at most five minutes")
        self._kek, self._ttl, self._size, self._clock = kek, ttl_seconds, size, clock
        self._entries: OrderedDict[bytes, _Entry] = OrderedDict()
        self._lock = Lock()

    @property
    def at_hand(self) -> KekUnwrapper:
        """The same keys for whoever must not wait: raises NotAtHand where this would ask the KEK, or wait for one who does."""
        return _AtHand(self)

    def peek(self, wrapped: bytes, *, kek_id: str, context: Mapping[str, str]) -> bytes | None:
        """The data key if it is in the cache."""
        with self._lock:
            found = self._entries.get(_name(wrapped, kek_id, context))
            fresh = found is not None and self._clock() < found.expires_at and found.answer.done()
        return found.answer.result() if fresh and found is not None and found.answer.exception() is None else None

    def unwrap(self, wrapped: bytes, *, kek_id: str, context: Mapping[str, str]) -> bytes:
        name = _name(wrapped, kek_id, context)
        answer, ours = self._entry(name)
        if ours:
            self._ask(name, answer, lambda: self._kek.unwrap(wrapped, kek_id=kek_id, context=context))
        return answer.result()

    def _entry(self, name: bytes) -> tuple["Future[bytes]", bool]:
        """The answer under `name`, and whether it is the caller who has to fetch it."""
        with self._lock:
            now, found = self._clock(), self._entries.get(name)
            if found is not None and now < found.expires_at:
                self._entries.move_to_end(name)
                return found.answer, False
            answer: Future[bytes] = Future()
            self._entries[name] = _Entry(answer, now + self._ttl)
            self._entries.move_to_end(name)
            while len(self._entries) > self._size:
                self._entries.popitem(last=False)
            return answer, True

    def _ask(self, name: bytes, answer: "Future[bytes]", fetch: Callable[[], bytes]) -> None:
        try:
            answer.set_result(fetch())
        except BaseException as exc:
            self._forget(name, answer)
            answer.set_exception(exc)

    def _forget(self, name: bytes, answer: "Future[bytes]") -> None:
        with self._lock:
            found = self._entries.get(name)
            if found is not None and found.answer is answer:
                del self._entries[name]


class _AtHand:
    def __init__(self, cache: CachingKek) -> None:
        self._cache = cache

    def unwrap(self, wrapped: bytes, *, kek_id: str, context: Mapping[str, str]) -> bytes:
        dek = self._cache.peek(wrapped, kek_id=kek_id, context=context)
        if dek is None:
            raise NotAtHand
        return dek


def _name(wrapped: bytes, kek_id: str, context: Mapping[str, str]) -> bytes:
    asked = json.dumps([kek_id, wrapped.hex(), sorted(context.items())])
    return hashlib.sha256(asked.encode()).digest()
