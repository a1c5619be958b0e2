"""What a workflow would have done, decided as a gate decides: routes, policies, keys and limits."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from navplane.errors import Conflict
from navplane.model.dialect import Dialect
from navplane.model.ids import new_id
from navplane.model.limit import Limit, LimitKind, LimitMode, LimitScope
from navplane.model.policy import Policy
from navplane.model.route import Question, Route, Target
from navplane.model.simulation import Past, Rules, Simulation, Verdicts
from navplane.model.workflow import Compiled, Move, VersionState, WorkflowVersion

ORG, WORKSPACE, KEY = new_id(), new_id(), new_id()
AT = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
QUESTION = Question(
    model="gpt-5", dialect=Dialect.OPENAI, provider="openai", pinned=False, offering=("openai", "azure", "groq"), attributes={}
)
PAST = Past(
    at=AT, workspace_id=WORKSPACE, key_id=KEY, provider="openai", called="gpt-5", route=None, input_tokens=10, output_tokens=5,
    cost_usd=Decimal("0.01"), question=QUESTION,
)  # fmt: skip
ALIAS = replace(PAST, route="fast", called="m", question=replace(QUESTION, model="fast", provider=None))
RULES = Rules(org_id=ORG, routes=(), policies={}, limits=(), holding=frozenset({"openai", "azure"}))


def route(match: str, *targets: Target, **fields: Any) -> Route:
    return Route(id=new_id(), name=match, match=match, dialect=Dialect.OPENAI, targets=targets, **fields)


def limit(kind: LimitKind, amount: int, **fields: Any) -> Limit:
    return Limit(id=new_id(), scope=LimitScope.ORGANIZATION, scope_id=ORG, kind=kind, amount=amount, **fields)


def tried(*pasts: Past, **rules: Any) -> Verdicts:
    return Simulation(replace(RULES, **rules), lambda *_: None).run(pasts)


def test_without_rules_everything_is_as_it_was() -> None:
    listing = replace(PAST, provider=None, called=None, question=None)
    assert tried(PAST, listing, replace(PAST, question=None)).unchanged == 3


@pytest.mark.parametrize(
    ("past", "rules", "reason"),
    [
        (ALIAS, {}, "model_not_found"),
        (PAST, {"routes": (route("gpt-5", Target(provider="groq", model="x")),)}, "provider_key_missing"),
        (PAST, {"policies": {ORG: Policy(disabled_providers=frozenset({"openai"}))}}, "model_not_allowed"),
        (PAST, {"limits": (limit(LimitKind.TOKENS_PER_DAY, 14),)}, "budget_exceeded"),
        (PAST, {"limits": (limit(LimitKind.REQUESTS_PER_HOUR, 0),)}, "rate_limited"),
        (replace(PAST, cost_usd=None), {"limits": (limit(LimitKind.USD_PER_DAY, 10**9),)}, "model_unpriced"),
    ],
)
def test_what_would_be_refused_says_why(past: Past, rules: dict[str, Any], reason: str) -> None:
    found = tried(past, **rules)
    assert (dict(found.refused), found.calls) == ({reason: 1}, 1)
    assert (found.saved_by_refusing, found.unpriced) == ((Decimal("0.01"), 0) if past.cost_usd else (0, 1))


def test_the_most_specific_policy_decides_and_a_workspaces_routes_come_first() -> None:
    policies = {ORG: Policy(block_models=("gpt-5",)), KEY: Policy(allow_models=("gpt-*",))}
    assert tried(PAST, policies=policies).unchanged == 1
    own = route("gpt-5", Target(provider="openai", model="own"), workspace_id=WORKSPACE)
    others = route("gpt-5", Target(provider="openai", model="others"), workspace_id=new_id())
    found = tried(PAST, routes=(route("gpt-*", Target(provider="azure", model="everybody's")), own, others))
    assert dict(found.rerouted) == {"openai/gpt-5 -> openai/own": 1}
    assert found.unpriced == 1


def test_a_share_or_a_fallback_of_the_same_route_is_no_change() -> None:
    targets = Target(provider="azure", model="a", weight=9), Target(provider="openai", model="gpt-5")
    assert tried(PAST, routes=(route("gpt-5", *targets),)).unchanged == 1
    assert tried(PAST, routes=(route("gpt-5", targets[0], replace(targets[1], step=1)),)).unchanged == 1


def test_windows_begin_anew_and_what_is_unlimited_or_refused_fills_none() -> None:
    minute = limit(LimitKind.REQUESTS_PER_MINUTE, 1)
    tokens = limit(LimitKind.TOKENS_PER_DAY, 30, mode=LimitMode.NORMAL)
    pasts = [PAST, PAST, replace(PAST, at=AT + timedelta(minutes=1)), replace(PAST, at=AT + timedelta(minutes=2))]
    found = tried(*pasts, limits=(minute, tokens, limit(LimitKind.CONCURRENT_STREAMS, 0)))
    assert dict(found.refused) == {"rate_limited": 1, "budget_exceeded": 1}


STATES = dict.fromkeys(VersionState, frozenset[Move]()) | {
    VersionState.DRAFT: frozenset({Move.EDIT, Move.SUBMIT}),
    VersionState.IN_REVIEW: frozenset({Move.EDIT, Move.APPROVE, Move.REJECT}),
    VersionState.APPROVED: frozenset({Move.EDIT, Move.REJECT, Move.PUBLISH}),
}


@pytest.mark.parametrize("state", VersionState)
@pytest.mark.parametrize("move", Move)
def test_a_version_takes_the_steps_of_its_state_and_no_others(state: VersionState, move: Move) -> None:
    version = WorkflowVersion(
        id=new_id(), org_id=ORG, workflow_id=new_id(), workspace_id=None, number=1, state=state, document="", sha256="",
        authors=(), created_by="a", created_at=AT,
    )  # fmt: skip
    if move in STATES[state]:
        assert version.after(move) is not state or (state, move) == (VersionState.DRAFT, Move.EDIT)
    else:
        with pytest.raises(Conflict, match=state.value):
            version.after(move)


def test_a_policy_that_only_blocks_widens_nothing() -> None:
    widening = [Policy(allow_models=("x",)), Policy(enabled_providers=frozenset({"openai"})), Policy(allow_files=True)]
    narrowing = [None, Policy(), Policy(block_models=("x",), disabled_providers=frozenset({"groq"}), allow_files=False)]
    assert [Compiled(routes=(), limits=(), policy=policy).widens for policy in widening + narrowing] == [True] * 3 + [False] * 3
