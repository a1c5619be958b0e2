"""What every gate promises of the list of models: no name that an admission would refuse, and none left out."""

import pytest
from navplane.gate.gate import Gate, Menu, Refusal, RefusalReason
from navplane.model.dialect import Dialect
from navplane.model.ids import new_id
from navplane.model.limit import ModelPrice
from navplane.model.policy import Policy, PolicyScope
from navplane.model.route import Route, Target
from navplane.model.tenancy import Region

from tests.contract.gate.seed import Subject
from tests.contract.gate.test_gate_contract import NOW, Tenant

OFFERING = ("openai", "groq")
PRICE = ModelPrice(input_nano_usd=1, output_nano_usd=1)


@pytest.fixture
def gate(subject: Subject) -> Gate:
    return subject.gate


@pytest.fixture
def tenant(subject: Subject) -> Tenant:
    for provider, model in (("openai", "gpt-5"), ("openai", "gpt-5-mini"), ("groq", "llama-4"), ("mistral", "large")):
        subject.seed.set_price(provider, model, PRICE)
    tenant = Tenant(subject.seed)
    tenant.holds("openai")
    return tenant


def ask(gate: Gate, tenant: Tenant, *, region: Region = Region.US) -> Menu | Refusal:
    return gate.menu(tenant.digest, dialect=Dialect.OPENAI, region=region, offering=OFFERING, now=NOW)


def menu(gate: Gate, tenant: Tenant) -> Menu:
    answer = ask(gate, tenant)
    assert isinstance(answer, Menu), answer
    assert answer.caller == tenant.caller
    return answer


def route(tenant: Tenant, match: str, *targets: Target, dialect: Dialect = Dialect.OPENAI) -> None:
    made = Route(id=new_id(), name=f"to {match}", match=match, dialect=dialect, targets=targets)
    tenant.seed.set_route(tenant.org_id, made)


def test_models_are_those_of_providers_with_a_key_among_the_offered(gate: Gate, tenant: Tenant) -> None:
    assert menu(gate, tenant).models == (("openai", "gpt-5"), ("openai", "gpt-5-mini"))
    tenant.holds("groq")
    tenant.holds("mistral")
    assert menu(gate, tenant).models == (("groq", "llama-4"), ("openai", "gpt-5"), ("openai", "gpt-5-mini"))


def test_what_a_policy_forbids_is_not_listed(gate: Gate, tenant: Tenant) -> None:
    tenant.holds("groq")
    tenant.allows(Policy(block_models=("*-mini",), disabled_providers=frozenset({"groq"})))
    assert menu(gate, tenant).models == (("openai", "gpt-5"),)
    tenant.allows(Policy(allow_models=("*-mini",)), scope=PolicyScope.KEY, scope_id=tenant.caller.key_id)
    assert menu(gate, tenant).models == (("openai", "gpt-5-mini"),)


def test_aliases_that_lead_somewhere_are_listed_and_globs_are_not(gate: Gate, tenant: Tenant) -> None:
    route(tenant, "fast", Target(provider="openai", model="gpt-5-mini"))
    route(tenant, "gpt-*", Target(provider="openai"))
    route(tenant, "elsewhere", Target(provider="groq", model="llama-4"))
    route(tenant, "claude", Target(provider="anthropic", model="claude-opus-5"), dialect=Dialect.ANTHROPIC)
    assert menu(gate, tenant).aliases == ("fast",)
    tenant.allows(Policy(block_models=("gpt-5-mini",)))
    assert menu(gate, tenant).aliases == ()


def test_who_may_call_nothing_is_told_so_and_is_known(gate: Gate, tenant: Tenant) -> None:
    tenant.seed.remove_provider_keys(tenant.org_id)
    answer = menu(gate, tenant)
    assert (answer.aliases, answer.models) == ((), ())


def test_refusals_are_those_of_an_admission(gate: Gate, tenant: Tenant) -> None:
    def reason(answer: Menu | Refusal) -> RefusalReason:
        assert isinstance(answer, Refusal), answer
        return answer.reason

    nobody = gate.menu(bytes(32), dialect=Dialect.OPENAI, region=Region.US, offering=OFFERING, now=NOW)
    assert (reason(nobody), nobody.caller) == (RefusalReason.INVALID_KEY, None)
    assert reason(ask(gate, tenant, region=Region.EU)) is RefusalReason.REGION_MISMATCH
    tenant.seed.set_enabled(tenant.org_id, False)
    assert reason(ask(gate, tenant)) is RefusalReason.ORGANIZATION_DISABLED
    tenant.seed.revoke(tenant.caller.key_id)
    assert reason(ask(gate, tenant)) is RefusalReason.INVALID_KEY
