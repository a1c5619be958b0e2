"""What every gate promises of workflows: each answer says which version it was given under."""

import pytest
from navplane.gate.gate import Admission, Gate, Refusal, RefusalReason
from navplane.model.ids import new_id
from navplane.model.limit import Limit, LimitKind, LimitScope
from navplane.model.policy import Policy
from navplane.model.route import Target
from navplane.model.usage import Endpoint

from tests.contract.gate.seed import Subject
from tests.contract.gate.test_gate_contract import NOW, Tenant
from tests.contract.gate.test_routes_contract import admission, ask, route


@pytest.fixture
def gate(subject: Subject) -> Gate:
    return subject.gate


@pytest.fixture
def tenant(subject: Subject) -> Tenant:
    tenant = Tenant(subject.seed)
    tenant.holds("openai")
    return tenant


def test_what_is_published_for_the_workspace_comes_before_the_organizations(gate: Gate, tenant: Tenant) -> None:
    everybodys, own = new_id(), new_id()
    assert admission(gate, ask(tenant, "gpt-5")).workflow_version is None
    tenant.seed.publish_workflow(tenant.org_id, everybodys, workspace_id=None)
    assert admission(gate, ask(tenant, "gpt-5")).workflow_version == everybodys
    tenant.seed.publish_workflow(tenant.org_id, own, workspace_id=tenant.caller.workspace_id)
    assert admission(gate, ask(tenant, "gpt-5")).workflow_version == own
    assert admission(gate, ask(tenant, None, endpoint=Endpoint.MODELS, stream=False)).workflow_version == own


def test_the_routes_own_version_comes_before_both(gate: Gate, tenant: Tenant) -> None:
    tenant.seed.publish_workflow(tenant.org_id, new_id(), workspace_id=tenant.caller.workspace_id)
    made_by = new_id()
    route(tenant, "fast", Target(provider="openai", model="gpt-5"), workflow_version=made_by)
    assert admission(gate, ask(tenant, "fast")).workflow_version == made_by


def test_what_was_answered_is_answered_again(gate: Gate, tenant: Tenant) -> None:
    tenant.seed.publish_workflow(tenant.org_id, new_id(), workspace_id=None)
    asked = ask(tenant, "gpt-5")
    first = gate.admit(asked, NOW)
    assert isinstance(first, Admission)
    assert gate.admit(asked, NOW) == first


def test_a_refusal_says_so_too(gate: Gate, tenant: Tenant) -> None:
    version = new_id()
    tenant.seed.publish_workflow(tenant.org_id, version, workspace_id=None)
    tenant.allows(Policy(block_models=("gpt-4",)))
    limit = Limit(
        id=new_id(), scope=LimitScope.ORGANIZATION, scope_id=tenant.org_id, kind=LimitKind.REQUESTS_PER_HOUR, amount=0
    )
    blocked = gate.admit(ask(tenant, "gpt-4"), NOW)
    tenant.seed.set_limit(tenant.org_id, limit)
    limited = gate.admit(ask(tenant, "gpt-5"), NOW)
    assert isinstance(blocked, Refusal)
    assert isinstance(limited, Refusal)
    assert (blocked.reason, blocked.workflow_version) == (RefusalReason.MODEL_NOT_ALLOWED, version)
    assert (limited.reason, limited.workflow_version) == (RefusalReason.RATE_LIMITED, version)


def test_another_organizations_or_workspaces_workflow_is_no_business_of_the_call(
    gate: Gate, tenant: Tenant, subject: Subject
) -> None:
    other = Tenant(subject.seed)
    other.seed.publish_workflow(other.org_id, new_id(), workspace_id=None)
    assert admission(gate, ask(tenant, "gpt-5")).workflow_version is None


def test_a_key_that_nobody_knows_runs_under_nothing(gate: Gate, tenant: Tenant) -> None:
    tenant.seed.publish_workflow(tenant.org_id, new_id(), workspace_id=None)
    stranger = gate.admit(ask(tenant, "gpt-5", key_digest=bytes(32)), NOW)
    assert isinstance(stranger, Refusal)
    assert (stranger.caller, stranger.workflow_version) == (None, None)
