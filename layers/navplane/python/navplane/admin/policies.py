"""Policies of an organization, its workspaces and its keys: which providers and models may be used."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter
from pydantic import Field

from navplane.admin import change, ownership, paging
from navplane.admin.access import Call, Permission, require
from navplane.admin.fields import Body, View
from navplane.admin.plane import ThePlane
from navplane.admin.problem import responses
from navplane.admin.provider_settings import ModelPatterns
from navplane.errors import Conflict, Invalid, NotFound
from navplane.model.ids import new_id
from navplane.model.policy import Policy, PolicyScope
from navplane.store import policies
from navplane.store.database import Connection
from navplane.store.organizations import Position
from navplane.store.outbox import Aggregate
from navplane.store.policies import KeptPolicy
from navplane.upstream.providers import PROVIDERS

router = APIRouter(tags=["policies"])

Scope = Literal["organization", "workspace", "key"]
ProviderNames = Annotated[list[Annotated[str, Field(max_length=40)]], Field(max_length=100, examples=[["openai"]])]


class PolicyChange(Body):
    enabled_providers: ProviderNames = Field(
        default=[], description="Where it names any, every other provider is denied. Empty: it says nothing."
    )
    disabled_providers: ProviderNames = Field(default=[], description="Beats enabled_providers.")
    allow_models: ModelPatterns = Field(
        default=[], description="Where it names any, every other model is denied. `*` is any run of characters."
    )
    block_models: ModelPatterns = Field(default=[], description="Beats allow_models.")
    allow_files: bool | None = Field(
        default=None, description="Files and batches. Null: it says nothing; where no policy does, they are off."
    )


class NewPolicy(PolicyChange):
    scope: Scope
    scope_id: Annotated[UUID, Field(strict=False)] | None = Field(
        default=None, description="The workspace's or the key's id; the organization needs none."
    )


class PolicyView(View):
    id: UUID
    scope: str
    scope_id: UUID
    enabled_providers: list[str]
    disabled_providers: list[str]
    allow_models: list[str]
    block_models: list[str]
    allow_files: bool | None
    workflow_version: UUID | None = Field(description="The workflow's version that made it; null for one made here.")
    created_at: datetime


class PolicyPage(View):
    items: list[PolicyView]
    next_cursor: str | None


@router.get(
    "/admin/orgs/{org_id}/policies",
    summary="List policies, newest first",
    responses=responses(404, 422),
    dependencies=[require(Permission.POLICY_LIST)],
)
def list_policies(
    org_id: UUID,
    plane: ThePlane,
    limit: paging.Limit = paging.DEFAULT_LIMIT,
    cursor: paging.Cursor = None,
) -> PolicyPage:
    after = paging.decode(cursor)
    with plane.database.transaction(org_id=org_id) as db:
        change.found(db, org_id=org_id)
        found = policies.page(db, org_id=org_id, limit=limit + 1, after=after)
    items, last = paging.cut(found, limit=limit)
    next_cursor = paging.encode(Position(created_at=last.created_at, id=last.id)) if last else None
    return PolicyPage(items=[_view(item) for item in items], next_cursor=next_cursor)


@router.post(
    "/admin/orgs/{org_id}/policies",
    status_code=201,
    summary="Set a policy",
    responses=responses(400, 404, 409, 413, 422),
)
def create_policy(
    org_id: UUID, body: NewPolicy, call: Annotated[Call, require(Permission.POLICY_CREATE)], plane: ThePlane
) -> PolicyView:
    """In force once this has answered. A key, a workspace or an organization that has one already is 409."""
    policy, scope, scope_id = policy_of(body), PolicyScope(body.scope), body.scope_id or org_id
    with plane.database.transaction(org_id=org_id) as db:
        change.held(db, org_id=org_id)
        if not policies.names_somebody(db, org_id=org_id, scope=scope, scope_id=scope_id):
            raise Invalid(f"scope_id is not the id of a {scope.value} of this organization.")
        if (kept := policies.of_scope(db, org_id=org_id, scope_id=scope_id)) is not None:
            raise Conflict(f"This {scope.value} has a policy already, {kept.id}: change that one.")
        policies.save(db, policy, org_id=org_id, scope=scope, scope_id=scope_id, policy_id=new_id())
        after = policies.of_scope(db, org_id=org_id, scope_id=scope_id)
        assert after is not None
        _tell(db, call, org_id=org_id, policy_id=after.id, after=after)
    return _view(after)


@router.get(
    "/admin/orgs/{org_id}/policies/{policy_id}",
    summary="Read a policy",
    responses=responses(404),
    dependencies=[require(Permission.POLICY_LIST)],
)
def read_policy(org_id: UUID, policy_id: UUID, plane: ThePlane) -> PolicyView:
    with plane.database.transaction(org_id=org_id) as db:
        change.found(db, org_id=org_id)
        return _view(_kept(db, org_id=org_id, policy_id=policy_id))


@router.put(
    "/admin/orgs/{org_id}/policies/{policy_id}", summary="Replace a policy", responses=responses(400, 404, 409, 413, 422)
)
def update_policy(
    org_id: UUID,
    policy_id: UUID,
    body: PolicyChange,
    call: Annotated[Call, require(Permission.POLICY_UPDATE, versioned=True)],
    plane: ThePlane,
) -> PolicyView:
    """What is absent is as if it had never been said. In force once this has answered. What a workflow made is 409."""
    policy = policy_of(body)
    with plane.database.transaction(org_id=org_id) as db:
        change.held(db, org_id=org_id)
        before = _made_by_hand(db, org_id=org_id, policy_id=policy_id)
        change.expected(call, _view(before))
        policies.save(db, policy, org_id=org_id, scope=before.scope, scope_id=before.scope_id, policy_id=policy_id)
        after = _kept(db, org_id=org_id, policy_id=policy_id)
        _tell(db, call, org_id=org_id, policy_id=policy_id, before=before, after=after)
    return _view(after)


@router.delete(
    "/admin/orgs/{org_id}/policies/{policy_id}", status_code=204, summary="Take a policy away", responses=responses(404, 409)
)
def delete_policy(
    org_id: UUID, policy_id: UUID, call: Annotated[Call, require(Permission.POLICY_DELETE)], plane: ThePlane
) -> None:
    """What it denied is allowed once this has answered, as far as no other policy denies it."""
    with plane.database.transaction(org_id=org_id) as db:
        change.held(db, org_id=org_id)
        before = _made_by_hand(db, org_id=org_id, policy_id=policy_id)
        policies.delete(db, org_id=org_id, policy_id=policy_id)
        _tell(db, call, org_id=org_id, policy_id=policy_id, before=before)


def policy_of(body: PolicyChange) -> Policy:
    if not {*body.enabled_providers, *body.disabled_providers} <= PROVIDERS.keys():
        raise Invalid(f"There is no such provider; there are: {', '.join(sorted(PROVIDERS))}.")
    return Policy(
        enabled_providers=frozenset(body.enabled_providers),
        disabled_providers=frozenset(body.disabled_providers),
        allow_models=tuple(body.allow_models),
        block_models=tuple(body.block_models),
        allow_files=body.allow_files,
    )


def _made_by_hand(db: Connection, *, org_id: UUID, policy_id: UUID) -> KeptPolicy:
    kept = _kept(db, org_id=org_id, policy_id=policy_id)
    ownership.by_hand(db, org_id=org_id, version_id=kept.workflow_version, what="policy")
    return kept


def _kept(db: Connection, *, org_id: UUID, policy_id: UUID) -> KeptPolicy:
    kept = policies.find(db, org_id=org_id, policy_id=policy_id)
    if kept is None:
        raise NotFound("There is no such policy.")
    return kept


def _tell(
    db: Connection,
    call: Call,
    *,
    org_id: UUID,
    policy_id: UUID,
    before: KeptPolicy | None = None,
    after: KeptPolicy | None = None,
) -> None:
    resource = f"policy/{policy_id}"
    change.audited(db, call, org_id=org_id, resource=resource, before=_shown(before), after=_shown(after))
    change.told(db, call, org_id=org_id, aggregate=Aggregate.ORGANIZATION, aggregate_id=org_id)


def _shown(kept: KeptPolicy | None) -> dict[str, Any] | None:
    return _view(kept).model_dump(mode="json") if kept else None


def _view(kept: KeptPolicy) -> PolicyView:
    policy = kept.policy
    return PolicyView(
        id=kept.id,
        scope=kept.scope.value,
        scope_id=kept.scope_id,
        enabled_providers=sorted(policy.enabled_providers),
        disabled_providers=sorted(policy.disabled_providers),
        allow_models=list(policy.allow_models),
        block_models=list(policy.block_models),
        allow_files=policy.allow_files,
        workflow_version=kept.workflow_version,
        created_at=kept.created_at,
    )
