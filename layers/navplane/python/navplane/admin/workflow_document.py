"""What a workflow's document says, and the rows that it compiles into. `python -m` this module prints its JSON Schema."""

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field, StringConstraints, ValidationError

from navplane.admin.fields import PRINTABLE, Body
from navplane.admin.limits import Amount, Dollars, Kind, LimitChange, Mode, amount_of
from navplane.admin.policies import PolicyChange, policy_of
from navplane.admin.routes import DIALECTS, ConditionBody, Text
from navplane.admin.workflow_yaml import Parsed, Path, parse, refusal
from navplane.errors import Invalid
from navplane.model.dialect import Dialect
from navplane.model.ids import new_id
from navplane.model.limit import Limit, LimitKind, LimitMode, LimitScope
from navplane.model.policy import Policy
from navplane.model.route import MAX_STEPS, Condition, Route, Target, objections
from navplane.model.workflow import Compiled

SCHEMA_ID = "https://navplane.dev/schemas/workflow-1.json"
# Before the routes that were made by hand, whose position is 1000 unless somebody says otherwise.
FIRST_POSITION = 100
MAX_MESSAGES = 10
WORDS = {
    "extra_forbidden": "there is no such field here: correct its name, or remove it.",
    "missing": "this field is missing: add it.",
}
Name = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"^[!-~]+$")]
AliasName = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"^[!-)+-~]+$")]
Provider = Annotated[str, StringConstraints(min_length=1, max_length=40, pattern=PRINTABLE)]


class Way(Body):
    provider: Provider = Field(description="Who is called.", examples=["openai"])
    model: Text | None = Field(default=None, description="What it is called with; absent: what the client wrote.")


class WeightedWay(Way):
    weight: int = Field(default=1, ge=1, le=1000, description="Its share of the calls.")


class Fallbacks(Body):
    fallbacks: list[Way] = Field(
        default=[], max_length=MAX_STEPS - 1, description="Each is tried when all before it have failed, in this order."
    )
    fallback_when_billed: bool = Field(default=False, description="Try them even where a failure may have cost money.")


class Alias(Fallbacks):
    provider: Provider
    model: Text


class Rule(Fallbacks):
    name: Name = Field(description="Shown in rows and in x-navplane-route.")
    match: Text = Field(description="The names that clients write; `*` is any run of characters.", examples=["gpt-*"])
    when: list[ConditionBody] = Field(default=[], max_length=10, description="Conditions; all must hold.")
    targets: list[WeightedWay] = Field(min_length=1, max_length=10, description="They share the calls by weight.")


class LimitRule(Body):
    kind: Kind
    amount: Amount | None = Field(default=None, description="Requests, tokens or streams.")
    amount_usd: Dollars | Annotated[int, Field(ge=0, lt=10**9)] | None = Field(default=None, description="For kinds in USD.")
    mode: Mode = "strict"
    allow_unpriced: bool = Field(default=False, description="Under a limit in USD: models without a known price pass.")


class WorkflowDocument(Body):
    format: Literal["navplane-workflow/1"] = Field(description="What this document is.")
    description: Annotated[str, StringConstraints(max_length=2000)] = Field(default="", description="For people.")
    aliases: dict[AliasName, Alias] = Field(
        default={},
        max_length=100,
        description="Names of your own for models.",
        json_schema_extra={"additionalProperties": False},
    )
    routes: list[Rule] = Field(default=[], max_length=100, description="Which providers serve which names, and when.")
    limits: list[LimitRule] = Field(default=[], max_length=8, description="Of the workspace, or of the organization.")
    policy: PolicyChange | None = Field(default=None, description="Of the workspace, or of the organization.")


def schema() -> str:
    """The JSON Schema of documents, as it is published."""
    described = WorkflowDocument.model_json_schema()
    return (
        json.dumps({"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": SCHEMA_ID, **described}, indent=2) + "\n"
    )


def compiled(text: str, *, org_id: UUID, workspace_id: UUID | None, version_id: UUID, among: Sequence[Route] = ()) -> Compiled:
    """The rows of a document, as one version's. `among`: the routes beside which they will be. Raise Invalid, which says each
    line and what is wrong with it."""
    parsed = parse(text)
    document = _document(parsed)
    routes = list(_routes(document, workspace_id=workspace_id, version_id=version_id))
    _object(parsed, routes, among)
    return Compiled(
        routes=tuple(route for _, route in routes),
        limits=tuple(_limits(parsed, document, org_id=org_id, workspace_id=workspace_id)),
        policy=_policy(parsed, document),
    )


def _document(parsed: Parsed) -> WorkflowDocument:
    if not isinstance(parsed.value, dict):
        raise refusal(1, "the document must be a map that begins with `format: navplane-workflow/1`.")
    try:
        return WorkflowDocument.model_validate(parsed.value)
    except ValidationError as exc:
        found = [(one["loc"], WORDS.get(one["type"], f"{one['msg']}.")) for one in exc.errors(include_input=False)]
        raise _refused(parsed, found) from None


def _refused(parsed: Parsed, found: Iterable[tuple[Path, str]]) -> Invalid:
    told = [f"Line {parsed.line_of(path)}, {_dotted(path)}: {message}" for path, message in found]
    return Invalid(" ".join(["The document can't be accepted.", *told[:MAX_MESSAGES]]))


def _dotted(path: Path) -> str:
    return ".".join(str(part) for part in path)[:120] or "the document"


def _routes(document: WorkflowDocument, *, workspace_id: UUID | None, version_id: UUID) -> Iterable[tuple[Path, Route]]:
    """Those with conditions first, then the aliases, then the rest: the more particular, the earlier."""
    rules = [(("routes", place), rule) for place, rule in enumerate(document.routes)]
    ordered: list[tuple[Path, Rule]] = [
        *((path, rule) for path, rule in rules if rule.when),
        *((("aliases", name), _rule_of(name, alias)) for name, alias in document.aliases.items()),
        *((path, rule) for path, rule in rules if not rule.when),
    ]
    for place, (path, rule) in enumerate(ordered):
        yield (
            path,
            Route(
                id=new_id(),
                name=rule.name,
                match=rule.match,
                dialect=DIALECTS.get(rule.targets[0].provider, Dialect.OPENAI),
                targets=_targets(rule),
                conditions=tuple(Condition(attribute=each.attribute, any_of=tuple(each.any_of)) for each in rule.when),
                workspace_id=workspace_id,
                position=FIRST_POSITION + place,
                fallback_when_billed=rule.fallback_when_billed,
                workflow_version=version_id,
            ),
        )


def _rule_of(name: str, alias: Alias) -> Rule:
    target = WeightedWay(provider=alias.provider, model=alias.model)
    return Rule(
        name=name,
        match=name,
        targets=[target],
        fallbacks=alias.fallbacks,
        fallback_when_billed=alias.fallback_when_billed,
    )


def _targets(rule: Rule) -> tuple[Target, ...]:
    first = [Target(provider=each.provider, model=each.model, weight=each.weight) for each in rule.targets]
    further = [Target(provider=each.provider, model=each.model, step=step) for step, each in enumerate(rule.fallbacks, start=1)]
    return (*first, *further)


def _object(parsed: Parsed, routes: Sequence[tuple[Path, Route]], among: Sequence[Route]) -> None:
    """Raise Invalid for routes that could never work."""
    own = [route for _, route in routes]
    found = [
        (path, message) for path, route in routes for message in objections(route, dialects=DIALECTS, among=[*own, *among])
    ]
    names = [route.name for route in own]
    found += [(path, f"there are two routes {route.name!r}.") for path, route in routes if names.count(route.name) > 1]
    if found:
        raise _refused(parsed, found)


def _limits(parsed: Parsed, document: WorkflowDocument, *, org_id: UUID, workspace_id: UUID | None) -> Iterable[Limit]:
    scope = LimitScope.WORKSPACE if workspace_id else LimitScope.ORGANIZATION
    kinds = [rule.kind for rule in document.limits]
    for place, rule in enumerate(document.limits):
        if rule.kind in kinds[:place]:
            raise _refused(parsed, [(("limits", place), f"there are two limits of {rule.kind}: keep one.")])
        yield Limit(
            id=new_id(),
            scope=scope,
            scope_id=workspace_id or org_id,
            kind=LimitKind(rule.kind),
            amount=_amount(parsed, rule, place),
            mode=LimitMode(rule.mode),
            allow_unpriced=rule.allow_unpriced,
        )


def _amount(parsed: Parsed, rule: LimitRule, place: int) -> int:
    usd = None if rule.amount_usd is None else str(rule.amount_usd)
    try:
        return amount_of(LimitChange(amount=rule.amount, amount_usd=usd), LimitKind(rule.kind))
    except Invalid as exc:
        raise _refused(parsed, [(("limits", place), exc.message)]) from exc


def _policy(parsed: Parsed, document: WorkflowDocument) -> Policy | None:
    if document.policy is None:
        return None
    try:
        return policy_of(document.policy)
    except Invalid as exc:
        raise _refused(parsed, [(("policy",), exc.message)]) from exc


if __name__ == "__main__":
    sys.stdout.write(schema())
