"""A workflow's document: what YAML is taken, what is refused and where, and what the rows are."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from navplane.admin.workflow_document import compiled
from navplane.admin.workflow_yaml import MAX_BYTES, MAX_DEPTH, MAX_NODES, parse
from navplane.errors import Invalid
from navplane.model.ids import new_id
from navplane.model.workflow import Compiled

HEAD = "format: navplane-workflow/1\n"


def rows(document: str) -> Compiled:
    return compiled(HEAD + document, org_id=new_id(), workspace_id=None, version_id=new_id())


def test_scalars_are_text_unless_they_are_plainly_something_else() -> None:
    text = "a: no\nb: 250.00\nc: 12\nd: true\ne: ~\nf: 2026-11-21\ng: '12'\nh: 1:30\ni: 0x1F\nj: 1e3\nk:\n"
    assert parse(text).value == {
        "a": "no", "b": "250.00", "c": 12, "d": True, "e": None, "f": "2026-11-21", "g": "12", "h": "1:30", "i": "0x1F",
        "j": "1e3", "k": None,
    }  # fmt: skip


def test_every_value_has_its_line() -> None:
    parsed = parse("a:\n  - b: 1\n  - c:\n      d: 2\n")
    assert [parsed.line_of(path) for path in ((), ("a",), ("a", 0, "b"), ("a", 1, "c", "d"), ("a", 1, "nothing"))] == [
        1, 1, 2, 4, 3,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty"),
        ("a: [1\n", "Line 2: this is not YAML"),
        ("a: 1\nb: \tc\n\t- d", "not YAML"),
        ("a: 1\na: 2\n", "Line 2: 'a' is there twice"),
        ("a: &x 1\nb: *x\n", "Line 1: anchors"),
        ("a: *x\n", "Line 1: anchors"),
        ("a: !!python/object:os.system 1\n", "Line 1: tags"),
        ("a: !!str 1\n", "Line 1: tags"),
        ("? [1]\n: 2\n", "Line 1: a key must be text"),
        ("a: 1\n---\nb: 2\n", "Line 2: a second document"),
        ("[" * (MAX_DEPTH + 2) + "]" * (MAX_DEPTH + 2), "nested deeper"),
        ("[" * 30_000, "nested deeper"),
        ("a: [" + "1," * MAX_NODES + "]", "more than 5000 values"),
        ("a: " + "x" * MAX_BYTES, "longer than"),
        ("a: \x07", "can't be printed"),
        ("a: \ud800", "can't be printed"),
    ],
)
def test_what_is_no_plain_yaml_within_bounds_is_refused_by_its_line(text: str, words: str) -> None:
    with pytest.raises(Invalid) as refused:
        parse(text)
    assert words in refused.value.message


@given(st.text(alphabet="ab:-[]{}&*!|>'\"#, \n\t?%@~\\x0", max_size=80))
def test_whatever_is_sent_is_read_or_refused(text: str) -> None:
    with suppress(Invalid):
        assert compiled(text, org_id=new_id(), workspace_id=None, version_id=new_id())


OF_TWO_DIALECTS = (
    "aliases:\n  a: {provider: openai, model: x}\n  b: {provider: anthropic, model: x, fallbacks: [{provider: openai}]}\n"
)
HIDDEN = """\
routes:
  - {name: a, match: a*, targets: [{provider: openai}]}
  - {name: b, match: ab, targets: [{provider: openai}]}
"""
TWICE = "routes:\n  - {name: a, match: x, targets: [{provider: openai}]}\naliases:\n  a: {provider: openai, model: x}\n"
TWO_LIMITS = "limits:\n  - {kind: usd_per_day, amount_usd: 5}\n  - {kind: usd_per_day, amount_usd: 6}\n"
WEIGHTLESS = "routes:\n  - name: a\n    match: x\n    targets:\n      - {provider: openai, weight: 0}\n"


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (OF_TWO_DIALECTS, "Line 4, aliases.b: All targets"),
        ("aliases:\n  a: {provider: nobody, model: x}\n", "Line 3, aliases.a: There is no provider nobody"),
        (HIDDEN, "Line 4, routes.1: The route 'a' comes first"),
        (TWICE, "two routes 'a'"),
        ("limits:\n  - {kind: usd_per_day, amount: 5}\n", "Line 3, limits.0: A limit of usd_per_day needs amount_usd"),
        (TWO_LIMITS, "Line 4, limits.1: there are two"),
        ("policy:\n  disabled_providers: [nobody]\n", "Line 2, policy: There is no such provider"),
        (WEIGHTLESS, "Line 6, routes.0.targets.0.weight"),
    ],
)
def test_what_can_not_work_is_refused_by_its_line(document: str, words: str) -> None:
    with pytest.raises(Invalid) as refused:
        rows(document)
    assert words in refused.value.message


@pytest.mark.parametrize("value", ["[]", "text", "12"])
def test_document_that_is_no_map_is_refused(value: str) -> None:
    with pytest.raises(Invalid, match="must be a map"):
        compiled(value, org_id=new_id(), workspace_id=None, version_id=new_id())


def test_fallbacks_are_steps_and_routes_stand_in_their_order() -> None:
    condition: dict[str, Any] = {"attribute": "tag.env", "any_of": ["prod"]}
    made = rows(
        "routes:\n"
        "  - {name: wide, match: 'm*', targets: [{provider: openai, weight: 2}, {provider: azure}],\n"
        "     fallbacks: [{provider: groq}]}\n"
        f"  - {{name: narrow, match: m, when: [{condition}], targets: [{{provider: openai}}]}}\n"
        "aliases:\n  m: {provider: openai, model: x, fallbacks: [{provider: azure, model: y}, {provider: groq, model: z}]}\n"
    )
    assert [(route.name, route.position) for route in made.routes] == [("narrow", 100), ("m", 101), ("wide", 102)]
    assert [(each.provider, each.model, each.step, each.weight) for each in made.routes[2].targets] == [
        ("openai", None, 0, 2), ("azure", None, 0, 1), ("groq", None, 1, 1),
    ]  # fmt: skip
    assert [(each.model, each.step) for each in made.routes[1].targets] == [("x", 0), ("y", 1), ("z", 2)]


def test_money_is_exact() -> None:
    made = rows("limits:\n  - {kind: usd_per_day, amount_usd: 0.1}\n  - {kind: usd_per_month, amount_usd: 250}\n")
    assert [limit.amount for limit in made.limits] == [100_000_000, 250 * 10**9]
