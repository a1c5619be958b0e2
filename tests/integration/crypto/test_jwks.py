"""The issuer's keys when tokens flood in, and when the issuer is slow, down, rotating or hostile."""

import json
from collections.abc import Iterator
from threading import Event, Thread

import pytest
from jwt import PyJWK
from navplane.crypto.jwks import (
    COOLDOWN_SECONDS,
    FAILURE_COOLDOWN_SECONDS,
    FRESH_SECONDS,
    MAX_DOCUMENT_BYTES,
    STALE_SECONDS,
    SigningKeys,
)
from navplane.errors import DependencyUnavailable
from navplane_local.issuer import DISCOVERY_PATH, KEYS_PATH, Issuer

from tests.support.http_script import Answer, Request, ScriptedServer
from tests.support.oidc import answers_of, issuing, json_answer, rsa_key


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def served() -> Iterator[tuple[Issuer, ScriptedServer]]:
    with issuing() as pair:
        yield pair


@pytest.fixture
def issuer(served: tuple[Issuer, ScriptedServer]) -> Issuer:
    return served[0]


@pytest.fixture
def server(served: tuple[Issuer, ScriptedServer]) -> ScriptedServer:
    return served[1]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def keys(issuer: Issuer, clock: Clock) -> SigningKeys:
    return SigningKeys(issuer.url, clock=clock)


def fetches(server: ScriptedServer) -> int:
    return sum(request.path == DISCOVERY_PATH for request in server.requests)


def down(request: Request) -> Answer:
    return Answer(status=500)


def test_a_flood_of_unknown_key_names_fetches_once_per_cooldown(
    keys: SigningKeys, server: ScriptedServer, clock: Clock
) -> None:
    for cooldown in range(3):
        clock.now = 1000.0 + cooldown * COOLDOWN_SECONDS
        assert [keys.find(f"unknown-{n}") for n in range(200)] == [None] * 200
        assert fetches(server) == cooldown + 1


def test_a_flood_while_the_issuer_is_down_is_bounded_too(keys: SigningKeys, server: ScriptedServer, clock: Clock) -> None:
    server.script = down
    for cooldown in range(3):
        clock.now = 1000.0 + cooldown * FAILURE_COOLDOWN_SECONDS
        for n in range(50):
            with pytest.raises(DependencyUnavailable):
                keys.find(f"unknown-{n}")
        assert fetches(server) == cooldown + 1


def test_a_rotated_key_is_found_once_the_cooldown_is_over(
    keys: SigningKeys, issuer: Issuer, server: ScriptedServer, clock: Clock
) -> None:
    assert keys.find(issuer.kid) is not None
    successor = Issuer(issuer.url, rsa_key("successor"))
    server.script = answers_of(successor)
    assert keys.find(successor.kid) is None
    clock.now += COOLDOWN_SECONDS
    assert keys.find(successor.kid) is not None
    assert keys.find(issuer.kid) is None


def test_known_keys_are_fetched_again_after_ten_minutes(
    keys: SigningKeys, issuer: Issuer, server: ScriptedServer, clock: Clock
) -> None:
    for clock.now in (1000.0, 1000.0 + FRESH_SECONDS - 1, 1000.0 + FRESH_SECONDS):
        assert keys.find(issuer.kid) is not None
    assert fetches(server) == 2


def test_stale_keys_serve_for_an_hour_and_then_it_is_our_fault(
    keys: SigningKeys, issuer: Issuer, server: ScriptedServer, clock: Clock
) -> None:
    assert keys.find(issuer.kid) is not None
    server.script = down
    clock.now += STALE_SECONDS - 1
    assert keys.find(issuer.kid) is not None
    clock.now += 1
    with pytest.raises(DependencyUnavailable):
        keys.find(issuer.kid)


def test_an_unknown_key_while_the_issuer_is_down_is_not_the_callers_fault(
    keys: SigningKeys, issuer: Issuer, server: ScriptedServer, clock: Clock
) -> None:
    assert keys.find(issuer.kid) is not None
    server.script = down
    clock.now += COOLDOWN_SECONDS
    with pytest.raises(DependencyUnavailable):
        keys.find("perhaps-rotated")


def test_the_issuer_is_asked_again_soon_after_it_was_down(
    keys: SigningKeys, issuer: Issuer, server: ScriptedServer, clock: Clock
) -> None:
    usual, server.script = server.script, down
    with pytest.raises(DependencyUnavailable):
        keys.find(issuer.kid)
    server.script = usual
    clock.now += FAILURE_COOLDOWN_SECONDS
    assert keys.find(issuer.kid) is not None


def hostile(issuer: Issuer) -> dict[str, dict[str, Answer]]:
    """Per case: what is answered in place of which document."""
    discovery = issuer.discovery()
    huge = Answer(body=b" " * (MAX_DOCUMENT_BYTES + 1))
    other = json_answer({**discovery, "issuer": "https://evil.example"})
    elsewhere = Answer(status=302, headers={"location": issuer.url + KEYS_PATH + "?moved"})
    return {
        "discovery of another issuer": {DISCOVERY_PATH: other},
        "discovery that is too large": {DISCOVERY_PATH: huge},
        "discovery without keys": {DISCOVERY_PATH: json_answer({"issuer": issuer.url})},
        "discovery that is a list": {DISCOVERY_PATH: json_answer([])},
        "discovery that is not JSON": {DISCOVERY_PATH: Answer(body=b"<html>")},
        "keys in a file": {DISCOVERY_PATH: json_answer({**discovery, "jwks_uri": "file:///etc/passwd"})},
        "keys nowhere": {DISCOVERY_PATH: json_answer({**discovery, "jwks_uri": "http://[oops"})},
        "keys that are too large": {KEYS_PATH: huge},
        "keys behind a redirect": {KEYS_PATH: elsewhere},
        "no keys": {KEYS_PATH: json_answer({"keys": []})},
        "keys of another shape": {KEYS_PATH: json_answer({"keys": {"kid": "x"}})},
        "too many keys": {KEYS_PATH: json_answer({"keys": issuer.keys()["keys"] * 101})},
        "keys nested without end": {KEYS_PATH: Answer(body=b"[" * 100_000)},
        "keys that lie about their length": {KEYS_PATH: Answer(headers={"content-length": "900"}, body=b"{}")},
    }


@pytest.mark.parametrize("case", sorted(hostile(Issuer("http://127.0.0.1:1", rsa_key()))))
def test_documents_that_cannot_be_used_leave_us_without_keys(
    keys: SigningKeys, issuer: Issuer, server: ScriptedServer, case: str
) -> None:
    usual, replaced = server.script, hostile(issuer)[case]
    server.script = lambda request: replaced.get(request.path) or usual(request)
    with pytest.raises(DependencyUnavailable):
        keys.find(issuer.kid)
    assert "?moved" not in json.dumps([request.path for request in server.requests])


def test_keys_over_plain_http_are_refused_when_the_issuer_is_https(issuer: Issuer) -> None:
    # Nothing listens at the https port: what matters is that plain http is not tried in its place.
    with pytest.raises(DependencyUnavailable):
        SigningKeys(issuer.url.replace("http://", "https://")).find(issuer.kid)


def test_a_thread_with_its_key_at_hand_does_not_wait_for_another_ones_fetch(
    keys: SigningKeys, issuer: Issuer, server: ScriptedServer, clock: Clock
) -> None:
    assert keys.find(issuer.kid) is not None
    usual, asked, proceed = server.script, Event(), Event()

    def slow(request: Request) -> Answer:
        asked.set()
        assert proceed.wait(5)
        return usual(request)

    server.script = slow
    clock.now += FRESH_SECONDS
    found: list[PyJWK | None] = []
    fetching = Thread(target=lambda: found.append(keys.find(issuer.kid)))
    fetching.start()
    assert asked.wait(5)
    assert keys.find(issuer.kid) is not None
    proceed.set()
    fetching.join(10)
    assert found[0] is not None
    assert fetches(server) == 2
