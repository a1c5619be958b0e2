"""What every gate promises of routes and policies, told in the Protocol's own words."""

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from navplane.gate.gate import Admission, Ask, Charge, Gate, Refusal, RefusalReason
from navplane.model.dialect import Dialect
from navplane.model.ids import new_id
from navplane.model.limit import Limit, LimitKind, LimitMode, LimitScope, ModelPrice, Worst
from navplane.model.policy import Policy, PolicyScope
from navplane.model.route import Condition, Route, Target
from navplane.model.usage import Endpoint

from tests.contract.gate.seed import Subject
from tests.contract.gate.test_gate_contract import AFTER_LEASE, NOW, RESERVE, Tenant

OFFERING = ("openai", "openrouter", "groq", "azure")
# Provider, model and step of each candidate.
Way = tuple[str, str | None, int]


@pytest.fixture
def gate(subject: Subject) -> Gate:
    return subject.gate


@pytest.fixture
def tenant(subject: Subject) -> Tenant:
    tenant = Tenant(subject.seed)
    for provider in OFFERING:
        tenant.holds(provider)
    return tenant


def ask(tenant: Tenant, model: str | None, **changes: Any) -> Ask:
    """The registry of this suite knows names that begin with `gpt-`, as OpenAI's."""
    known = "openai" if model is None or model.startswith("gpt-") else None
    return replace(tenant.ask(), model=model, **{"provider": known, "offering": OFFERING, **changes})


def route(tenant: Tenant, match: str, *targets: Target, **fields: Any) -> Route:
    made = Route(id=new_id(), name=fields.pop("name", f"to {match}"), match=match, dialect=Dialect.OPENAI, targets=targets)
    made = replace(made, **fields)
    tenant.seed.set_route(tenant.org_id, made)
    return made


def admission(gate: Gate, asked: Ask) -> Admission:
    answer = gate.admit(asked, NOW)
    assert isinstance(answer, Admission), answer
    return answer


def ways(gate: Gate, asked: Ask) -> list[Way]:
    return [(each.provider, each.model, each.step) for each in admission(gate, asked).candidates]


def refused(gate: Gate, asked: Ask) -> tuple[RefusalReason, str]:
    answer = gate.admit(asked, NOW)
    assert isinstance(answer, Refusal), answer
    return answer.reason, answer.detail


# -- names ---------------------------------------------------------------------------------------------------------------


def test_alias_leads_to_its_target_and_its_route_is_named(gate: Gate, tenant: Tenant) -> None:
    version = new_id()
    route(tenant, "fast", Target(provider="groq", model="llama-4"), name="quick", workflow_version=version)
    answer = admission(gate, ask(tenant, "fast"))
    assert [(each.provider, each.model, each.step) for each in answer.candidates] == [("groq", "llama-4", 0)]
    assert (answer.route, answer.workflow_version, answer.fallback_when_billed) == ("quick", version, False)
    assert answer.candidates[0].key.context.provider == "groq"


def test_name_that_no_route_matches_goes_where_the_registry_says(gate: Gate, tenant: Tenant) -> None:
    route(tenant, "fast", Target(provider="groq", model="llama-4"))
    answer = admission(gate, ask(tenant, "gpt-5"))
    assert [(each.provider, each.model, each.step) for each in answer.candidates] == [("openai", "gpt-5", 0)]
    assert (answer.route, answer.workflow_version, answer.fallback_when_billed) == (None, None, False)


def test_provider_before_a_slash_is_taken_at_its_word_and_the_rest_is_the_model(gate: Gate, tenant: Tenant) -> None:
    assert ways(gate, ask(tenant, "groq/llama-4")) == [("groq", "llama-4", 0)]
    assert ways(gate, ask(tenant, "openrouter/openai/gpt-5")) == [("openrouter", "openai/gpt-5", 0)]
    assert admission(gate, ask(tenant, "groq/llama-4")).route is None


@pytest.mark.parametrize("model", ["anthropic/claude-opus-5", "nobody/model", "groq", "groq/", "/groq", "GROQ/llama-4"])
def test_name_that_leads_nowhere_is_a_model_that_nobody_has(gate: Gate, tenant: Tenant, model: str) -> None:
    assert refused(gate, ask(tenant, model)) == (RefusalReason.MODEL_NOT_FOUND, model)


def test_route_that_names_the_whole_beats_the_provider_before_the_slash(gate: Gate, tenant: Tenant) -> None:
    route(tenant, "groq/llama-4", Target(provider="openrouter", model="meta/llama-4"))
    assert ways(gate, ask(tenant, "groq/llama-4")) == [("openrouter", "meta/llama-4", 0)]


def test_path_that_names_its_provider_leads_to_that_one_only(gate: Gate, tenant: Tenant) -> None:
    route(tenant, "fast", Target(provider="groq", model="llama-4"), Target(provider="openrouter", model="x", step=1))
    pinned: dict[str, Any] = {"pinned": True, "provider": "openrouter", "offering": ("openrouter",)}
    assert ways(gate, ask(tenant, "fast", **pinned)) == [("openrouter", "x", 0)]
    # What another provider's name means below this path, this provider knows.
    assert ways(gate, ask(tenant, "openrouter/auto", **pinned)) == [("openrouter", "openrouter/auto", 0)]
    assert ways(gate, ask(tenant, "groq/llama-4", **pinned)) == [("openrouter", "groq/llama-4", 0)]


def test_target_without_a_model_is_called_with_what_the_client_wrote(gate: Gate, tenant: Tenant) -> None:
    route(tenant, "gpt-*", Target(provider="azure"), Target(provider="openai", step=1))
    assert ways(gate, ask(tenant, "gpt-5")) == [("azure", "gpt-5", 0), ("openai", "gpt-5", 1)]


def test_endpoint_without_a_model_takes_no_route(gate: Gate, tenant: Tenant) -> None:
    route(tenant, "*", Target(provider="groq"))
    assert ways(gate, ask(tenant, None, endpoint=Endpoint.MODELS, stream=False)) == [("openai", None, 0)]


def test_targets_are_not_routed_again(gate: Gate, tenant: Tenant) -> None:
    route(tenant, "a", Target(provider="groq", model="b"))
    route(tenant, "b", Target(provider="openai", model="a"))
    assert ways(gate, ask(tenant, "a")) == [("groq", "b", 0)]


def test_route_of_another_dialect_does_not_apply(gate: Gate, tenant: Tenant) -> None:
    route(tenant, "fast", Target(provider="groq", model="llama-4"), dialect=Dialect.ANTHROPIC)
    assert refused(gate, ask(tenant, "fast")) == (RefusalReason.MODEL_NOT_FOUND, "fast")


def test_another_organizations_routes_are_no_ones_business(subject: Subject, tenant: Tenant) -> None:
    route(Tenant(subject.seed), "fast", Target(provider="groq", model="llama-4"))
    assert refused(subject.gate, ask(tenant, "fast")) == (RefusalReason.MODEL_NOT_FOUND, "fast")


def test_changed_route_counts_from_the_next_question_on(gate: Gate, tenant: Tenant) -> None:
    made = route(tenant, "fast", Target(provider="groq", model="llama-4"))
    assert ways(gate, ask(tenant, "fast")) == [("groq", "llama-4", 0)]
    tenant.seed.set_route(tenant.org_id, replace(made, targets=(Target(provider="openai", model="gpt-5"),)))
    assert ways(gate, ask(tenant, "fast")) == [("openai", "gpt-5", 0)]
    tenant.seed.remove_route(tenant.org_id, made.id)
    assert refused(gate, ask(tenant, "fast")) == (RefusalReason.MODEL_NOT_FOUND, "fast")


# -- which route ---------------------------------------------------------------------------------------------------------


def test_first_by_position_applies_and_a_workspaces_own_come_before_the_organizations(gate: Gate, tenant: Tenant) -> None:
    route(tenant, "m*", Target(provider="openai", model="second"), position=2)
    first = route(tenant, "m", Target(provider="openai", model="first"), position=1)
    assert ways(gate, ask(tenant, "m")) == [("openai", "first", 0)]
    own = tenant.caller.workspace_id
    route(tenant, "m", Target(provider="openai", model="own"), position=9, workspace_id=own, name="own")
    assert ways(gate, ask(tenant, "m")) == [("openai", "own", 0)]
    tenant.seed.remove_route(tenant.org_id, first.id)
    assert ways(gate, ask(tenant, "mm")) == [("openai", "second", 0)]


@pytest.mark.parametrize(
    ("attributes", "applies"),
    [
        ({"tag.env": "prod", "header.user-agent": "OpenAI/Python 2"}, True),
        ({"tag.env": "production", "header.user-agent": "OpenAI/Python 2"}, True),
        ({"tag.env": "staging", "header.user-agent": "OpenAI/Python 2"}, False),
        ({"tag.env": "prod", "header.user-agent": "curl"}, False),
        ({"tag.env": "prod"}, False),
        ({"tag.environment": "prod", "header.user-agent": "OpenAI/Python 2"}, False),
        ({}, False),
    ],
)
def test_route_applies_where_all_its_conditions_hold(
    gate: Gate, tenant: Tenant, attributes: dict[str, str], applies: bool
) -> None:
    conditions = (
        Condition(attribute="tag.env", any_of=("prod", "produc*")),
        Condition(attribute="header.user-agent", any_of=("OpenAI/*",)),
    )
    route(tenant, "gpt-5", Target(provider="azure"), conditions=conditions, name="special", position=1)
    route(tenant, "gpt-5", Target(provider="openrouter"), name="usual", position=2)
    expected = "azure" if applies else "openrouter"
    assert ways(gate, ask(tenant, "gpt-5", attributes=attributes)) == [(expected, "gpt-5", 0)]


def test_target_that_does_not_serve_the_endpoint_is_left_out_and_a_route_without_any_is_passed_over(
    gate: Gate, tenant: Tenant
) -> None:
    route(tenant, "m", Target(provider="groq"), Target(provider="openai", step=1), position=1)
    route(tenant, "m", Target(provider="azure"), position=2, name="next")
    assert ways(gate, ask(tenant, "m", offering=("openai", "azure"))) == [("openai", "m", 0)]
    assert ways(gate, ask(tenant, "m", offering=("azure",))) == [("azure", "m", 0)]
    assert refused(gate, ask(tenant, "m", offering=())) == (RefusalReason.MODEL_NOT_FOUND, "m")


# -- candidates ----------------------------------------------------------------------------------------------------------


def test_candidates_come_by_step_and_share_by_the_weights_of_targets_and_keys(gate: Gate, tenant: Tenant) -> None:
    heavy = tenant.holds("openai", weight=3)
    route(
        tenant,
        "m",
        Target(provider="azure", step=2),
        Target(provider="openai", weight=3),
        Target(provider="groq", weight=1),
        Target(provider="openrouter", step=1),
        fallback_when_billed=True,
    )
    answer = admission(gate, ask(tenant, "m"))
    found = [(each.provider, each.step, each.weight) for each in answer.candidates]
    assert found == [("openai", 0, 2250), ("openai", 0, 750), ("groq", 0, 1000), ("openrouter", 1, 1000), ("azure", 2, 1000)]
    assert answer.candidates[0].key == heavy
    assert answer.fallback_when_billed


def test_what_can_not_be_used_is_left_out_and_the_steps_close_up(gate: Gate, tenant: Tenant) -> None:
    tenant.allows(Policy(disabled_providers=frozenset({"groq"}), block_models=("bad",)))
    route(
        tenant,
        "m",
        Target(provider="groq", model="a"),
        Target(provider="openai", model="bad", step=1),
        Target(provider="together", model="keyless", step=2),
        Target(provider="openai", model="good", step=3),
        Target(provider="azure", model="good", step=4),
    )
    offering = (*OFFERING, "together")
    assert ways(gate, ask(tenant, "m", offering=offering)) == [("openai", "good", 0), ("azure", "good", 1)]


@pytest.mark.parametrize(
    ("targets", "reason", "detail"),
    [
        ((("groq", "a"), ("together", "b")), RefusalReason.MODEL_NOT_ALLOWED, "groq"),
        ((("openai", "bad"), ("together", "b")), RefusalReason.MODEL_NOT_ALLOWED, "bad"),
        ((("together", "b"), ("openai", "bad")), RefusalReason.PROVIDER_KEY_MISSING, "together"),
    ],
)
def test_where_nothing_is_left_the_first_target_says_why(
    gate: Gate, tenant: Tenant, targets: tuple[tuple[str, str], ...], reason: RefusalReason, detail: str
) -> None:
    tenant.allows(Policy(disabled_providers=frozenset({"groq"}), block_models=("bad",)))
    chain = [Target(provider=provider, model=model, step=step) for step, (provider, model) in enumerate(targets)]
    route(tenant, "m", *chain)
    assert refused(gate, ask(tenant, "m", offering=(*OFFERING, "together"))) == (reason, detail)


def test_policy_looks_at_what_is_called_and_not_at_the_alias(gate: Gate, tenant: Tenant) -> None:
    tenant.allows(Policy(allow_models=("gpt-*",), block_models=("fast",)))
    route(tenant, "fast", Target(provider="openai", model="gpt-5"))
    assert ways(gate, ask(tenant, "fast")) == [("openai", "gpt-5", 0)]
    assert refused(gate, ask(tenant, "groq/llama-4")) == (RefusalReason.MODEL_NOT_ALLOWED, "llama-4")


def test_lost_request_by_a_route_is_that_of_its_first_candidate_and_of_the_name_that_was_asked_for(
    gate: Gate, tenant: Tenant
) -> None:
    route(tenant, "fast", Target(provider="groq", model="llama-4"))
    asked = ask(tenant, "fast")
    key = admission(gate, asked).candidates[0].key
    (expired,) = gate.expire(AFTER_LEASE, limit=10, now=AFTER_LEASE)
    assert (expired.request_id, expired.provider, expired.model) == (asked.request_id, "groq", "fast")
    assert expired.provider_key_id == key.context.provider_key_id
    assert expired.charge == RESERVE


# -- what is reserved ----------------------------------------------------------------------------------------------------

CHEAP, DEAR = ModelPrice(input_nano_usd=1, output_nano_usd=1), ModelPrice(input_nano_usd=10, output_nano_usd=10)
WORST = Worst(input_tokens=5, output_tokens=5)


def budget(tenant: Tenant, amount: int, kind: LimitKind = LimitKind.USD_PER_DAY) -> None:
    made = Limit(id=new_id(), scope=LimitScope.ORGANIZATION, scope_id=tenant.org_id, kind=kind, amount=amount)
    tenant.seed.set_limit(tenant.org_id, made)


def priced(tenant: Tenant) -> None:
    tenant.seed.set_price("groq", "cheap", CHEAP)
    tenant.seed.set_price("openai", "dear", DEAR)


@pytest.mark.parametrize(("amount", "fits"), [(99, False), (100, True)])
def test_dearest_target_is_what_is_reserved_whichever_answers(gate: Gate, tenant: Tenant, amount: int, fits: bool) -> None:
    priced(tenant)
    route(tenant, "m", Target(provider="groq", model="cheap"), Target(provider="openai", model="dear", step=1))
    budget(tenant, amount)
    answer = gate.admit(ask(tenant, "m", worst=WORST), NOW)
    assert isinstance(answer, Admission) is fits


@pytest.mark.parametrize(("amount", "fits"), [(109, False), (110, True)])
def test_where_a_step_may_follow_on_one_that_cost_money_all_steps_are_reserved(
    gate: Gate, tenant: Tenant, amount: int, fits: bool
) -> None:
    priced(tenant)
    cheap, dear = Target(provider="groq", model="cheap"), Target(provider="openai", model="dear", step=1)
    route(tenant, "m", cheap, dear, fallback_when_billed=True)
    budget(tenant, amount)
    answer = gate.admit(ask(tenant, "m", worst=WORST), NOW)
    assert isinstance(answer, Admission) is fits


def test_alias_is_reckoned_by_the_price_of_what_is_called(gate: Gate, tenant: Tenant) -> None:
    priced(tenant)
    route(tenant, "m", Target(provider="openai", model="dear"))
    budget(tenant, 100)
    assert ways(gate, ask(tenant, "m", worst=WORST)) == [("openai", "dear", 0)]
    assert refused(gate, ask(tenant, "m", worst=WORST))[0] is RefusalReason.BUDGET_EXCEEDED


def test_target_without_a_price_or_a_bound_is_left_out_under_a_limit_that_asks(gate: Gate, tenant: Tenant) -> None:
    tenant.seed.set_price("groq", "cheap", replace(CHEAP, context_tokens=50))
    route(tenant, "m", Target(provider="openai", model="unknown"), Target(provider="groq", model="cheap", step=1))
    route(tenant, "n", Target(provider="openai", model="unknown"), Target(provider="azure", model="unheard-of", step=1))
    assert len(ways(gate, ask(tenant, "m", worst=WORST))) == 2
    budget(tenant, 1000)
    assert ways(gate, ask(tenant, "m", worst=WORST)) == [("groq", "cheap", 0)]
    assert refused(gate, ask(tenant, "n", worst=WORST)) == (RefusalReason.MODEL_UNPRICED, "unknown")
    budget(tenant, 1000, LimitKind.TOKENS_PER_DAY)
    unread = Worst(input_tokens=1, output_tokens=1, contexts=1)
    assert ways(gate, ask(tenant, "m", worst=unread)) == [("groq", "cheap", 0)]


@pytest.mark.parametrize("mode", LimitMode)
@pytest.mark.parametrize("name", ["gpt-5", "chain"])
def test_no_claim_is_too_large_to_be_counted(gate: Gate, tenant: Tenant, mode: LimitMode, name: str) -> None:
    same = [Target(provider=provider, model="gpt-5", step=step) for step, provider in enumerate(OFFERING)]
    route(tenant, "chain", *same, fallback_when_billed=True)
    for provider in OFFERING:
        tenant.seed.set_price(provider, "gpt-5", replace(DEAR, context_tokens=2_000_000_000))
    for kind in (LimitKind.USD_PER_MONTH, LimitKind.TOKENS_PER_DAY):
        made = Limit(id=new_id(), scope=LimitScope.ORGANIZATION, scope_id=tenant.org_id, kind=kind, amount=10**18, mode=mode)
        tenant.seed.set_limit(tenant.org_id, made)
    huge = Worst(input_tokens=1, output_tokens=2**31 * 2**31, contexts=2**31 - 1)
    answer = gate.admit(ask(tenant, name, worst=huge), NOW)
    assert isinstance(answer, Admission) is (mode is LimitMode.NORMAL)
    again = gate.admit(ask(tenant, "gpt-5", worst=WORST), NOW)
    assert isinstance(again, Admission) is (mode is LimitMode.STRICT)


# -- policies ------------------------------------------------------------------------------------------------------------


def levels(tenant: Tenant, *, key: Policy | None = None, workspace: Policy | None = None, org: Policy | None = None) -> None:
    ids = {PolicyScope.KEY: tenant.caller.key_id, PolicyScope.WORKSPACE: tenant.caller.workspace_id}
    for scope, policy in ((PolicyScope.KEY, key), (PolicyScope.WORKSPACE, workspace), (PolicyScope.ORGANIZATION, org)):
        if policy is not None:
            tenant.allows(policy, scope=scope, scope_id=ids.get(scope, tenant.org_id))


@pytest.mark.parametrize(
    ("key", "workspace", "org", "allowed"),
    [
        (Policy(allow_models=("gpt-*",)), None, Policy(block_models=("*",)), True),
        (Policy(block_models=("gpt-*",)), None, Policy(allow_models=("*",)), False),
        (None, Policy(allow_models=("gpt-*",)), Policy(block_models=("*",)), True),
        (Policy(block_models=("gpt-5",)), Policy(allow_models=("gpt-*",)), None, False),
        # A level that says nothing about a name leaves it to the next.
        (Policy(block_models=("o3",)), Policy(), Policy(block_models=("gpt-5",)), False),
        (Policy(block_models=("o3",)), Policy(), Policy(allow_models=("gpt-5",)), True),
        (Policy(enabled_providers=frozenset({"openai"})), None, Policy(disabled_providers=frozenset({"openai"})), True),
        (Policy(enabled_providers=frozenset({"groq"})), None, Policy(enabled_providers=frozenset({"openai"})), False),
        # In one level deny beats allow.
        (Policy(enabled_providers=frozenset({"openai"}), disabled_providers=frozenset({"openai"})), None, None, False),
        # Providers and models are two questions; both must be answered with yes.
        (Policy(allow_models=("gpt-5",)), None, Policy(disabled_providers=frozenset({"openai"})), False),
        (None, None, Policy(enabled_providers=frozenset({"openai"})), True),
        (None, None, None, True),
    ],
)
def test_most_specific_policy_that_says_anything_decides(
    gate: Gate, tenant: Tenant, key: Policy | None, workspace: Policy | None, org: Policy | None, allowed: bool
) -> None:
    levels(tenant, key=key, workspace=workspace, org=org)
    answer = gate.admit(ask(tenant, "gpt-5"), NOW)
    assert isinstance(answer, Admission) is allowed
    assert allowed or (isinstance(answer, Refusal) and answer.reason is RefusalReason.MODEL_NOT_ALLOWED)


def test_policy_of_one_key_is_not_anothers(subject: Subject, tenant: Tenant) -> None:
    levels(tenant, key=Policy(block_models=("*",)))
    other = new_id().bytes * 2
    subject.seed.key(tenant.org_id, digest=other, expires_at=None)
    assert refused(subject.gate, ask(tenant, "gpt-5")) == (RefusalReason.MODEL_NOT_ALLOWED, "gpt-5")
    assert ways(subject.gate, ask(tenant, "gpt-5", key_digest=other)) == [("openai", "gpt-5", 0)]


@pytest.mark.parametrize(
    ("key", "workspace", "org", "allowed"),
    [
        (None, None, None, False),
        (None, None, True, True),
        (False, None, True, False),
        (True, False, None, True),
        (None, False, True, False),
        (None, True, False, True),
    ],
)
def test_files_are_off_until_the_most_specific_policy_that_says_anything_allows_them(
    gate: Gate, tenant: Tenant, key: bool | None, workspace: bool | None, org: bool | None, allowed: bool
) -> None:
    levels(tenant, key=Policy(allow_files=key), workspace=Policy(allow_files=workspace), org=Policy(allow_files=org))
    asked = ask(tenant, "gpt-5", touches_files=True)
    if allowed:
        assert ways(gate, asked) == [("openai", "gpt-5", 0)]
    else:
        assert refused(gate, asked) == (RefusalReason.ENDPOINT_NOT_ALLOWED, "")
    assert ways(gate, ask(tenant, "gpt-5")) == [("openai", "gpt-5", 0)]


def test_further_models_of_a_call_are_looked_at_too(gate: Gate, tenant: Tenant) -> None:
    tenant.allows(Policy(block_models=("gpt-4*",)))
    assert refused(gate, ask(tenant, "gpt-5", also_models=("gpt-5-mini", "gpt-4o"))) == (
        RefusalReason.MODEL_NOT_ALLOWED,
        "gpt-4o",
    )
    assert ways(gate, ask(tenant, None, also_models=("null", "gpt-5-mini"))) == [("openai", None, 0)]


# -- a person's limits ---------------------------------------------------------------------------------------------------


def test_persons_limit_is_shared_by_their_keys_and_by_nobody_elses(subject: Subject, tenant: Tenant) -> None:
    mine, theirs = new_id().bytes * 2, new_id().bytes * 2
    subject.seed.key(tenant.org_id, digest=mine, expires_at=None, owner=tenant.owner)
    subject.seed.key(tenant.org_id, digest=theirs, expires_at=None, owner=subject.seed.user())
    limited(tenant, tenant.owner, 2)
    for digest in (tenant.digest, mine):
        admission(subject.gate, ask(tenant, "gpt-5", key_digest=digest))
    for digest in (tenant.digest, mine):
        assert refused(subject.gate, ask(tenant, "gpt-5", key_digest=digest)) == (
            RefusalReason.RATE_LIMITED,
            "user requests_per_minute",
        )
    admission(subject.gate, ask(tenant, "gpt-5", key_digest=theirs))


def test_persons_limits_in_two_organizations_are_two(subject: Subject, tenant: Tenant) -> None:
    elsewhere = Tenant(subject.seed)
    elsewhere.holds("openai")
    digest = new_id().bytes * 2
    subject.seed.key(elsewhere.org_id, digest=digest, expires_at=None, owner=tenant.owner)
    limited(tenant, tenant.owner, 1)
    limited(elsewhere, tenant.owner, 1)
    for asked in (ask(tenant, "gpt-5"), replace(ask(elsewhere, "gpt-5"), key_digest=digest)):
        request_id = admission(subject.gate, asked).request_id
        assert refused(subject.gate, replace(asked, request_id=new_id()))[0] is RefusalReason.RATE_LIMITED
        subject.gate.finalize({request_id: Charge()}, NOW)
    later = NOW + timedelta(minutes=1)
    assert isinstance(subject.gate.admit(ask(tenant, "gpt-5"), later), Admission)


def limited(tenant: Tenant, user_id: UUID, amount: int) -> None:
    made = Limit(
        id=new_id(), scope=LimitScope.USER, scope_id=user_id, kind=LimitKind.REQUESTS_PER_MINUTE, amount=amount
    )  # fmt: skip
    tenant.seed.set_limit(tenant.org_id, made)
