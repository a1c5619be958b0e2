"""Routes of an organization and its workspaces: where the names that clients write lead to."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter
from pydantic import Field, StringConstraints

from navplane.admin import change, ownership, paging
from navplane.admin.access import Call, Permission, require
from navplane.admin.fields import PRINTABLE, Body, View
from navplane.admin.plane import ThePlane
from navplane.admin.problem import responses
from navplane.errors import Conflict, Invalid, NotFound
from navplane.model.dialect import Dialect
from navplane.model.ids import new_id
from navplane.model.route import ATTRIBUTE, MAX_STEPS, MAX_TARGETS, Condition, Route, Target, objections
from navplane.store import routes
from navplane.store.database import Connection
from navplane.store.organizations import Position
from navplane.store.outbox import Aggregate
from navplane.store.routes import KeptRoute
from navplane.upstream.providers import PROVIDERS

router = APIRouter(tags=["routes"])

MAX_ROUTES = 500
DIALECTS = {name: provider.dialect for name, provider in PROVIDERS.items()}
Text = Annotated[str, StringConstraints(min_length=1, max_length=256, pattern=PRINTABLE)]


class TargetBody(Body):
    provider: Annotated[str, Field(max_length=40, examples=["openai"])]
    model: Text | None = Field(
        default=None, description="What the provider is called with; null: what the client wrote.", examples=["gpt-5"]
    )
    step: Annotated[int, Field(ge=0, lt=MAX_STEPS)] = Field(
        default=0, description="All of step 0 share the calls; each further step is for when those before it failed."
    )
    weight: Annotated[int, Field(ge=1, le=1000)] = Field(default=1, description="Its share of the calls of its step.")


class ConditionBody(Body):
    attribute: Annotated[str, StringConstraints(pattern=ATTRIBUTE)] = Field(
        description="`tag.<key>` of the header x-navplane-tags, or `header.<name>` of the headers that may be looked at.",
        examples=["tag.env"],
    )
    any_of: list[Text] = Field(min_length=1, max_length=50, description="Globs; one must match.", examples=[["prod", "prod-*"]])


class RouteBody(Body):
    name: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100, pattern=r"^[!-~]+$")] = Field(
        description="Shown in rows and in x-navplane-route: visible ASCII without spaces.", examples=["fast"]
    )
    match: Text = Field(
        description="The names that clients write: an alias, or a glob where `*` is any run of characters.", examples=["fast"]
    )
    targets: list[TargetBody] = Field(min_length=1, max_length=MAX_TARGETS)
    conditions: list[ConditionBody] = Field(default=[], max_length=10, description="All must hold.")
    workspace_id: Annotated[UUID, Field(strict=False)] | None = Field(
        default=None, description="For one workspace only; its routes come before the organization's."
    )
    position: Annotated[int, Field(ge=0, le=100_000)] = Field(
        default=1000, description="The lower, the earlier it is looked at; the first that applies is taken."
    )
    fallback_when_billed: bool = Field(
        default=False, description="Try the next step even where the one before may have cost money. Reserves for all of them."
    )


class RouteView(View):
    id: UUID
    name: str
    match: str
    dialect: str = Field(description="That of its targets; it applies to calls of this dialect only.")
    targets: list[TargetBody]
    conditions: list[ConditionBody]
    workspace_id: UUID | None
    position: int
    fallback_when_billed: bool
    workflow_version: UUID | None = Field(description="The workflow's version that made it; null for one made here.")
    created_at: datetime


class RoutePage(View):
    items: list[RouteView]
    next_cursor: str | None


@router.get(
    "/admin/orgs/{org_id}/routes",
    summary="List routes, newest first",
    responses=responses(404, 422),
    dependencies=[require(Permission.ROUTE_LIST)],
)
def list_routes(
    org_id: UUID,
    plane: ThePlane,
    limit: paging.Limit = paging.DEFAULT_LIMIT,
    cursor: paging.Cursor = None,
) -> RoutePage:
    after = paging.decode(cursor)
    with plane.database.transaction(org_id=org_id) as db:
        change.found(db, org_id=org_id)
        found = routes.page(db, org_id=org_id, limit=limit + 1, after=after)
    items, last = paging.cut(found, limit=limit)
    next_cursor = paging.encode(Position(created_at=last.created_at, id=last.route.id)) if last else None
    return RoutePage(items=[_view(item) for item in items], next_cursor=next_cursor)


@router.post(
    "/admin/orgs/{org_id}/routes", status_code=201, summary="Add a route", responses=responses(400, 404, 409, 413, 422)
)
def create_route(
    org_id: UUID, body: RouteBody, call: Annotated[Call, require(Permission.ROUTE_CREATE)], plane: ThePlane
) -> RouteView:
    """In force for the next call once this has answered. 422 where it could never work: an unknown provider, targets of two
    dialects, or a route that takes every call of another one."""
    route = _route(body, route_id=new_id())
    with plane.database.transaction(org_id=org_id) as db:
        change.held(db, org_id=org_id)
        _check(db, route, org_id=org_id)
        if not routes.insert(db, route, org_id=org_id, now=call.now):
            raise _taken(route)
        after = KeptRoute(route=route, created_at=call.now)
        _tell(db, call, org_id=org_id, route_id=route.id, after=after)
    return _view(after)


@router.get(
    "/admin/orgs/{org_id}/routes/{route_id}",
    summary="Read a route",
    responses=responses(404),
    dependencies=[require(Permission.ROUTE_LIST)],
)
def read_route(org_id: UUID, route_id: UUID, plane: ThePlane) -> RouteView:
    with plane.database.transaction(org_id=org_id) as db:
        change.found(db, org_id=org_id)
        return _view(_kept(db, org_id=org_id, route_id=route_id))


@router.put("/admin/orgs/{org_id}/routes/{route_id}", summary="Replace a route", responses=responses(400, 404, 409, 413, 422))
def update_route(
    org_id: UUID,
    route_id: UUID,
    body: RouteBody,
    call: Annotated[Call, require(Permission.ROUTE_UPDATE, versioned=True)],
    plane: ThePlane,
) -> RouteView:
    """In force for the next call once this has answered. What a workflow made is changed by the workflow: 409."""
    route = _route(body, route_id=route_id)
    with plane.database.transaction(org_id=org_id) as db:
        change.held(db, org_id=org_id)
        before = _made_by_hand(db, org_id=org_id, route_id=route_id)
        change.expected(call, _view(before))
        _check(db, route, org_id=org_id)
        if not routes.update(db, route, org_id=org_id):
            raise _taken(route)
        after = KeptRoute(route=route, created_at=before.created_at)
        _tell(db, call, org_id=org_id, route_id=route_id, before=before, after=after)
    return _view(after)


@router.delete(
    "/admin/orgs/{org_id}/routes/{route_id}", status_code=204, summary="Remove a route", responses=responses(404, 409)
)
def delete_route(
    org_id: UUID, route_id: UUID, call: Annotated[Call, require(Permission.ROUTE_DELETE)], plane: ThePlane
) -> None:
    """What a workflow made is removed by the workflow: 409."""
    with plane.database.transaction(org_id=org_id) as db:
        change.held(db, org_id=org_id)
        before = _made_by_hand(db, org_id=org_id, route_id=route_id)
        routes.delete(db, org_id=org_id, route_id=route_id)
        _tell(db, call, org_id=org_id, route_id=route_id, before=before)


def _route(body: RouteBody, *, route_id: UUID) -> Route:
    targets = tuple(Target(**target.model_dump()) for target in body.targets)
    return Route(
        id=route_id,
        name=body.name,
        match=body.match,
        # Of an unknown provider it doesn't matter: that is objected to.
        dialect=DIALECTS.get(targets[0].provider, Dialect.OPENAI),
        targets=targets,
        conditions=tuple(Condition(attribute=each.attribute, any_of=tuple(each.any_of)) for each in body.conditions),
        workspace_id=body.workspace_id,
        position=body.position,
        fallback_when_billed=body.fallback_when_billed,
    )


def _check(db: Connection, route: Route, *, org_id: UUID) -> None:
    if route.workspace_id is not None and not routes.has_workspace(db, org_id=org_id, workspace_id=route.workspace_id):
        raise Invalid("workspace_id is not the id of a workspace of this organization.")
    among = [other for other in routes.every(db, org_id=org_id) if other.id != route.id]
    if len(among) >= MAX_ROUTES:
        raise Conflict(f"An organization has {MAX_ROUTES} routes at most: remove one first.")
    if found := objections(route, dialects=DIALECTS, among=among):
        raise Invalid(" ".join(found))


def _taken(route: Route) -> Conflict:
    where = "in this workspace" if route.workspace_id else "in this organization"
    return Conflict(f"There is a route {route.name!r} {where} already: change that one, or choose another name.")


def _made_by_hand(db: Connection, *, org_id: UUID, route_id: UUID) -> KeptRoute:
    kept = _kept(db, org_id=org_id, route_id=route_id)
    ownership.by_hand(db, org_id=org_id, version_id=kept.route.workflow_version, what="route")
    return kept


def _kept(db: Connection, *, org_id: UUID, route_id: UUID) -> KeptRoute:
    kept = routes.find(db, org_id=org_id, route_id=route_id)
    if kept is None:
        raise NotFound("There is no such route.")
    return kept


def _tell(
    db: Connection,
    call: Call,
    *,
    org_id: UUID,
    route_id: UUID,
    before: KeptRoute | None = None,
    after: KeptRoute | None = None,
) -> None:
    resource = f"route/{route_id}"
    change.audited(db, call, org_id=org_id, resource=resource, before=_shown(before), after=_shown(after))
    change.told(db, call, org_id=org_id, aggregate=Aggregate.ORGANIZATION, aggregate_id=org_id)


def _shown(kept: KeptRoute | None) -> dict[str, Any] | None:
    return _view(kept).model_dump(mode="json") if kept else None


def _view(kept: KeptRoute) -> RouteView:
    route = kept.route
    return RouteView(
        id=route.id,
        name=route.name,
        match=route.match,
        dialect=route.dialect.value,
        targets=[
            TargetBody(provider=each.provider, model=each.model, step=each.step, weight=each.weight) for each in route.targets
        ],
        conditions=[ConditionBody(attribute=each.attribute, any_of=list(each.any_of)) for each in route.conditions],
        workspace_id=route.workspace_id,
        position=route.position,
        fallback_when_billed=route.fallback_when_billed,
        workflow_version=route.workflow_version,
        created_at=kept.created_at,
    )
