"""The breaker of each provider key, by a clock that the test turns."""

from uuid import uuid4

from navplane.gateway.key_health import LONGEST_SECONDS, TRIAL_SECONDS, KeyHealth

KEY = uuid4()


def test_a_key_is_closed_until_it_fails_and_after_it_succeeded() -> None:
    health = KeyHealth()
    assert health.open_until(KEY, 100.0) is None
    health.failed(KEY, 100.0)
    assert health.open_until(KEY, 100.5) == 101.0
    health.succeeded(KEY)
    assert health.open_until(KEY, 100.5) is None


def test_each_failure_in_a_row_doubles_the_wait_up_to_a_minute() -> None:
    health, waits = KeyHealth(), []
    for _ in range(9):
        health.failed(KEY, 0.0)
        waits.append(health.open_until(KEY, 0.0))
    assert waits == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]


def test_what_the_provider_asks_for_is_heeded_within_bounds() -> None:
    health = KeyHealth()
    for asked, waited in ((30.0, 30.0), (0.0, 1.0), (-5.0, 1.0), (86_400.0, LONGEST_SECONDS)):
        health.failed(KEY, 0.0, wait_seconds=asked)
        assert health.open_until(KEY, 0.0) == waited


def test_one_call_tries_a_key_whose_time_is_over_and_the_others_wait_for_it() -> None:
    health = KeyHealth()
    health.failed(KEY, 0.0)
    assert health.open_until(KEY, 1.5) is None
    health.begin(KEY, 1.5)
    assert health.open_until(KEY, 1.6) == 1.5 + TRIAL_SECONDS
    health.failed(KEY, 2.0)
    assert health.open_until(KEY, 2.0) == 4.0


def test_a_trial_of_a_key_that_never_failed_keeps_nobody_away() -> None:
    health = KeyHealth()
    health.begin(KEY, 0.0)
    assert health.open_until(KEY, 0.0) is None


def test_a_trial_that_never_ends_does_not_keep_the_key_for_ever() -> None:
    health = KeyHealth()
    health.failed(KEY, 0.0)
    health.begin(KEY, 2.0)
    assert health.open_until(KEY, 2.0 + TRIAL_SECONDS) is None


def test_the_oldest_failure_is_forgotten_when_there_are_too_many() -> None:
    health, keys = KeyHealth(max_keys=2), [uuid4() for _ in range(3)]
    for key in keys:
        health.failed(key, 0.0)
    assert [health.open_until(key, 0.5) for key in keys] == [None, 1.0, 1.0]
