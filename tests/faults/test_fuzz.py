"""Inputs by the hundred thousand, each a few changes away from a good one: paths, bodies, streams, Lambda events, tokens.

Prints one JSON line for each kind. FUZZED_INPUTS sets how many of them in all.
"""

import json
import os
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import jwt
import pytest
from navplane.crypto.token import TokenVerifier
from navplane.errors import InvalidJSON
from navplane.gateway import body, route
from navplane.upstream.sse import Splitter
from navplane_runtime import event

from tests.faults import fuzzed_inputs as fuzz
from tests.support.oidc import issuing

INPUTS = int(os.environ.get("FUZZED_INPUTS", "10000"))
SEED = 20261121
MUTANT_INPUTS = 3000


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """`wrong`: how often, by what it was."""

    harness: str
    kind: str
    seed: int
    inputs: int
    wrong: dict[str, int]


def run(kind: str, check: fuzz.Check, subject: Any, seeds: Sequence[bytes], count: int) -> Report:
    rng, wrong = random.Random(f"{SEED} {kind}"), Counter[str]()
    for _ in range(count):
        given = fuzz.mutated(rng, seeds)
        try:
            found = check(given, subject)
        except Exception as exc:
            found = f"{type(exc).__name__} at {given[:80]!r}"
        wrong.update([found] if found else [])
    return Report(harness="fuzz", kind=kind, seed=SEED, inputs=count, wrong=dict(wrong))


# Each with the mutant that the check must catch: what a less careful gateway does.
def any_path(method: str, raw_path: bytes, headers: object) -> route.Route:
    known = route.find_route("GET", b"/openai/v1/models/gpt-5", ())
    return replace(known, model=raw_path.rpartition(b"/")[2].decode("latin-1"))


def last_model_wins(data: bytes) -> body.ModelCall:
    given = body.parse(b'{"model":"gpt-5"}')
    try:
        return body.ModelCall(**{**_fields(given), "model": json.loads(data)["model"]})
    except Exception as exc:
        raise InvalidJSON("It is not JSON.") from exc


def _fields(call: body.ModelCall) -> dict[str, Any]:
    return {name: getattr(call, name) for name in ("text", "model", "stream", "members", "everything")}


class WholeEventsOnly(Splitter):
    def finish(self) -> bytes:
        return b""


def trusting_event(data: bytes) -> tuple[dict[str, Any], bytes]:
    scope, content = event.parse(data)
    return {**scope, "raw_path": scope["path"].encode()}, content


KINDS: dict[str, tuple[fuzz.Check, Callable[..., Any], Callable[..., Any], Sequence[bytes]]] = {
    "path": (fuzz.path_stays_at_its_provider, route.find_route, any_path, fuzz.PATHS),
    "body": (fuzz.model_is_the_only_one, body.parse, last_model_wins, fuzz.BODIES),
    "stream": (fuzz.stream_stays_whole, Splitter, WholeEventsOnly, fuzz.STREAMS),
    "event": (fuzz.event_makes_a_request_or_none, event.parse, trusting_event, fuzz.LAMBDA_EVENTS),
}


@pytest.mark.parametrize("kind", KINDS)
def test_whatever_comes_is_read_in_one_way_or_refused(kind: str) -> None:
    check, subject, _, seeds = KINDS[kind]
    report = run(kind, check, subject, seeds, INPUTS // 5)
    print(json.dumps(asdict(report)))
    assert report.wrong == {}


@pytest.mark.parametrize("kind", KINDS)
def test_the_fuzzer_catches_the_mutant(kind: str) -> None:
    check, _, mutant, seeds = KINDS[kind]
    assert run(kind, check, mutant, seeds, MUTANT_INPUTS).wrong


@pytest.fixture(scope="module")
def issued() -> Iterator[tuple[str, str]]:
    """The issuer, and a token of its own."""
    with issuing() as (issuer, _):
        yield issuer.url, issuer.mint("somebody")


def test_no_token_but_the_one_that_was_issued_opens_anything(issued: tuple[str, str]) -> None:
    verifier = TokenVerifier(issued[0], "navplane")
    verifier.verify(issued[1])
    report = run("token", but_for(issued[1], issued), verifier.verify, [issued[1].encode()], INPUTS // 5)
    print(json.dumps(asdict(report)))
    assert report.wrong == {}


def test_the_fuzzer_catches_who_does_not_check_signatures(issued: tuple[str, str]) -> None:
    def trusting(token: str) -> object:
        try:
            return jwt.decode(token, options={"verify_signature": False})
        except (jwt.PyJWTError, ValueError, UnicodeError):
            return TokenVerifier(issued[0], "navplane").verify("")

    assert run("token", but_for(issued[1], issued), trusting, [issued[1].encode()], MUTANT_INPUTS).wrong


def but_for(token: str, issued: tuple[str, str]) -> fuzz.Check:
    """The good token, or the same bits in other letters: base64 leaves some bits of a part's last letter unused."""

    def check(given: bytes, subject: Any) -> str | None:
        return None if _bits(given) == _bits(token.encode()) else fuzz.token_is_refused(given, subject)

    return check


def _bits(token: bytes) -> list[bytes]:
    try:
        return [jwt.utils.base64url_decode(part) for part in token.split(b".")]
    except ValueError:
        return [token]
