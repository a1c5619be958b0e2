"""The cache of data keys for whoever must not wait."""

from collections.abc import Mapping

import pytest
from navplane.crypto.kek_cache import CachingKek, NotAtHand
from navplane.errors import DependencyUnavailable


class ReversingKek:
    def __init__(self) -> None:
        self.asked = 0
        self.away = False

    def unwrap(self, wrapped: bytes, *, kek_id: str, context: Mapping[str, str]) -> bytes:
        self.asked += 1
        if self.away:
            raise DependencyUnavailable("away")
        return wrapped[::-1]


def test_only_what_the_cache_holds_is_at_hand() -> None:
    now, kek = [0.0], ReversingKek()
    cache = CachingKek(kek, ttl_seconds=60, clock=lambda: now[0])
    with pytest.raises(NotAtHand):
        cache.at_hand.unwrap(b"ab", kek_id="k", context={})
    assert kek.asked == 0
    cache.unwrap(b"ab", kek_id="k", context={})
    assert cache.at_hand.unwrap(b"ab", kek_id="k", context={}) == b"ba"
    for wrapped, kek_id, context in ((b"ac", "k", {}), (b"ab", "l", {}), (b"ab", "k", {"a": "b"})):
        with pytest.raises(NotAtHand):
            cache.at_hand.unwrap(wrapped, kek_id=kek_id, context=context)
    now[0] = 60.0
    with pytest.raises(NotAtHand):
        cache.at_hand.unwrap(b"ab", kek_id="k", context={})
    assert kek.asked == 1


def test_failure_is_never_at_hand() -> None:
    kek = ReversingKek()
    cache = CachingKek(kek)
    kek.away = True
    with pytest.raises(DependencyUnavailable):
        cache.unwrap(b"ab", kek_id="k", context={})
    with pytest.raises(NotAtHand):
        cache.at_hand.unwrap(b"ab", kek_id="k", context={})
