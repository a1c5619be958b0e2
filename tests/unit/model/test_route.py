"""Which routes may stand beside each other, and which never can."""

from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from navplane.model.dialect import Dialect
from navplane.model.policy import covers, matches
from navplane.model.route import Condition, Route, Target, objections

DIALECTS = {"openai": Dialect.OPENAI, "groq": Dialect.OPENAI, "anthropic": Dialect.ANTHROPIC}
GLOB = st.text(alphabet="ab*", max_size=5)


def route(match: str = "m", *targets: Target, number: int = 1, position: int = 0) -> Route:
    return Route(
        id=UUID(int=number),
        name=f"route {number}",
        match=match,
        dialect=Dialect.OPENAI,
        targets=targets or (Target(provider="openai"),),
        position=position,
    )


def objected(made: Route, *among: Route) -> str:
    return " ".join(objections(made, dialects=DIALECTS, among=among))


@pytest.mark.parametrize(
    ("targets", "words"),
    [
        ((Target(provider="nobody"),), "no provider nobody"),
        ((Target(provider="openai"), Target(provider="anthropic", step=1)), "one dialect"),
        ((Target(provider="openai", step=1),), "0, 1, 2"),
        ((Target(provider="openai"), Target(provider="groq", step=2)), "0, 1, 2"),
        ((Target(provider="openai", model="a"), Target(provider="openai", model="a", weight=2)), "twice"),
    ],
)
def test_targets_that_can_not_work_together_are_objected_to(targets: tuple[Target, ...], words: str) -> None:
    assert words in objected(route("m", *targets))


def test_chain_with_shares_is_fine() -> None:
    shares = Target(provider="openai", weight=3), Target(provider="groq", model="a"), Target(provider="openai", step=1)
    assert objected(route("m", *shares)) == ""


def test_route_that_no_call_can_reach_is_objected_to_from_both_sides() -> None:
    wide, narrow = route("gpt-*", number=1, position=1), route("gpt-5*", number=2, position=2)
    assert "'route 1'" in objected(narrow, wide)
    assert "'route 2'" in objected(wide, narrow)
    assert objected(replace(narrow, position=0), wide) == ""
    assert objected(narrow, narrow) == ""


def test_routes_that_leave_something_to_each_other_are_fine() -> None:
    wide, narrow = route("gpt-*", number=1, position=1), route("gpt-5*", number=2, position=2)
    assert objected(narrow, replace(wide, conditions=(Condition(attribute="tag.env", any_of=("prod",)),))) == ""
    assert objected(narrow, replace(wide, workspace_id=UUID(int=9))) == ""
    assert objected(narrow, replace(wide, dialect=Dialect.ANTHROPIC)) == ""
    assert objected(route("*mini", number=3, position=3), wide) == ""


@given(pattern=GLOB, other=GLOB, name=st.text(alphabet="ab", max_size=6))
def test_what_a_glob_covers_it_matches_whatever_the_name(pattern: str, other: str, name: str) -> None:
    if covers(pattern, other) and matches(other, name):
        assert matches(pattern, name)


@given(pattern=GLOB, other=GLOB)
def test_glob_that_is_not_covered_matches_something_that_the_other_does_not(pattern: str, other: str) -> None:
    assert covers(pattern, other) or not matches(pattern, other.replace("*", "c"))
