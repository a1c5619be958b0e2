"""What a version of a workflow would have done to the calls of the last days."""

from datetime import datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter
from pydantic import Field

from navplane.admin import change
from navplane.admin.access import Call, Permission, require
from navplane.admin.fields import Body, View
from navplane.admin.plane import ThePlane
from navplane.admin.problem import responses
from navplane.admin.workflow_access import the_version, the_workflow
from navplane.admin.workflow_document import compiled
from navplane.admin.workflows import Number
from navplane.model.dialect import Dialect
from navplane.model.route import Question
from navplane.model.simulation import Past, Rules, Simulation, Verdicts
from navplane.model.usage import FILES_AND_BATCHES, Endpoint, Outcome
from navplane.model.workflow import Compiled, Workflow
from navplane.store import policies, routes, simulations, workflows
from navplane.store.database import Connection
from navplane.store.simulations import Row
from navplane.upstream.providers import PROVIDERS, serving

router = APIRouter(tags=["workflows"])

MAX_CALLS = 20_000
UNSEEN = (
    "Headers and tags are not kept: a call that a route with conditions might have taken is undecided, and counted as it was.",
    "Limits count what the calls used, where an admission reserves the worst case first: strict limits refuse more than this.",
    "Limits on concurrent streams are not simulated.",
    "Differences of price are those of list prices, the dearest rates and without discounts for what is cached.",
    "A path that names its provider is taken for one that doesn't, and no application changes what it asks for.",
)


class Span(Body):
    days: int = Field(default=7, ge=1, le=31, description="How far back, from now.")


class SimulationView(View):
    """Money is USD, as text; negative where it would have cost more."""

    start: datetime
    end: datetime
    calls: int = Field(description="Those that were let through, and that the version was tried on.")
    complete: bool = Field(description="Whether these are all of the span: at most 20,000 are taken, the newest.")
    refused_before: int = Field(description="Calls that were refused anyhow; they are not tried again.")
    unchanged: int
    undecided: int = Field(description="A route with conditions might have taken them.")
    refused: int
    refused_by: dict[str, int] = Field(examples=[{"model_not_allowed": 312}])
    rerouted: int
    rerouted_by: dict[str, int] = Field(examples=[{"openai/gpt-5 -> openai/gpt-5-mini": 1200}])
    saved_usd: Decimal = Field(examples=["41.000000000"])
    saved_by_refusing_usd: Decimal
    saved_by_rerouting_usd: Decimal
    unpriced: int = Field(description="Refused or rerouted calls that no difference is known of; they count nothing above.")
    unseen: list[str] = Field(description="What this can't know.")


@router.post(
    "/admin/orgs/{org_id}/workflows/{workflow_id}/versions/{number}/simulate",
    summary="Try a version on the calls of the last days",
    responses=responses(404, 413, 422),
)
def simulate_version(
    org_id: UUID,
    workflow_id: UUID,
    number: Number,
    body: Span,
    call: Annotated[Call, require(Permission.WORKFLOW_SIMULATE, per_workspace=True)],
    plane: ThePlane,
) -> SimulationView:
    """In place of what the workflow has in force. Nothing changes."""
    start = call.now - timedelta(days=body.days)
    with plane.database.transaction(org_id=org_id) as db:
        change.found(db, org_id=org_id)
        workflow = the_workflow(db, call, plane.region, org_id=org_id, workflow_id=workflow_id)
        version = the_version(db, workflow, number)
        rows = compiled(version.document, org_id=org_id, workspace_id=workflow.workspace_id, version_id=version.id)
        found = simulations.calls(db, org_id=org_id, workspace_id=workflow.workspace_id, since=start, limit=MAX_CALLS + 1)
        taken = found[:MAX_CALLS]
        pasts = [_past(row) for row in reversed(taken) if row[8] != Outcome.REFUSED.value]
        simulation = Simulation(_rules(db, workflow, rows), cache(lambda *name: simulations.rates(db, *name)))
        verdicts = simulation.run(pasts)
    complete = len(found) <= MAX_CALLS
    return _view(
        verdicts, start=start if complete else taken[-1][0], end=call.now, complete=complete, before=len(taken) - len(pasts)
    )


def _rules(db: Connection, workflow: Workflow, rows: Compiled) -> Rules:
    """Everything that is in force but for what the workflow has, and the version in its place."""
    org_id = workflow.org_id
    own = workflows.version_ids(db, org_id=org_id, workflow_id=workflow.id)
    others = [route for route in routes.every(db, org_id=org_id) if route.workflow_version not in own]
    kept = {each.scope_id: each.policy for each in policies.every(db, org_id=org_id) if each.workflow_version not in own}
    if rows.policy is not None:
        kept[workflow.workspace_id or org_id] = rows.policy
    return Rules(
        org_id=org_id,
        routes=[*others, *rows.routes],
        policies=kept,
        limits=rows.limits,
        holding=simulations.holding(db, org_id=org_id),
    )


def _past(row: Row) -> Past:
    at, workspace_id, key_id, endpoint, asked, provider, called, route, _, read, written, cost = row
    return Past(
        at=at,
        workspace_id=workspace_id,
        key_id=key_id,
        provider=provider,
        called=called,
        route=route,
        input_tokens=read,
        output_tokens=written,
        cost_usd=cost,
        question=_question(Endpoint(endpoint), asked, provider),
    )


@cache
def _offering(endpoint: Endpoint, dialect: Dialect) -> tuple[str, ...]:
    return tuple(each.name for each in PROVIDERS.values() if endpoint in each.paths and each.dialect is dialect)


def _question(endpoint: Endpoint, asked: str | None, provider: str | None) -> Question | None:
    """As the gateway asks, for a path that names no provider."""
    if asked is None or endpoint in FILES_AND_BATCHES or provider not in PROVIDERS:
        return None
    dialect, first = PROVIDERS[provider].dialect, serving(endpoint, asked)
    return Question(
        model=asked,
        dialect=dialect,
        provider=first.name if first else None,
        pinned=False,
        offering=_offering(endpoint, dialect),
        attributes={},
    )


def _view(verdicts: Verdicts, *, start: datetime, end: datetime, complete: bool, before: int) -> SimulationView:
    return SimulationView(
        start=start,
        end=end,
        calls=verdicts.calls,
        complete=complete,
        refused_before=before,
        unchanged=verdicts.unchanged,
        undecided=verdicts.undecided,
        refused=verdicts.refused.total(),
        refused_by=dict(verdicts.refused.most_common()),
        rerouted=verdicts.rerouted.total(),
        rerouted_by=dict(verdicts.rerouted.most_common(100)),
        saved_usd=verdicts.saved_by_refusing + verdicts.saved_by_rerouting,
        saved_by_refusing_usd=verdicts.saved_by_refusing,
        saved_by_rerouting_usd=verdicts.saved_by_rerouting,
        unpriced=verdicts.unpriced,
        unseen=list(UNSEEN),
    )
