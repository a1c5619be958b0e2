"""The cache of unwrapped data keys: bounded in number and time, shared by threads, and without grace."""

from collections.abc import Mapping
from threading import Barrier, Event, Thread

import pytest
from navplane.crypto.kek_cache import CachingKek
from navplane.errors import DecryptionError, DependencyUnavailable

CONTEXT = {"organization": "a"}


class CountingKek:
    """A KekUnwrapper that answers with what it was asked and counts."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self.failure: Exception | None = None

    def unwrap(self, wrapped: bytes, *, kek_id: str, context: Mapping[str, str]) -> bytes:
        self.asked.append(wrapped)
        if self.failure is not None:
            raise self.failure
        return wrapped + kek_id.encode() + repr(sorted(context.items())).encode()


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_data_key_is_unwrapped_once_within_its_time_and_again_after_it() -> None:
    kek, clock = CountingKek(), Clock()
    cache = CachingKek(kek, ttl_seconds=300, clock=clock)
    answers = set()
    for clock.now in (0.0, 299.9, 300.0):
        answers.add(cache.unwrap(b"w", kek_id="k", context=CONTEXT))
    assert len(kek.asked) == 2
    assert len(answers) == 1


def test_an_entry_is_found_by_all_that_was_asked() -> None:
    kek = CountingKek()
    cache = CachingKek(kek)
    asks = [
        (b"w", "k", CONTEXT),
        (b"x", "k", CONTEXT),
        (b"w", "l", CONTEXT),
        (b"w", "k", {"organization": "b"}),
        (b"w", "k", {}),
    ]
    answers = [cache.unwrap(wrapped, kek_id=kek_id, context=context) for wrapped, kek_id, context in asks * 2]
    assert len(kek.asked) == len(asks)
    assert len(set(answers)) == len(asks)


def test_the_oldest_of_too_many_is_forgotten() -> None:
    kek = CountingKek()
    cache = CachingKek(kek, size=2)
    for wrapped in (b"1", b"2", b"1", b"3", b"1", b"2"):
        cache.unwrap(wrapped, kek_id="k", context=CONTEXT)
    assert kek.asked == [b"1", b"2", b"3", b"2"]


@pytest.mark.parametrize("failure", [DecryptionError(), DependencyUnavailable("away")])
def test_a_failure_is_raised_and_not_kept(failure: Exception) -> None:
    kek = CountingKek()
    cache = CachingKek(kek)
    kek.failure = failure
    with pytest.raises(type(failure)):
        cache.unwrap(b"w", kek_id="k", context=CONTEXT)
    kek.failure = None
    assert cache.unwrap(b"w", kek_id="k", context=CONTEXT)


def test_a_kek_that_was_taken_away_opens_nothing_once_the_time_is_up() -> None:
    kek, clock = CountingKek(), Clock()
    cache = CachingKek(kek, clock=clock)
    cache.unwrap(b"w", kek_id="k", context=CONTEXT)
    kek.failure = DependencyUnavailable("denied")
    clock.now = 300.0
    with pytest.raises(DependencyUnavailable):
        cache.unwrap(b"w", kek_id="k", context=CONTEXT)


def test_threads_that_ask_for_the_same_key_share_one_call() -> None:
    kek, threads, answers = SlowKek(), [], []
    cache, start = CachingKek(kek), Barrier(9)

    def ask() -> None:
        start.wait(5)
        answers.append(cache.unwrap(b"w", kek_id="k", context=CONTEXT))

    threads = [Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    start.wait(5)
    kek.proceed.set()
    for thread in threads:
        thread.join(5)
    assert len(kek.asked) == 1
    assert len(answers) == 8


class SlowKek(CountingKek):
    """Answers when told to."""

    def __init__(self) -> None:
        super().__init__()
        self.proceed = Event()

    def unwrap(self, wrapped: bytes, *, kek_id: str, context: Mapping[str, str]) -> bytes:
        assert self.proceed.wait(5)
        return super().unwrap(wrapped, kek_id=kek_id, context=context)


@pytest.mark.parametrize(("ttl_seconds", "size"), [(300.1, 1), (0, 1), (1, 0)])
def test_more_than_five_minutes_or_no_bound_is_refused(ttl_seconds: float, size: int) -> None:
    with pytest.raises(ValueError, match="five minutes"):
        CachingKek(CountingKek(), ttl_seconds=ttl_seconds, size=size)
