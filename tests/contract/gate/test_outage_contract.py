"""Which admissions may outlast the gate: of organizations that chose it, and only where nothing is limited."""

from uuid import UUID

import pytest
from navplane.gate.gate import Admission, Gate
from navplane.model.ids import new_id
from navplane.model.limit import Limit, LimitKind, LimitMode, LimitScope

from tests.contract.gate.seed import Subject
from tests.contract.gate.test_gate_contract import NOW, Tenant


@pytest.fixture
def gate(subject: Subject) -> Gate:
    return subject.gate


@pytest.fixture
def tenant(subject: Subject) -> Tenant:
    tenant = Tenant(subject.seed)
    tenant.holds("openai")
    return tenant


def outlasts(gate: Gate, tenant: Tenant) -> bool:
    answer = gate.admit(tenant.ask(), NOW)
    assert isinstance(answer, Admission)
    return answer.may_outlast_gate


def test_nobody_who_did_not_choose_it(gate: Gate, tenant: Tenant) -> None:
    assert outlasts(gate, tenant) is False


def test_who_chose_it_until_they_no_longer_do(gate: Gate, tenant: Tenant) -> None:
    tenant.seed.set_cached_admission(tenant.org_id, True)
    assert outlasts(gate, tenant) is True
    tenant.seed.set_cached_admission(tenant.org_id, False)
    assert outlasts(gate, tenant) is False


@pytest.mark.parametrize("scope", LimitScope)
def test_nobody_while_anything_is_limited(gate: Gate, tenant: Tenant, scope: LimitScope) -> None:
    """Be it somebody else's key: what is remembered counts nothing, anywhere."""
    tenant.seed.set_cached_admission(tenant.org_id, True)
    other = tenant.seed.key(tenant.org_id, digest=new_id().bytes * 2, expires_at=None)
    scopes = {LimitScope.KEY: other.key_id, LimitScope.WORKSPACE: other.workspace_id, LimitScope.ORGANIZATION: other.org_id}
    limit = Limit(
        id=new_id(),
        scope=scope,
        scope_id=scopes.get(scope) or (UUID(int=0) if scope is LimitScope.PLATFORM else tenant.owner),
        kind=LimitKind.REQUESTS_PER_HOUR,
        amount=1000,
        mode=LimitMode.NORMAL,
        allow_unpriced=False,
    )
    of = None if scope is LimitScope.PLATFORM else tenant.org_id
    tenant.seed.set_limit(of, limit)
    assert outlasts(gate, tenant) is False
    tenant.seed.remove_limit(of, limit)
    assert outlasts(gate, tenant) is True
