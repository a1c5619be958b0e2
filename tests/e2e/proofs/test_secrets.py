"""No key is readable anywhere but where it is used, and no prompt but on its way: a canary each, looked for in every spelling,
after calls of every kind, faults, outages, a killed proxy and a stop with messages still queued."""

from collections.abc import Iterator

import pytest

from tests.e2e.proofs.canaries import Evidence, collected, hatch_all

PLACES = ["answers", "admin answers", "upstream", "queue", "database", "logs", "disk"]
# The only places where each canary has to be; everything else may be nowhere.
BELONGS = {
    "openai's key": {"upstream"},
    "anthropic's key": {"upstream"},
    # It was shown to the provider, who refused it.
    "refused provider key": {"upstream"},
    # The demo upstream's answers quote the prompt. That is what the caller asked for.
    "prompt": {"upstream", "answers"},
}


@pytest.fixture(scope="module")
def evidence() -> Iterator[Evidence]:
    with collected() as everything:
        yield everything


@pytest.mark.parametrize("place", PLACES)
def test_the_places_that_are_looked_through_hold_what_the_calls_left(place: str, evidence: Evidence) -> None:
    assert evidence.controls[place] in evidence.places[place]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", ["API key", *hatch_all()])
def test_a_canary_is_only_where_it_belongs(name: str, place: str, evidence: Evidence) -> None:
    assert evidence.canaries[name].is_in(evidence.places[place]) is (place in BELONGS.get(name, set()))


def test_the_calls_met_what_they_were_to_meet(evidence: Evidence) -> None:
    """Otherwise there would have been nothing to leak: each fault, each refusal and each outage has left its line."""
    said = evidence.places["logs"]
    codes = [b"upstream_error", b"provider_key_rejected", b"upstream_redirected", b"upstream_cut", b"invalid_json"]
    codes += [b"invalid_model", b"unsupported_media_type", b"ambiguous_credentials", b"bad_query", b"invalid_api_key"]
    codes += [b"model_not_found", b"unavailable", b"ledger.second_place"]
    assert [code for code in codes if code not in said] == []
