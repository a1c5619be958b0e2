"""What a workflow's version would have done to the calls of the past, as far as their rows tell.

Routes and policies are decided by the same functions as in a gate; limits go by what the calls really used.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from navplane.model.limit import NANO_USD, Limit, window_of
from navplane.model.policy import Policy, forbidden, matches
from navplane.model.route import Destination, Question, Route, Target, resolve

# USD per input token, per output token and per request, of a provider's model; None where the list has no price.
Rates = tuple[Decimal, Decimal, Decimal]
Rated = Callable[[str, str], Rates | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """A call that was let through. `model` is what the client wrote, `called` what `provider` was called with. `question` is
    None where no model could lead anywhere else (a model in the path, a form, a file)."""

    at: datetime
    workspace_id: UUID
    key_id: UUID
    provider: str | None
    called: str | None
    route: str | None
    input_tokens: int
    output_tokens: int
    cost_usd: Decimal | None
    question: Question | None

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.output_tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What would be in force: `policies` by the id of the key, the workspace or the organization; `limits` are the version's
    own. `holding`: the providers that the organization has a key for."""

    org_id: UUID
    routes: Sequence[Route]
    policies: Mapping[UUID, Policy]
    limits: Sequence[Limit]
    holding: frozenset[str]


@dataclass(slots=True, kw_only=True)
class Verdicts:
    """`undecided`: a route with conditions might have taken the call, and no row keeps headers or tags. `unpriced`: what a
    difference is not known of. Money is USD."""

    calls: int = 0
    unchanged: int = 0
    undecided: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    rerouted: Counter[str] = field(default_factory=Counter)
    unpriced: int = 0
    saved_by_refusing: Decimal = Decimal(0)
    saved_by_rerouting: Decimal = Decimal(0)


class Simulation:
    def __init__(self, rules: Rules, rated: Rated) -> None:
        self._rules, self._rated = rules, rated
        self._used: Counter[tuple[UUID, str]] = Counter()
        self._ways: dict[object, Destination | None] = {}
        self.verdicts = Verdicts()

    def run(self, pasts: Iterable[Past]) -> Verdicts:
        """The oldest first: limits fill up."""
        for past in pasts:
            self.verdicts.calls += 1
            self._one(past)
        return self.verdicts

    def _one(self, past: Past) -> None:
        destination = self._destination(past)
        held = self._held(past, _as_it_was(past) if destination is None else destination.targets)
        if isinstance(held, str):
            return self._refuse(past, held)
        changed = held is not None and not any(_is_same(past, each) for each in held)
        target = max((each for each in held if each.step == held[0].step), key=_share) if held and changed else None
        cost = past.cost_usd if target is None else self._cost(past, target.provider, target.model)
        if (reason := self._over(past, cost)) is not None:
            return self._refuse(past, reason)
        if target is not None:
            return self._reroute(past, target, cost)
        self.verdicts.undecided += destination is None
        self.verdicts.unchanged += destination is not None
        return None

    def _held(self, past: Past, targets: Sequence[Target]) -> list[Target] | str | None:
        """Those that it might go to, or why there are none; None for what no provider was asked."""
        if past.provider is None:
            return None
        allowed = [each for each in targets if self._allows(past, each)]
        held = [each for each in allowed if each.provider in self._rules.holding or _is_same(past, each)]
        if held:
            return held
        return "provider_key_missing" if allowed else "model_not_allowed" if targets else "model_not_found"

    def _destination(self, past: Past) -> Destination | None:
        """None where it can't be told. Of what no route takes, where it really went."""
        question = past.question
        if question is None:
            return Destination(targets=_as_it_was(past))
        known = (question.model, question.dialect, question.provider, question.offering, past.workspace_id)
        if known not in self._ways:
            self._ways[known] = self._resolved(question, past.workspace_id)
        found = self._ways[known]
        if found is not None and found.route is None and past.route is None:
            return Destination(targets=_as_it_was(past))
        return found

    def _resolved(self, question: Question, workspace_id: UUID) -> Destination | None:
        routes = [route for route in self._rules.routes if route.workspace_id in (None, workspace_id)]
        found = resolve(question, [route for route in routes if not route.conditions])
        uncertain = [route for route in routes if route.conditions and _might_take(route, question)]
        before = [route for route in uncertain if found.route is None or route.rank < found.route.rank]
        return None if before else found

    def _allows(self, past: Past, target: Target) -> bool:
        scopes = (past.key_id, past.workspace_id, self._rules.org_id)
        levels = [self._rules.policies[scope] for scope in scopes if scope in self._rules.policies]
        return forbidden(levels, provider=target.provider, model=target.model) is None

    def _over(self, past: Past, cost: Decimal | None) -> str | None:
        """Why a limit would refuse it; else it is counted in all of them."""
        weights = []
        for limit in self._counted:
            if limit.kind.measure == "usd" and cost is None and not limit.allow_unpriced:
                return "model_unpriced"
            window = limit.id, window_of(limit.kind, past.at).name
            weight = {"usd": int((cost or 0) * NANO_USD), "tokens": past.tokens}.get(limit.kind.measure, 1)
            if not limit.allows(self._used[window], weight):
                return "budget_exceeded" if limit.kind.is_budget else "rate_limited"
            weights.append((window, weight))
        for window, weight in weights:
            self._used[window] += weight
        return None

    @property
    def _counted(self) -> list[Limit]:
        return [limit for limit in self._rules.limits if limit.kind.measure != "concurrent_streams"]

    def _refuse(self, past: Past, reason: str) -> None:
        self.verdicts.refused[reason] += 1
        if past.cost_usd is None:
            self.verdicts.unpriced += 1
        else:
            self.verdicts.saved_by_refusing += past.cost_usd

    def _reroute(self, past: Past, target: Target, cost: Decimal | None) -> None:
        self.verdicts.rerouted[f"{past.provider}/{past.called} -> {target.provider}/{target.model}"] += 1
        then = self._cost(past, past.provider, past.called)
        if then is None or cost is None:
            self.verdicts.unpriced += 1
        else:
            self.verdicts.saved_by_rerouting += then - cost

    def _cost(self, past: Past, provider: str | None, model: str | None) -> Decimal | None:
        """At list prices, for the tokens that were used."""
        rates = self._rated(provider, model) if provider and model else None
        if rates is None:
            return None
        return past.input_tokens * rates[0] + past.output_tokens * rates[1] + rates[2]


def _is_same(past: Past, target: Target) -> bool:
    return (target.provider, target.model) == (past.provider, past.called)


def _share(target: Target) -> int:
    return target.weight


def _as_it_was(past: Past) -> tuple[Target, ...]:
    return (Target(provider=past.provider, model=past.called),) if past.provider else ()


def _might_take(route: Route, question: Question) -> bool:
    name, dialect = question.model, question.dialect
    if name is None or route.dialect is not dialect or not matches(route.match, name):
        return False
    return any(target.provider in question.offering for target in route.targets)
