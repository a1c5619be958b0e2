"""What every gate promises (gate/gate.py), told in the Protocol's own words."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from navplane.errors import DependencyUnavailable
from navplane.gate.gate import Admission, Ask, Caller, Candidate, Charge, Gate, Owner, Refusal, RefusalReason
from navplane.model.ids import new_id, new_request_id
from navplane.model.policy import Policy, PolicyScope, forbidden
from navplane.model.provider_key import SealedProviderKey, SealingContext
from navplane.model.tenancy import DataMode, Region, StreamUsage
from navplane.model.usage import Endpoint

from tests.contract.gate.policy_cases import POLICY_CASES
from tests.contract.gate.seed import Seed, Subject

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
LEASE = timedelta(minutes=15)
AFTER_LEASE = NOW + LEASE + timedelta(seconds=1)
RESERVE = Charge(tokens=5000, nano_usd=75_000_000_000)


class Tenant:
    """An organization with one key, which somebody owns."""

    def __init__(self, seed: Seed, *, region: Region = Region.US, stream_usage: StreamUsage = StreamUsage.INJECT) -> None:
        self.seed = seed
        self.region = region
        self.org_id = seed.organization(region=region, stream_usage=stream_usage)
        self.digest = new_id().bytes * 2
        self.owner = seed.user()
        self.caller = seed.key(self.org_id, digest=self.digest, expires_at=None, owner=self.owner)

    def holds(
        self, provider: str, *, sealed: bytes = b"sealed", base_url: str | None = None, demo: bool = False, weight: int = 1
    ) -> SealedProviderKey:
        context = SealingContext(org_id=self.org_id, provider_key_id=new_id(), provider=provider, region=self.region.value)
        key = SealedProviderKey(context=context, base_url=base_url, demo=demo, sealed=sealed)
        self.seed.provider_key(key, weight=weight)
        return key

    def allows(self, policy: Policy, *, scope: PolicyScope = PolicyScope.ORGANIZATION, scope_id: UUID | None = None) -> None:
        self.seed.set_policy(self.org_id, policy, scope=scope, scope_id=scope_id or self.org_id)

    def ask(self, *, now: datetime = NOW) -> Ask:
        return Ask(
            request_id=new_request_id(now),
            key_digest=self.digest,
            endpoint=Endpoint.CHAT_COMPLETIONS,
            provider="openai",
            model="gpt-5",
            region=self.region,
            stream=True,
            lease=LEASE,
            reserve=RESERVE,
        )


@pytest.fixture
def gate(subject: Subject) -> Gate:
    return subject.gate


@pytest.fixture
def tenant(subject: Subject) -> Tenant:
    tenant = Tenant(subject.seed)
    tenant.holds("openai")
    return tenant


def admitted(gate: Gate, tenant: Tenant, *, now: datetime = NOW) -> UUID:
    ask = tenant.ask(now=now)
    assert isinstance(gate.admit(ask, now), Admission)
    return ask.request_id


def open_at(gate: Gate, before: datetime, *, limit: int = 100) -> list[UUID]:
    return [expired.request_id for expired in gate.expire(before, limit=limit, now=before)]


# -- admit: the answer ---------------------------------------------------------------------------------------------------


def test_an_admission_names_the_caller_and_the_mode_and_the_candidates_newest_first(subject: Subject) -> None:
    tenant = Tenant(subject.seed, stream_usage=StreamUsage.OBSERVE)
    older = tenant.holds("openai", sealed=b"\x00\xff older", base_url="https://models.example.com/v1")
    newer = tenant.holds("openai", sealed=b"newer", demo=True)
    tenant.holds("anthropic")
    ask = tenant.ask()
    assert subject.gate.admit(ask, NOW) == Admission(
        request_id=ask.request_id,
        caller=tenant.caller,
        stream_usage=StreamUsage.OBSERVE,
        candidates=tuple(Candidate(provider="openai", model=ask.model, key=key, weight=500) for key in (newer, older)),
    )


def test_another_organizations_provider_keys_are_no_candidates(subject: Subject, tenant: Tenant) -> None:
    stranger = Tenant(subject.seed)
    stranger.holds("openai")
    admission = subject.gate.admit(tenant.ask(), NOW)
    assert isinstance(admission, Admission)
    assert {candidate.key.context.org_id for candidate in admission.candidates} == {tenant.org_id}


def test_an_endpoint_without_a_model_is_admitted(gate: Gate, tenant: Tenant) -> None:
    ask = replace(tenant.ask(), endpoint=Endpoint.MODELS, model=None, stream=False)
    assert isinstance(gate.admit(ask, NOW), Admission)


def test_a_key_that_nobody_holds_is_refused_without_a_caller(gate: Gate, tenant: Tenant) -> None:
    ask = replace(tenant.ask(), key_digest=bytes(32))
    assert gate.admit(ask, NOW) == Refusal(reason=RefusalReason.INVALID_KEY, caller=None)


def test_a_revoked_key_is_refused_at_once_and_its_caller_is_still_named(subject: Subject, tenant: Tenant) -> None:
    admitted(subject.gate, tenant)
    subject.seed.revoke(tenant.caller.key_id)
    assert subject.gate.admit(tenant.ask(), NOW) == Refusal(reason=RefusalReason.INVALID_KEY, caller=tenant.caller)


def test_a_key_works_until_the_moment_it_expires(subject: Subject, tenant: Tenant) -> None:
    digest = new_id().bytes * 2
    caller = subject.seed.key(tenant.org_id, digest=digest, expires_at=NOW)
    just_before = NOW - timedelta(microseconds=1)
    assert isinstance(subject.gate.admit(replace(tenant.ask(), key_digest=digest), just_before), Admission)
    refusal = subject.gate.admit(replace(tenant.ask(), key_digest=digest), NOW)
    assert refusal == Refusal(reason=RefusalReason.INVALID_KEY, caller=caller)


def test_the_kill_switch_refuses_the_very_next_request_and_lets_go_at_once(subject: Subject, tenant: Tenant) -> None:
    subject.seed.set_enabled(tenant.org_id, False)
    assert subject.gate.admit(tenant.ask(), NOW) == Refusal(reason=RefusalReason.ORGANIZATION_DISABLED, caller=tenant.caller)
    subject.seed.set_enabled(tenant.org_id, True)
    assert isinstance(subject.gate.admit(tenant.ask(), NOW), Admission)


def test_one_organizations_kill_switch_is_nobody_elses(subject: Subject, tenant: Tenant) -> None:
    subject.seed.set_enabled(Tenant(subject.seed).org_id, False)
    assert isinstance(subject.gate.admit(tenant.ask(), NOW), Admission)


def test_a_missing_provider_key_is_named(subject: Subject, tenant: Tenant) -> None:
    subject.seed.remove_provider_keys(tenant.org_id)
    refusal = subject.gate.admit(tenant.ask(), NOW)
    assert refusal == Refusal(reason=RefusalReason.PROVIDER_KEY_MISSING, caller=tenant.caller, detail="openai")


Break = Callable[[Tenant, Ask], Ask]


def revoked(tenant: Tenant, ask: Ask) -> Ask:
    tenant.seed.revoke(tenant.caller.key_id)
    return ask


def disabled(tenant: Tenant, ask: Ask) -> Ask:
    tenant.seed.set_enabled(tenant.org_id, False)
    return ask


def elsewhere(tenant: Tenant, ask: Ask) -> Ask:
    return replace(ask, region=Region.EU)


def unknown_model(tenant: Tenant, ask: Ask) -> Ask:
    return replace(ask, provider=None)


def blocked(tenant: Tenant, ask: Ask) -> Ask:
    tenant.allows(Policy(block_models=("gpt-*",)))
    return ask


def keyless(tenant: Tenant, ask: Ask) -> Ask:
    tenant.seed.remove_provider_keys(tenant.org_id)
    return ask


BREAKS: list[tuple[RefusalReason, Break]] = [
    (RefusalReason.INVALID_KEY, revoked),
    (RefusalReason.ORGANIZATION_DISABLED, disabled),
    (RefusalReason.REGION_MISMATCH, elsewhere),
    (RefusalReason.MODEL_NOT_FOUND, unknown_model),
    (RefusalReason.MODEL_NOT_ALLOWED, blocked),
    (RefusalReason.PROVIDER_KEY_MISSING, keyless),
]


@pytest.mark.parametrize("first", range(len(BREAKS)), ids=[reason.value for reason, _ in BREAKS])
def test_of_several_reasons_the_first_one_is_the_answer_and_each_suffices(subject: Subject, first: int) -> None:
    reason = BREAKS[first][0]
    for breaks in (BREAKS[first:], BREAKS[first : first + 1]):
        tenant = Tenant(subject.seed)
        tenant.holds("openai")
        ask = tenant.ask()
        for _, wreck in breaks:
            ask = wreck(tenant, ask)
        refusal = subject.gate.admit(ask, NOW)
        assert isinstance(refusal, Refusal)
        assert (refusal.reason, refusal.caller) == (reason, tenant.caller)


@pytest.mark.parametrize(("policy", "provider", "model", "allowed"), POLICY_CASES)
def test_policy_is_decided_as_in_the_model(
    subject: Subject, policy: Policy, provider: str, model: str | None, allowed: bool
) -> None:
    assert (forbidden([policy], provider=provider, model=model) is None) is allowed
    tenant = Tenant(subject.seed)
    tenant.holds(provider)
    tenant.allows(policy)
    answer = subject.gate.admit(replace(tenant.ask(), provider=provider, model=model), NOW)
    if allowed:
        assert isinstance(answer, Admission)
    else:
        assert isinstance(answer, Refusal)
        assert answer.reason is RefusalReason.MODEL_NOT_ALLOWED
        assert answer.detail in (provider, model)


# -- admit: the reservation ----------------------------------------------------------------------------------------------


def test_admitting_the_same_request_twice_answers_alike_and_reserves_once(gate: Gate, tenant: Tenant) -> None:
    ask = tenant.ask()
    assert gate.admit(ask, NOW) == gate.admit(ask, NOW)
    assert open_at(gate, AFTER_LEASE) == [ask.request_id]


def test_a_refused_request_reserves_nothing(subject: Subject, tenant: Tenant) -> None:
    subject.seed.set_enabled(tenant.org_id, False)
    subject.gate.admit(tenant.ask(), NOW)
    assert open_at(subject.gate, AFTER_LEASE) == []


def test_a_request_id_belongs_to_whoever_reserved_it(subject: Subject, tenant: Tenant) -> None:
    stranger = Tenant(subject.seed)
    stranger.holds("openai")
    request_id = admitted(subject.gate, tenant)
    with pytest.raises(DependencyUnavailable):
        subject.gate.admit(replace(stranger.ask(), request_id=request_id), NOW)
    (expired,) = subject.gate.expire(AFTER_LEASE, limit=10, now=AFTER_LEASE)
    assert expired.caller == tenant.caller


Close = Callable[[Gate, UUID], object]


@pytest.mark.parametrize(
    "close",
    [
        lambda gate, request_id: gate.settle(request_id, Charge(), NOW),
        lambda gate, request_id: gate.finalize({request_id: Charge()}, NOW),
        lambda gate, request_id: gate.expire(AFTER_LEASE, limit=10, now=AFTER_LEASE),
    ],
    ids=["settled", "final", "expired"],
)
def test_a_closed_request_is_not_opened_again(gate: Gate, tenant: Tenant, close: Close) -> None:
    ask = tenant.ask()
    gate.admit(ask, NOW)
    close(gate, ask.request_id)
    with pytest.raises(DependencyUnavailable):
        gate.admit(ask, NOW)


def test_a_request_that_was_finalized_before_it_was_admitted_is_not_admitted(gate: Gate, tenant: Tenant) -> None:
    ask = tenant.ask()
    gate.finalize({ask.request_id: Charge()}, NOW)
    with pytest.raises(DependencyUnavailable):
        gate.admit(ask, NOW)
    assert open_at(gate, AFTER_LEASE) == []


# -- settle, finalize, expire --------------------------------------------------------------------------------------------


def test_an_expired_reservation_says_all_that_its_row_needs(subject: Subject) -> None:
    tenant = Tenant(subject.seed)
    key = tenant.holds("openai", demo=True)
    ask = tenant.ask()
    subject.gate.admit(ask, NOW)
    (expired,) = subject.gate.expire(AFTER_LEASE, limit=10, now=AFTER_LEASE)
    assert (expired.request_id, expired.caller) == (ask.request_id, tenant.caller)
    assert (expired.provider, expired.provider_key_id, expired.demo) == ("openai", key.context.provider_key_id, True)
    assert (expired.model, expired.endpoint, expired.region, expired.stream) == ("gpt-5", ask.endpoint, Region.US, True)
    assert expired.charge == RESERVE


def test_nothing_expires_before_its_lease_has_ended(gate: Gate, tenant: Tenant) -> None:
    request_id = admitted(gate, tenant)
    assert open_at(gate, NOW + LEASE) == []
    assert open_at(gate, NOW + LEASE + timedelta(microseconds=1)) == [request_id]


def test_the_oldest_expire_first_and_no_more_than_asked_for(gate: Gate, tenant: Tenant) -> None:
    requests = [admitted(gate, tenant, now=NOW + timedelta(seconds=second)) for second in range(3)]
    much_later = NOW + timedelta(hours=1)
    assert open_at(gate, much_later, limit=2) == requests[:2]
    assert open_at(gate, much_later) == requests


def test_what_expired_is_answered_again_until_it_is_final(gate: Gate, tenant: Tenant) -> None:
    request_id = admitted(gate, tenant)
    assert open_at(gate, AFTER_LEASE) == [request_id]
    assert open_at(gate, AFTER_LEASE) == [request_id]
    gate.finalize({request_id: Charge(tokens=1)}, AFTER_LEASE)
    assert open_at(gate, AFTER_LEASE) == []


def test_a_settled_request_whose_event_never_came_expires_with_its_settled_charge(gate: Gate, tenant: Tenant) -> None:
    request_id = admitted(gate, tenant)
    gate.settle(request_id, Charge(tokens=42, nano_usd=7), NOW)
    gate.settle(request_id, Charge(tokens=43, nano_usd=8), NOW)
    (expired,) = gate.expire(AFTER_LEASE, limit=10, now=AFTER_LEASE)
    assert expired.charge == Charge(tokens=42, nano_usd=7)


def test_settling_after_expiry_changes_nothing(gate: Gate, tenant: Tenant) -> None:
    request_id = admitted(gate, tenant)
    gate.expire(AFTER_LEASE, limit=10, now=AFTER_LEASE)
    gate.settle(request_id, Charge(tokens=1), AFTER_LEASE)
    (expired,) = gate.expire(AFTER_LEASE, limit=10, now=AFTER_LEASE)
    assert expired.charge == RESERVE


def test_settling_after_the_end_does_not_open_again(gate: Gate, tenant: Tenant) -> None:
    request_id = admitted(gate, tenant)
    gate.finalize({request_id: Charge(tokens=10)}, NOW)
    gate.settle(request_id, Charge(tokens=11), NOW)
    assert open_at(gate, AFTER_LEASE) == []


def test_finalizing_is_idempotent_and_takes_many_at_once(gate: Gate, tenant: Tenant) -> None:
    requests = [admitted(gate, tenant) for _ in range(5)]
    charges = {request_id: Charge(tokens=3, nano_usd=10**15) for request_id in requests}
    gate.finalize(charges, NOW)
    gate.finalize(charges, NOW)
    gate.finalize({}, NOW)
    assert open_at(gate, AFTER_LEASE) == []


def test_settling_what_nobody_reserved_is_no_error_and_closes_nothing(gate: Gate, tenant: Tenant) -> None:
    ask = tenant.ask()
    gate.settle(ask.request_id, Charge(tokens=1), NOW)
    assert isinstance(gate.admit(ask, NOW), Admission)


# -- standing, ready -----------------------------------------------------------------------------------------------------


def test_standing_answers_for_each_caller_in_order(subject: Subject) -> None:
    good, killed, gone = (Tenant(subject.seed) for _ in range(3))
    subject.seed.set_enabled(killed.org_id, False)
    subject.seed.revoke(gone.caller.key_id)
    unknown = Caller(org_id=new_id(), workspace_id=new_id(), key_id=new_id())
    callers = [gone.caller, good.caller, killed.caller, unknown, good.caller]
    assert list(subject.gate.standing(callers, NOW)) == [
        RefusalReason.INVALID_KEY,
        None,
        RefusalReason.ORGANIZATION_DISABLED,
        RefusalReason.INVALID_KEY,
        None,
    ]
    assert list(subject.gate.standing([], NOW)) == []


def test_standing_ends_when_the_key_expires(subject: Subject) -> None:
    tenant = Tenant(subject.seed)
    caller = subject.seed.key(tenant.org_id, digest=new_id().bytes * 2, expires_at=NOW)
    assert list(subject.gate.standing([caller], NOW - timedelta(seconds=1))) == [None]
    assert list(subject.gate.standing([caller], NOW)) == [RefusalReason.INVALID_KEY]


def test_ready_returns(gate: Gate) -> None:
    gate.ready()


@pytest.mark.parametrize("other", [False, True])
def test_content_is_kept_of_workspaces_that_say_so_and_from_the_next_question_on(
    gate: Gate, subject: Subject, tenant: Tenant, other: bool
) -> None:
    caller = tenant.caller
    assert not gate.keeps_content(caller)
    subject.seed.set_data_mode(caller, DataMode.FULL)
    asked = Tenant(subject.seed).caller if other else caller
    assert gate.keeps_content(asked) is not other
    subject.seed.set_data_mode(caller, DataMode.METADATA_ONLY)
    assert not gate.keeps_content(caller)


# -- objects that providers keep -----------------------------------------------------------------------------------------


def test_object_belongs_to_whom_it_was_bound_and_to_nobody_before(gate: Gate, tenant: Tenant) -> None:
    object_id, owner = f"resp_{new_id().hex}", Owner(org_id=tenant.org_id, provider_key_id=new_id())
    assert gate.owner_of("openai", object_id) is None
    gate.bind_object("openai", object_id, owner, NOW)
    assert gate.owner_of("openai", object_id) == owner
    made = replace(owner, pending_event='{"v":1,"text":"\u00e9"}')
    gate.bind_object("openai", object_id + "_2", made, NOW)
    gate.bind_object("openai", object_id + "_2", owner, NOW)
    assert gate.owner_of("openai", object_id + "_2") == made


def test_first_binding_counts_for_good(gate: Gate, subject: Subject, tenant: Tenant) -> None:
    object_id, owner = f"resp_{new_id().hex}", Owner(org_id=tenant.org_id, provider_key_id=new_id())
    thief = Owner(org_id=Tenant(subject.seed).org_id, provider_key_id=new_id())
    gate.bind_object("openai", object_id, owner, NOW)
    gate.bind_object("openai", object_id, thief, NOW)
    gate.bind_object("openai", object_id, owner, AFTER_LEASE)
    assert gate.owner_of("openai", object_id) == owner


def test_equal_ids_of_two_providers_are_two_objects(gate: Gate, tenant: Tenant) -> None:
    object_id, owner = f"resp_{new_id().hex}", Owner(org_id=tenant.org_id, provider_key_id=new_id())
    gate.bind_object("openai", object_id, owner, NOW)
    assert gate.owner_of("xai", object_id) is None
    assert gate.owner_of("openai", object_id.upper()) is None
