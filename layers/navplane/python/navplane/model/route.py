"""Routes: which providers serve a name, in which order, and what they are called with.

PostgresGate resolves the same in SQL, inside the admission; the gate contract suite and a property test hold both to it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from navplane.model.dialect import Dialect
from navplane.model.policy import covers, matches

MAX_TARGETS = 20
MAX_STEPS = 5
# The request headers that conditions may look at. None of them ever holds a credential.
HEADERS = frozenset(
    {"anthropic-beta", "anthropic-version", "http-referer", "openai-beta", "user-agent", "x-app", "x-title"}
    | {"x-stainless-lang", "x-stainless-package-version", "x-stainless-retry-count"}
)
TAG = "[a-z0-9][a-z0-9_.-]{0,63}"
ATTRIBUTE = f"^(header\\.({'|'.join(sorted(HEADERS))})|tag\\.{TAG})$"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """`model` is what the provider is called with, None for what the client wrote. All of step 0 share the calls by weight;
    each further step is for when all before it have failed."""

    provider: str
    model: str | None = None
    step: int = 0
    weight: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """Holds when the attribute (`header.<name>` or `tag.<key>`) is there and matches one of the globs."""

    attribute: str
    any_of: tuple[str, ...]

    def holds(self, attributes: Mapping[str, str]) -> bool:
        value = attributes.get(self.attribute)
        return value is not None and any(matches(pattern, value) for pattern in self.any_of)


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """`match` is a glob of the names that clients write: an alias, or names of models. `workspace_id` None: for the whole
    organization. `position`: the lower, the earlier it is looked at. `workflow_version`: None for one that was made by hand."""

    id: UUID
    name: str
    match: str
    dialect: Dialect
    targets: tuple[Target, ...]
    conditions: tuple[Condition, ...] = ()
    workspace_id: UUID | None = None
    position: int = 0
    fallback_when_billed: bool = False
    workflow_version: UUID | None = None

    @property
    def rank(self) -> tuple[bool, int, UUID]:
        """A workspace's routes come before its organization's."""
        return self.workspace_id is None, self.position, self.id


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What of a request decides where it goes, in the words of gate.Ask."""

    model: str | None
    dialect: Dialect
    provider: str | None
    pinned: bool
    offering: tuple[str, ...]
    attributes: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """`route` is None where the name alone led there. Empty `targets`: nobody serves it."""

    targets: tuple[Target, ...]
    route: Route | None = None


def resolve(question: Question, routes: Sequence[Route]) -> Destination:
    """The first route that applies; else `provider/model`, taken apart; else what the registry says. Nothing is resolved
    twice: a target is never looked up among the routes again, so they can't go in circles."""
    for route in sorted(routes, key=lambda route: route.rank):
        targets = _targets_for(route, question)
        if targets:
            return Destination(targets=targets, route=route)
    return Destination(targets=_by_name(question))


def _targets_for(route: Route, question: Question) -> tuple[Target, ...]:
    """Those whose provider serves the endpoint, by step; none where the route does not apply."""
    if question.model is None or route.dialect is not question.dialect or not matches(route.match, question.model):
        return ()
    if not all(condition.holds(question.attributes) for condition in route.conditions):
        return ()
    return tuple(
        Target(provider=target.provider, model=target.model or question.model, step=target.step, weight=target.weight)
        for target in sorted(route.targets, key=lambda target: target.step)
        if target.provider in question.offering
    )


def _by_name(question: Question) -> tuple[Target, ...]:
    provider, slash, model = (question.model or "").partition("/")
    if slash and model and not question.pinned and provider in question.offering:
        return (Target(provider=provider, model=model),)
    return (Target(provider=question.provider, model=question.model),) if question.provider is not None else ()


def objections(route: Route, *, dialects: Mapping[str, Dialect], among: Sequence[Route]) -> list[str]:
    """Why `route` can't be one of the routes `among`, for people; nothing where it can. `dialects` are those of the providers
    that there are."""
    unknown = sorted({target.provider for target in route.targets} - dialects.keys())
    if unknown:
        return [f"There is no provider {', '.join(unknown)}; there are: {', '.join(sorted(dialects))}."]
    return _about_targets(route, dialects) + _about_neighbours(route, among)


def _about_targets(route: Route, dialects: Mapping[str, Dialect]) -> list[str]:
    found = []
    if len({dialects[target.provider] for target in route.targets}) > 1:
        found.append("All targets of a route must speak one dialect: an answer can't change its language halfway.")
    steps = {target.step for target in route.targets}
    if steps != set(range(len(steps))):
        found.append("The targets' steps must be 0, 1, 2 and so on, without a gap.")
    named = [(target.step, target.provider, target.model) for target in route.targets]
    if len(set(named)) < len(named):
        found.append("A step names the same provider and model twice: give that target more weight instead.")
    return found


def _about_neighbours(route: Route, among: Sequence[Route]) -> list[str]:
    others = [
        other
        for other in among
        if (other.workspace_id, other.dialect) == (route.workspace_id, route.dialect) and other.id != route.id
    ]
    hiding = [other.name for other in others if other.rank < route.rank and _hides(other, route)]
    hidden = [other.name for other in others if route.rank < other.rank and _hides(route, other)]
    return [f"The route {name!r} comes first and takes every call that this one matches." for name in hiding] + [
        f"It comes before the route {name!r} and would take every call that that one matches." for name in hidden
    ]


def _hides(first: Route, second: Route) -> bool:
    return not first.conditions and covers(first.match, second.match)
