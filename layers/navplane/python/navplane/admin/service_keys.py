"""Service keys: what automation signs in with, in place of a person. One role, in an organization or one of its workspaces."""

from datetime import datetime, timedelta
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter
from pydantic import Field

from navplane.admin import change, paging
from navplane.admin.access import SERVICE_KEY_PREFIX, Call, Permission, require
from navplane.admin.fields import Body, Moment, Name, View
from navplane.admin.members import AssignableName, in_workspace, may_give
from navplane.admin.plane import ThePlane
from navplane.admin.problem import responses
from navplane.admin.roles import Role
from navplane.crypto.api_key import digest, hint, new_api_key
from navplane.errors import Invalid, NotFound
from navplane.model.ids import new_id
from navplane.store import service_keys
from navplane.store.database import Connection
from navplane.store.organizations import Position
from navplane.store.service_keys import ServiceKey

router = APIRouter(tags=["service keys"])

LONGEST_LIFE = timedelta(days=366)


class NewServiceKey(Body):
    name: Name = Field(examples=["Deployment"])
    role: AssignableName
    workspace_id: Annotated[UUID | None, Field(strict=False)] = Field(default=None, description="null: the whole organization.")
    expires_at: Moment = Field(description="A year from now at the latest.")


class ServiceKeyView(View):
    id: UUID
    name: str
    role: AssignableName
    workspace_id: UUID | None
    key_hint: str
    created_by: str
    expires_at: datetime
    revoked_at: datetime | None
    last_used_at: datetime | None = Field(description="To five minutes.")
    created_at: datetime


class IssuedServiceKey(ServiceKeyView):
    api_key: str = Field(
        description="Shown this once: only its hash is stored.", examples=["nps_0b0f6f2e-7c0e-4c58-8f0b-0e4a5a1f9f1e"]
    )


class ServiceKeyPage(View):
    items: list[ServiceKeyView]
    next_cursor: str | None


@router.get("/admin/orgs/{org_id}/service-keys", summary="List service keys, newest first", responses=responses(404, 422))
def list_service_keys(
    org_id: UUID,
    call: Annotated[Call, require(Permission.SERVICE_KEY_LIST, per_workspace=True)],
    plane: ThePlane,
    limit: paging.Limit = paging.DEFAULT_LIMIT,
    cursor: paging.Cursor = None,
) -> ServiceKeyPage:
    """Expired and revoked ones too."""
    after = paging.decode(cursor)
    within = None if call.workspaces is None else list(call.workspaces)
    with plane.database.transaction(org_id=org_id) as db:
        change.found(db, org_id=org_id)
        found = service_keys.page(db, org_id=org_id, limit=limit + 1, after=after, within=within)
    items, last = paging.cut(found, limit=limit)
    next_cursor = paging.encode(Position(created_at=last.created_at, id=last.id)) if last else None
    return ServiceKeyPage(items=[_view(item) for item in items], next_cursor=next_cursor)


@router.post(
    "/admin/orgs/{org_id}/service-keys",
    status_code=201,
    summary="Create a service key",
    responses=responses(400, 404, 413, 422),
)
def create_service_key(
    org_id: UUID,
    body: NewServiceKey,
    call: Annotated[Call, require(Permission.SERVICE_KEY_CREATE, per_workspace=True)],
    plane: ThePlane,
) -> IssuedServiceKey:
    """403 for a role with a permission that the caller doesn't have there."""
    if not call.now < body.expires_at <= call.now + LONGEST_LIFE:
        raise Invalid("expires_at must be in the future, and within a year.")
    may_give(call, Role(body.role), workspace_id=body.workspace_id)
    secret = new_api_key(SERVICE_KEY_PREFIX)
    key = ServiceKey(
        id=new_id(),
        org_id=org_id,
        workspace_id=body.workspace_id,
        name=body.name,
        role=body.role,
        key_hint=hint(secret),
        created_by=call.principal.subject,
        expires_at=body.expires_at,
        revoked_at=None,
        last_used_at=None,
        created_at=call.now,
    )
    with plane.database.transaction(org_id=org_id) as db:
        change.held(db, org_id=org_id)
        in_workspace(db, org_id=org_id, workspace_id=body.workspace_id)
        service_keys.insert(db, key, digest=digest(secret))
        _record(db, call, key, after=True)
    return IssuedServiceKey(**_view(key).model_dump(), api_key=secret)


@router.delete(
    "/admin/orgs/{org_id}/service-keys/{key_id}", status_code=204, summary="Revoke a service key", responses=responses(404)
)
def revoke_service_key(
    org_id: UUID,
    key_id: UUID,
    call: Annotated[Call, require(Permission.SERVICE_KEY_REVOKE, per_workspace=True)],
    plane: ThePlane,
) -> None:
    """Refused from the next call on. It stays in the list."""
    with plane.database.transaction(org_id=org_id) as db:
        change.held(db, org_id=org_id)
        key = service_keys.find(db, org_id=org_id, key_id=key_id)
        if key is None or not call.covers(key.workspace_id):
            raise NotFound("There is no such service key.")
        if key.revoked_at is None:
            service_keys.revoke(db, org_id=org_id, key_id=key_id, now=call.now)
            _record(db, call, key, after=False)


def _record(db: Connection, call: Call, key: ServiceKey, *, after: bool) -> None:
    shown = _view(key).model_dump(mode="json", exclude={"created_at", "last_used_at"})
    facts = {"after": shown} if after else {"before": shown}
    change.audited(db, call, org_id=key.org_id, resource=f"service_key/{key.id}", **facts)


def _view(key: ServiceKey) -> ServiceKeyView:
    return ServiceKeyView.model_validate(key)
