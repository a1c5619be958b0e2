"""What every gate promises of limits and budgets, told in the Protocol's own words."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from navplane.gate.gate import Admission, Ask, Charge, Gate, Refusal, RefusalReason
from navplane.model.ids import new_id
from navplane.model.limit import Limit, LimitKind, LimitMode, LimitScope, ModelPrice, Worst, window_of
from navplane.model.policy import Policy

from tests.contract.gate.seed import Subject
from tests.contract.gate.test_gate_contract import AFTER_LEASE, LEASE, NOW, Tenant

PLATFORM = UUID(int=0)
BUDGETS = [kind for kind in LimitKind if kind.is_budget]
WEIGHTS = [kind for kind in LimitKind if kind.measure in ("usd", "tokens")]
TIMED = [kind for kind in LimitKind if kind is not LimitKind.CONCURRENT_STREAMS]


@pytest.fixture
def gate(subject: Subject) -> Gate:
    return subject.gate


@pytest.fixture
def tenant(subject: Subject) -> Tenant:
    tenant = Tenant(subject.seed)
    tenant.holds("openai")
    return tenant


def limit(
    tenant: Tenant,
    kind: LimitKind,
    amount: int,
    *,
    scope: LimitScope = LimitScope.ORGANIZATION,
    mode: LimitMode = LimitMode.STRICT,
    allow_unpriced: bool = False,
) -> Limit:
    """Set it for the tenant's one organization, workspace or key, or for everybody."""
    caller = tenant.caller
    ids = {
        LimitScope.KEY: caller.key_id,
        LimitScope.USER: tenant.owner,
        LimitScope.WORKSPACE: caller.workspace_id,
        LimitScope.ORGANIZATION: caller.org_id,
    }
    made = Limit(
        id=new_id(), scope=scope, scope_id=ids.get(scope, PLATFORM), kind=kind, amount=amount, mode=mode,
        allow_unpriced=allow_unpriced,
    )  # fmt: skip
    tenant.seed.set_limit(None if scope is LimitScope.PLATFORM else tenant.org_id, made)
    return made


def ask(tenant: Tenant, *, weight: int = 10, now: datetime = NOW, stream: bool = True) -> Ask:
    """That weighs as much in tokens as in nano-USD."""
    return replace(tenant.ask(now=now), reserve=Charge(tokens=weight, nano_usd=weight), stream=stream)


def admitted(gate: Gate, tenant: Tenant, *, weight: int = 10, now: datetime = NOW, stream: bool = True) -> UUID:
    asked = ask(tenant, weight=weight, now=now, stream=stream)
    assert isinstance(answer := gate.admit(asked, now), Admission), answer
    return asked.request_id


def refusal(gate: Gate, tenant: Tenant, *, weight: int = 10, now: datetime = NOW, stream: bool = True) -> Refusal:
    answer = gate.admit(ask(tenant, weight=weight, now=now, stream=stream), now)
    assert isinstance(answer, Refusal)
    return answer


def room(gate: Gate, tenant: Tenant, *, now: datetime = NOW) -> int:
    """How many requests that weigh 1 still pass; they are settled as nothing, so that none of it is spent."""
    passed: list[UUID] = []
    while isinstance(gate.admit(asked := ask(tenant, weight=1, now=now), now), Admission):
        passed.append(asked.request_id)
    gate.finalize({request_id: Charge() for request_id in passed}, now)
    return len(passed)


# -- one limit -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scope", LimitScope)
@pytest.mark.parametrize("kind", LimitKind)
def test_a_strict_limit_is_reached_exactly_and_never_passed(
    gate: Gate, tenant: Tenant, kind: LimitKind, scope: LimitScope
) -> None:
    limit(tenant, kind, 3, scope=scope)
    for _ in range(3):
        admitted(gate, tenant, weight=1)
    expected = RefusalReason.BUDGET_EXCEEDED if kind.is_budget else RefusalReason.RATE_LIMITED
    refused = refusal(gate, tenant, weight=1)
    assert (refused.reason, refused.caller) == (expected, tenant.caller)
    assert refused.detail == f"{scope.value} {kind.value}"


@pytest.mark.parametrize("kind", WEIGHTS)
def test_strict_refuses_what_would_go_over_and_still_takes_what_fits(gate: Gate, tenant: Tenant, kind: LimitKind) -> None:
    limit(tenant, kind, 10)
    admitted(gate, tenant, weight=6)
    refusal(gate, tenant, weight=5)
    admitted(gate, tenant, weight=4)
    refusal(gate, tenant, weight=1)


@pytest.mark.parametrize("kind", WEIGHTS)
def test_normal_lets_one_request_go_over_and_none_after_it(gate: Gate, tenant: Tenant, kind: LimitKind) -> None:
    limit(tenant, kind, 10, mode=LimitMode.NORMAL)
    admitted(gate, tenant, weight=9)
    admitted(gate, tenant, weight=500)
    refusal(gate, tenant, weight=1)


@pytest.mark.parametrize("mode", LimitMode)
@pytest.mark.parametrize("kind", LimitKind)
def test_a_limit_of_nothing_admits_nothing(gate: Gate, tenant: Tenant, kind: LimitKind, mode: LimitMode) -> None:
    limit(tenant, kind, 0, mode=mode)
    refusal(gate, tenant)


@pytest.mark.parametrize("kind", WEIGHTS)
def test_what_weighs_nothing_passes_a_spent_limit_and_counts_if_it_weighs_something_after_all(
    gate: Gate, tenant: Tenant, kind: LimitKind
) -> None:
    limit(tenant, kind, 10)
    request_id = admitted(gate, tenant, weight=0)
    gate.finalize({request_id: Charge(tokens=10, nano_usd=10)}, NOW)
    refusal(gate, tenant, weight=1)
    admitted(gate, tenant, weight=0)


@pytest.mark.parametrize("kind", LimitKind)
def test_a_changed_amount_counts_from_the_next_question_on_with_what_was_used_before(
    gate: Gate, tenant: Tenant, kind: LimitKind
) -> None:
    old = limit(tenant, kind, 1)
    admitted(gate, tenant, weight=1)
    refusal(gate, tenant, weight=1)
    limit(tenant, kind, 2)
    admitted(gate, tenant, weight=1)
    refusal(gate, tenant, weight=1)
    tenant.seed.remove_limit(tenant.org_id, old)
    admitted(gate, tenant, weight=1)
    limit(tenant, kind, 2)
    refusal(gate, tenant, weight=1)


# -- several limits ------------------------------------------------------------------------------------------------------


def test_one_tenants_use_is_nobody_elses(subject: Subject, tenant: Tenant) -> None:
    other = Tenant(subject.seed)
    other.holds("openai")
    for kind in LimitKind:
        limit(tenant, kind, 10)
        limit(other, kind, 10)
    admitted(subject.gate, tenant, weight=10)
    admitted(subject.gate, other, weight=10)


def test_the_platforms_limit_is_everybodys(subject: Subject, tenant: Tenant) -> None:
    other = Tenant(subject.seed)
    other.holds("openai")
    limit(tenant, LimitKind.REQUESTS_PER_MINUTE, 2, scope=LimitScope.PLATFORM)
    admitted(subject.gate, tenant)
    admitted(subject.gate, other)
    assert refusal(subject.gate, other).detail == "platform requests_per_minute"


def test_a_keys_limit_is_that_keys_alone(subject: Subject, tenant: Tenant) -> None:
    digest = new_id().bytes * 2
    subject.seed.key(tenant.org_id, digest=digest, expires_at=None)
    limit(tenant, LimitKind.REQUESTS_PER_MINUTE, 1, scope=LimitScope.KEY)
    admitted(subject.gate, tenant)
    refusal(subject.gate, tenant)
    assert isinstance(subject.gate.admit(replace(ask(tenant), key_digest=digest), NOW), Admission)


def test_of_several_limits_the_first_kind_is_named_and_of_one_kind_the_narrowest_scope(gate: Gate, tenant: Tenant) -> None:
    for kind in reversed(LimitKind):
        for scope in reversed(LimitScope):
            limit(tenant, kind, 0, scope=scope)
            assert refusal(gate, tenant).detail == f"{scope.value} {kind.value}"


def test_a_refused_request_is_counted_nowhere(gate: Gate, tenant: Tenant) -> None:
    for kind in LimitKind:
        limit(tenant, kind, 5)
    last = limit(tenant, LimitKind.TOKENS_PER_MINUTE, 0, scope=LimitScope.PLATFORM)
    for _ in range(10):
        refusal(gate, tenant, weight=5)
    assert list(gate.expire(AFTER_LEASE, limit=10, now=AFTER_LEASE)) == []
    tenant.seed.remove_limit(None, last)
    admitted(gate, tenant, weight=5)


def test_what_a_policy_refuses_is_not_counted_and_says_why(gate: Gate, tenant: Tenant) -> None:
    limit(tenant, LimitKind.REQUESTS_PER_MINUTE, 1)
    tenant.allows(Policy(block_models=("*",)))
    assert refusal(gate, tenant).reason is RefusalReason.MODEL_NOT_ALLOWED
    tenant.allows(Policy())
    admitted(gate, tenant)
    tenant.allows(Policy(block_models=("*",)))
    assert refusal(gate, tenant).reason is RefusalReason.MODEL_NOT_ALLOWED


def test_the_same_request_asked_again_is_counted_once_and_admitted_even_if_the_limit_is_reached(
    gate: Gate, tenant: Tenant
) -> None:
    for kind in LimitKind:
        limit(tenant, kind, 10)
    asked = ask(tenant, weight=10)
    first = gate.admit(asked, NOW)
    assert isinstance(first, Admission)
    assert gate.admit(asked, NOW) == first


# -- windows -------------------------------------------------------------------------------------------------------------


MOMENTS = [
    datetime(2026, 11, 21, 12, 0, tzinfo=UTC),
    datetime(2026, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    datetime(2028, 2, 29, 23, 59, 59, tzinfo=UTC),
]


@pytest.mark.parametrize("now", MOMENTS, ids=str)
@pytest.mark.parametrize("kind", TIMED)
def test_a_window_ends_when_the_refusal_says(gate: Gate, tenant: Tenant, kind: LimitKind, now: datetime) -> None:
    limit(tenant, kind, 1)
    admitted(gate, tenant, weight=1, now=now)
    refused = refusal(gate, tenant, weight=1, now=now)
    resets_at = window_of(kind, now).ends_at
    assert refused.resets_at == resets_at
    assert resets_at is not None
    assert refused.retry_after is not None
    assert 0 <= refused.retry_after - (resets_at - now).total_seconds() < 1
    refusal(gate, tenant, weight=1, now=resets_at - timedelta(microseconds=1))
    admitted(gate, tenant, weight=1, now=resets_at)


def test_what_frees_as_others_end_has_no_time_of_its_own(gate: Gate, tenant: Tenant) -> None:
    limit(tenant, LimitKind.CONCURRENT_STREAMS, 0)
    refused = refusal(gate, tenant)
    assert (refused.resets_at, refused.retry_after) == (None, None)


@pytest.mark.parametrize("kind", WEIGHTS)
def test_a_request_settles_into_the_window_it_was_admitted_in(gate: Gate, tenant: Tenant, kind: LimitKind) -> None:
    limit(tenant, kind, 100)
    later = window_of(kind, NOW).ends_at
    assert later is not None
    request_id = admitted(gate, tenant, weight=60)
    gate.settle(request_id, Charge(tokens=90, nano_usd=90), later)
    assert room(gate, tenant, now=later) == 100
    assert room(gate, tenant) == 10
    gate.finalize({request_id: Charge(tokens=70, nano_usd=70)}, later)
    assert room(gate, tenant, now=later) == 100
    assert room(gate, tenant) == 30


# -- a reservation's life, in counters -----------------------------------------------------------------------------------

Step = Callable[[Gate, UUID], object]
SETTLE: Step = lambda gate, id_: gate.settle(id_, Charge(tokens=20, nano_usd=20), NOW)  # noqa: E731
FINALIZE: Step = lambda gate, id_: gate.finalize({id_: Charge(tokens=30, nano_usd=30)}, NOW)  # noqa: E731
EXPIRE: Step = lambda gate, id_: gate.expire(AFTER_LEASE, limit=10, now=AFTER_LEASE)  # noqa: E731
LIVES: list[tuple[Sequence[Step], int]] = [
    ((), 50),
    ((SETTLE,), 20),
    ((SETTLE, SETTLE), 20),
    ((SETTLE, FINALIZE), 30),
    ((SETTLE, FINALIZE, FINALIZE), 30),
    ((FINALIZE,), 30),
    ((FINALIZE, SETTLE), 30),
    ((FINALIZE, EXPIRE), 30),
    ((EXPIRE,), 50),
    ((EXPIRE, EXPIRE), 50),
    ((EXPIRE, SETTLE), 50),
    ((EXPIRE, FINALIZE), 30),
    ((EXPIRE, SETTLE, FINALIZE, EXPIRE), 30),
    ((SETTLE, EXPIRE), 20),
    ((SETTLE, EXPIRE, FINALIZE, SETTLE), 30),
]
LIFE_NAMES = [" ".join({SETTLE: "settle", FINALIZE: "finalize", EXPIRE: "expire"}[step] for step in life) for life, _ in LIVES]


@pytest.mark.parametrize("kind", WEIGHTS)
@pytest.mark.parametrize(("life", "weighs"), LIVES, ids=LIFE_NAMES)
def test_whatever_is_repeated_or_reordered_a_request_weighs_what_its_state_says(
    gate: Gate, tenant: Tenant, life: Sequence[Step], weighs: int, kind: LimitKind
) -> None:
    limit(tenant, kind, 100)
    request_id = admitted(gate, tenant, weight=50)
    for step in life:
        step(gate, request_id)
    assert room(gate, tenant) == 100 - weighs


@pytest.mark.parametrize(("life", "weighs"), LIVES, ids=LIFE_NAMES)
def test_a_stream_is_running_until_its_reservation_first_changes(
    gate: Gate, tenant: Tenant, life: Sequence[Step], weighs: int
) -> None:
    limit(tenant, LimitKind.CONCURRENT_STREAMS, 3)
    request_id = admitted(gate, tenant)
    for step in life:
        step(gate, request_id)
    assert room(gate, tenant) == (3 if life else 2)


def test_what_is_not_streamed_needs_no_stream(gate: Gate, tenant: Tenant) -> None:
    limit(tenant, LimitKind.CONCURRENT_STREAMS, 1)
    request_id = admitted(gate, tenant)
    plain = admitted(gate, tenant, stream=False)
    gate.settle(plain, Charge(), NOW)
    refusal(gate, tenant)
    gate.settle(request_id, Charge(), NOW)
    admitted(gate, tenant)


def test_money_stays_held_until_its_price_is_known(gate: Gate, tenant: Tenant) -> None:
    limit(tenant, LimitKind.USD_PER_DAY, 100)
    request_id = admitted(gate, tenant, weight=60)
    gate.settle(request_id, Charge(tokens=1, nano_usd=None), NOW)
    assert room(gate, tenant) == 40
    gate.finalize({request_id: Charge(tokens=1, nano_usd=5)}, NOW)
    assert room(gate, tenant) == 95


def test_a_limit_that_came_later_does_not_hear_of_what_was_admitted_before(gate: Gate, tenant: Tenant) -> None:
    request_id = admitted(gate, tenant, weight=50)
    limit(tenant, LimitKind.TOKENS_PER_DAY, 100)
    gate.settle(request_id, Charge(tokens=20), NOW)
    gate.finalize({request_id: Charge(tokens=10)}, NOW)
    assert room(gate, tenant) == 100


def test_what_others_finalize_in_one_go_is_each_counted_in_its_own_place(subject: Subject, tenant: Tenant) -> None:
    other = Tenant(subject.seed)
    other.holds("openai")
    limit(tenant, LimitKind.TOKENS_PER_DAY, 100)
    limit(other, LimitKind.TOKENS_PER_DAY, 100)
    mine = [admitted(subject.gate, tenant, weight=10) for _ in range(3)]
    theirs = [admitted(subject.gate, other, weight=10) for _ in range(2)]
    unknown = new_id()
    subject.gate.finalize({id_: Charge(tokens=n) for n, id_ in enumerate([*mine, unknown, *theirs], start=1)}, NOW)
    assert room(subject.gate, tenant) == 100 - (1 + 2 + 3)
    assert room(subject.gate, other) == 100 - (5 + 6)


# -- a storm -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", LimitKind)
def test_of_a_storm_exactly_as_many_pass_as_the_limit_says_and_nothing_leaks(
    gate: Gate, tenant: Tenant, kind: LimitKind
) -> None:
    limit(tenant, kind, 20)
    limit(tenant, LimitKind.REQUESTS_PER_HOUR, 1000, scope=LimitScope.KEY)
    with ThreadPoolExecutor(8) as threads:
        asks = [ask(tenant, weight=1) for _ in range(50)]
        answers = list(threads.map(lambda each: gate.admit(each, NOW), asks))
        passed = [answer.request_id for answer in answers if isinstance(answer, Admission)]
        assert len(passed) == 20
        list(threads.map(lambda id_: gate.settle(id_, Charge(), NOW), passed[:10]))
    gate.expire(AFTER_LEASE, limit=100, now=AFTER_LEASE)
    gate.finalize({id_: Charge() for id_ in passed}, AFTER_LEASE)
    assert room(gate, tenant) == (0 if kind.measure == "requests" else 20)


# -- the worst case ------------------------------------------------------------------------------------------------------

PRICE = ModelPrice(input_nano_usd=3, output_nano_usd=7, request_nano_usd=11, context_tokens=1000, max_output_tokens=100)
CASES: list[tuple[Worst, int, int]] = [
    (Worst(input_tokens=40, output_tokens=5), 45, 40 * 3 + 5 * 7 + 11),
    (Worst(input_tokens=40, output_tokens=None), 140, 40 * 3 + 100 * 7 + 11),
    (Worst(input_tokens=40, output_tokens=5, contexts=1), 1005, 1000 * 3 + 5 * 7 + 11),
    (Worst(input_tokens=40, output_tokens=5, contexts=3), 3005, 3000 * 3 + 5 * 7 + 11),
    (Worst(input_tokens=0, output_tokens=0), 0, 0),
]


def worst_refusal(gate: Gate, tenant: Tenant, worst: Worst) -> RefusalReason | None:
    answer = gate.admit(replace(ask(tenant), worst=worst), NOW)
    return answer.reason if isinstance(answer, Refusal) else None


@pytest.mark.parametrize(("worst", "tokens", "nano_usd"), CASES)
@pytest.mark.parametrize("kind", WEIGHTS)
def test_the_worst_case_is_worked_out_from_what_is_known_of_the_model(
    gate: Gate, tenant: Tenant, kind: LimitKind, worst: Worst, tokens: int, nano_usd: int
) -> None:
    tenant.seed.set_price("openai", "gpt-5", PRICE)
    weight = nano_usd if kind.measure == "usd" else tokens
    if weight:
        limit(tenant, kind, weight - 1)
        assert worst_refusal(gate, tenant, worst) in (RefusalReason.BUDGET_EXCEEDED, RefusalReason.RATE_LIMITED)
    limit(tenant, kind, weight)
    assert worst_refusal(gate, tenant, worst) is None


UNKNOWN = [Worst(input_tokens=1, output_tokens=None), Worst(input_tokens=1, output_tokens=1, contexts=1)]


@pytest.mark.parametrize("worst", UNKNOWN)
@pytest.mark.parametrize("kind", WEIGHTS)
def test_where_nothing_bounds_a_request_strict_says_so_and_normal_takes_what_is_usual(
    gate: Gate, tenant: Tenant, kind: LimitKind, worst: Worst
) -> None:
    tenant.seed.set_price("openai", "gpt-5", replace(PRICE, context_tokens=None, max_output_tokens=None))
    limit(tenant, kind, 10**9)
    assert worst_refusal(gate, tenant, worst) is RefusalReason.UNBOUNDED_REQUEST
    limit(tenant, kind, 10**9, mode=LimitMode.NORMAL)
    assert worst_refusal(gate, tenant, worst) is None


@pytest.mark.parametrize("mode", LimitMode)
def test_what_the_provider_may_read_as_often_as_it_likes_has_no_bound(gate: Gate, tenant: Tenant, mode: LimitMode) -> None:
    tenant.seed.set_price("openai", "gpt-5", PRICE)
    limit(tenant, LimitKind.TOKENS_PER_DAY, 10**9, mode=mode)
    expected = RefusalReason.UNBOUNDED_REQUEST if mode is LimitMode.STRICT else None
    assert worst_refusal(gate, tenant, Worst(input_tokens=1, output_tokens=1, contexts=None)) is expected


@pytest.mark.parametrize("mode", LimitMode)
def test_under_a_budget_in_usd_a_model_without_a_price_is_refused_unless_the_limit_allows_it(
    gate: Gate, tenant: Tenant, mode: LimitMode
) -> None:
    worst = Worst(input_tokens=1, output_tokens=1)
    limit(tenant, LimitKind.USD_PER_MONTH, 0, mode=mode)
    assert worst_refusal(gate, tenant, worst) is RefusalReason.MODEL_UNPRICED
    limit(tenant, LimitKind.USD_PER_MONTH, 0, mode=mode, allow_unpriced=True)
    assert worst_refusal(gate, tenant, worst) is None


def test_what_is_free_needs_neither_price_nor_bound(gate: Gate, tenant: Tenant) -> None:
    limit(tenant, LimitKind.USD_PER_MONTH, 0)
    assert worst_refusal(gate, tenant, Worst(input_tokens=0, output_tokens=0)) is None


def test_without_a_limit_that_asks_nothing_needs_to_be_known(gate: Gate, tenant: Tenant) -> None:
    limit(tenant, LimitKind.REQUESTS_PER_MINUTE, 10)
    asked = replace(ask(tenant), worst=Worst(input_tokens=5, output_tokens=None, contexts=None))
    assert isinstance(gate.admit(asked, NOW), Admission)
    (expired,) = gate.expire(NOW + LEASE + timedelta(seconds=1), limit=10, now=AFTER_LEASE)
    assert expired.charge.tokens > 5
