"""Which providers and models an organization may use: its policy, without those of its workspaces and keys."""

from dataclasses import replace
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter
from pydantic import Field, StringConstraints

from navplane.admin import change, ownership
from navplane.admin.access import Call, Permission, require
from navplane.admin.fields import PRINTABLE, Body, View
from navplane.admin.plane import ThePlane
from navplane.admin.problem import responses
from navplane.errors import Invalid
from navplane.model.ids import new_id
from navplane.model.policy import Policy, PolicyScope
from navplane.store import policies
from navplane.store.database import Connection
from navplane.store.outbox import Aggregate
from navplane.upstream.providers import PROVIDERS

router = APIRouter(tags=["provider settings"])

ModelPattern = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=PRINTABLE)]
ModelPatterns = Annotated[list[ModelPattern], Field(max_length=200, examples=[["gpt-5*", "claude-*"]])]


class ProviderSwitch(Body):
    enabled: bool


class ProviderSettingsChange(Body):
    """What is absent stays as it is, each provider by itself."""

    providers: dict[Annotated[str, StringConstraints(max_length=40)], ProviderSwitch] = Field(
        default_factory=dict, max_length=100, examples=[{"openai": {"enabled": True}}]
    )
    allow_models: ModelPatterns | None = Field(default=None, description="Empty: every model of an enabled provider.")
    block_models: ModelPatterns | None = Field(default=None, description="Beats allow_models. `*` is any run of characters.")


class ProviderState(View):
    enabled: bool


class ProviderSettingsView(View):
    providers: dict[str, ProviderState]
    allow_models: list[str]
    block_models: list[str]


@router.get(
    "/admin/orgs/{org_id}/provider-settings",
    summary="Read the provider settings",
    responses=responses(404),
    dependencies=[require(Permission.PROVIDER_SETTINGS_READ)],
)
def read_provider_settings(org_id: UUID, plane: ThePlane) -> ProviderSettingsView:
    with plane.database.transaction(org_id=org_id) as db:
        change.found(db, org_id=org_id)
        return _view(_policy(db, org_id=org_id))


@router.put(
    "/admin/orgs/{org_id}/provider-settings",
    summary="Change the provider settings",
    responses=responses(400, 404, 409, 413, 422),
)
def update_provider_settings(
    org_id: UUID,
    body: ProviderSettingsChange,
    call: Annotated[Call, require(Permission.PROVIDER_SETTINGS_UPDATE, versioned=True)],
    plane: ThePlane,
) -> ProviderSettingsView:
    """What is absent stays as it is, each provider by itself. In force once this has answered. 409 where a workflow says it."""
    if not body.providers.keys() <= PROVIDERS.keys():
        raise Invalid(f"There is no such provider; there are: {', '.join(sorted(PROVIDERS))}.")
    with plane.database.transaction(org_id=org_id) as db:
        change.held(db, org_id=org_id)
        before = _policy(db, org_id=org_id, changing=True)
        change.expected(call, _view(before))
        after = _changed(before, body)
        policies.save(db, after, org_id=org_id, scope=PolicyScope.ORGANIZATION, scope_id=org_id, policy_id=new_id())
        change.audited(
            db,
            call,
            org_id=org_id,
            resource=f"provider_settings/{org_id}",
            before=_view(before).model_dump(),
            after=_view(after).model_dump(),
        )
        change.told(db, call, org_id=org_id, aggregate=Aggregate.ORGANIZATION, aggregate_id=org_id)
    return _view(after)


def _policy(db: Connection, *, org_id: UUID, changing: bool = False) -> Policy:
    kept = policies.of_scope(db, org_id=org_id, scope_id=org_id)
    if kept and changing:
        ownership.by_hand(db, org_id=org_id, version_id=kept.workflow_version, what="policy")
    return kept.policy if kept else Policy()


def _changed(before: Policy, body: ProviderSettingsChange) -> Policy:
    off = {name for name, switch in body.providers.items() if not switch.enabled}
    on = body.providers.keys() - off
    return replace(
        before,
        disabled_providers=frozenset((before.disabled_providers - on) | off),
        # A list of what is enabled excludes the rest: what is switched on joins it.
        enabled_providers=frozenset(before.enabled_providers | on) if before.enabled_providers else frozenset(),
        allow_models=before.allow_models if body.allow_models is None else tuple(body.allow_models),
        block_models=before.block_models if body.block_models is None else tuple(body.block_models),
    )


def _view(policy: Policy) -> ProviderSettingsView:
    return ProviderSettingsView(
        providers={name: ProviderState(enabled=policy.on_provider(name) is not False) for name in sorted(PROVIDERS)},
        allow_models=list(policy.allow_models),
        block_models=list(policy.block_models),
    )
