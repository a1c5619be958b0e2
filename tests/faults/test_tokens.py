"""Hostile tokens, and a storm of key names that nobody knows. Both print one JSON line.

KID_STORM is how many tokens arrive in one cooldown; there are three of them, and in the last one the issuer is down.
"""

import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jwt
import pytest
from navplane.crypto.jwks import COOLDOWN_SECONDS, FAILURE_COOLDOWN_SECONDS, SigningKeys
from navplane.crypto.token import TokenVerifier
from navplane.errors import DependencyUnavailable, Unauthenticated
from navplane_local.issuer import DISCOVERY_PATH, Issuer

from tests.support.hostile_tokens import hostile
from tests.support.http_script import Answer, ScriptedServer
from tests.support.oidc import answers_of, issuing, rsa_key

FLOOR = 60
STORM = int(os.environ.get("KID_STORM", "1000"))
THREADS = 8


@pytest.fixture
def served() -> Iterator[tuple[Issuer, ScriptedServer]]:
    with issuing() as pair:
        yield pair


@pytest.fixture
def other() -> Iterator[Issuer]:
    with issuing() as (usual, server):
        issuer = Issuer(usual.url, rsa_key("other"))
        server.script = answers_of(issuer)
        yield issuer


Check = Callable[[str], object]


def taken(verify: Check, tokens: dict[str, str]) -> list[str]:
    """What was let in. An answer that is neither yes nor 401 is an error of the test's."""
    found = []
    for name, token in tokens.items():
        try:
            verify(token)
            found.append(name)
        except Unauthenticated:
            pass
    return found


def test_no_hostile_token_is_taken(served: tuple[Issuer, ScriptedServer], other: Issuer) -> None:
    issuer, _ = served
    verifier = TokenVerifier(issuer.url, "navplane", others={other.url: "other"})
    tokens = hostile(issuer, other)
    controls = {"first": issuer.mint("local|admin"), "other": other.mint("local|admin", audience="other")}
    accepted = taken(verifier.verify, tokens)
    missed = [name for name, careless in CARELESS.items() if not taken(careless(issuer, other), tokens)]
    report = {
        "harness": "hostile_tokens",
        "tokens": len(tokens),
        "accepted": accepted,
        "mutants": len(CARELESS),
        "missed": missed,
    }
    print(json.dumps(report))
    assert sorted(taken(verifier.verify, controls)) == ["first", "other"]
    assert len(tokens) >= FLOOR
    assert (accepted, missed) == ([], [])


def careless(**options: Any) -> Callable[[Issuer, Issuer], Check]:
    """A verifier that leaves something out: of jwt's options, of the keys it tells apart, or all that jwt doesn't look at."""

    def make(issuer: Issuer, other: Issuer) -> Check:
        keys = {issuer.kid: rsa_key().public_key(), other.kid: rsa_key("other").public_key()}
        given = {"audience": "navplane", "issuer": issuer.url, "leeway": 30, **options}

        def verify(token: str) -> object:
            try:
                key = keys[jwt.get_unverified_header(token)["kid"]]
                return jwt.decode(token, key, algorithms=["RS256"], **given)
            except (jwt.PyJWTError, KeyError, ValueError, TypeError, RecursionError) as exc:
                raise Unauthenticated("no") from exc

        return verify

    return make


CARELESS: dict[str, Callable[[Issuer, Issuer], Check]] = {
    "looks at no signature": careless(options={"verify_signature": False}),
    "looks at no audience": careless(options={"verify_aud": False}),
    "looks at no issuer": careless(issuer=None),
    "looks at no end": careless(options={"verify_exp": False}),
    "looks at no start": careless(options={"verify_nbf": False, "verify_iat": False}),
    "looks at nothing that the library doesn't": careless(),
}


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Hasty:
    """To whom every cooldown is over at each look."""

    now = 1000.0

    def __call__(self) -> float:
        self.now += COOLDOWN_SECONDS
        return self.now


def fetches(server: ScriptedServer) -> int:
    return sum(request.path == DISCOVERY_PATH for request in server.requests)


def storm(keys: SigningKeys, known: str, count: int) -> Counter[str]:
    """`count` tokens under names that nobody published, and among them every hundredth under one that was."""

    def one(number: int) -> str:
        try:
            key = keys.find(known if number % 100 == 0 else f"unknown-{number}")
        except DependencyUnavailable:
            return "unavailable"
        return "unknown" if key is None else "known"

    with ThreadPoolExecutor(THREADS) as pool:
        return Counter(pool.map(one, range(count)))


def test_a_storm_of_unknown_keys_is_one_fetch_per_cooldown_and_known_keys_go_on(
    served: tuple[Issuer, ScriptedServer],
) -> None:
    issuer, server = served
    clock, began = Clock(), time.monotonic()
    keys = SigningKeys(issuer.url, clock=clock)
    calm = [storm(keys, issuer.kid, STORM)]
    counted = [fetches(server)]
    clock.now += COOLDOWN_SECONDS
    calm.append(storm(keys, issuer.kid, STORM))
    counted.append(fetches(server))
    server.script = lambda request: Answer(status=503)
    clock.now += COOLDOWN_SECONDS
    down = storm(keys, issuer.kid, STORM)
    counted.append(fetches(server))
    clock.now += FAILURE_COOLDOWN_SECONDS
    down += storm(keys, issuer.kid, STORM)
    counted.append(fetches(server))
    report = {
        "harness": "kid_storm", "tokens": 4 * STORM, "fetches_after_each_cooldown": counted, "known": calm[0]["known"] * 4,
        "down": dict(down), "seconds": round(time.monotonic() - began, 1),
    }  # fmt: skip
    print(json.dumps(report))
    assert counted == [1, 2, 3, 4]
    assert all(one == {"known": STORM // 100, "unknown": STORM - STORM // 100} for one in calm)
    assert down == {"known": STORM // 50, "unavailable": 2 * (STORM - STORM // 100)}


def test_the_storm_notices_keys_without_a_cooldown(served: tuple[Issuer, ScriptedServer]) -> None:
    issuer, server = served
    storm(SigningKeys(issuer.url, clock=Hasty()), issuer.kid, 50)
    assert fetches(server) > 10
