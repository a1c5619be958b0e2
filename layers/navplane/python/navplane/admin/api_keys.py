"""API keys: what applications present. Made, listed, changed, rotated and revoked; shown whole only once."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from navplane.admin import change, paging
from navplane.admin.access import Call, Permission, require
from navplane.admin.api_key_views import ApiKeyChange, ApiKeyPage, ApiKeyView, IssuedApiKey, NewApiKey, Rotation, view
from navplane.admin.plane import ThePlane
from navplane.admin.problem import responses
from navplane.crypto.api_key import digest, hint, new_api_key
from navplane.errors import Conflict, Invalid, NotFound
from navplane.model.api_key import ApiKey, ApiKeyStatus
from navplane.model.ids import new_id
from navplane.model.policy import Policy, PolicyScope
from navplane.store import api_keys, limits, policies, users, workspaces
from navplane.store.database import Connection
from navplane.store.organizations import Position
from navplane.store.outbox import Aggregate

router = APIRouter(tags=["API keys"])


@router.get("/admin/orgs/{org_id}/api-keys", summary="List API keys, newest first", responses=responses(404, 422))
def list_api_keys(
    org_id: UUID,
    call: Annotated[Call, require(Permission.API_KEY_LIST)],
    plane: ThePlane,
    limit: paging.Limit = paging.DEFAULT_LIMIT,
    cursor: paging.Cursor = None,
    workspace_id: Annotated[UUID | None, Query(description="Only this workspace's.")] = None,
) -> ApiKeyPage:
    """Expired and revoked ones too; `status` says which they are."""
    after = paging.decode(cursor)
    with plane.database.transaction(org_id=org_id) as db:
        change.found(db, org_id=org_id)
        found = api_keys.page(db, org_id=org_id, limit=limit + 1, after=after, workspace_id=workspace_id)
    items, last = paging.cut(found, limit=limit)
    next_cursor = paging.encode(Position(created_at=last.created_at, id=last.id)) if last else None
    return ApiKeyPage(items=[view(item, call.now) for item in items], next_cursor=next_cursor)


@router.post(
    "/admin/orgs/{org_id}/api-keys", status_code=201, summary="Create an API key", responses=responses(400, 404, 413, 422)
)
def create_api_key(
    org_id: UUID, body: NewApiKey, call: Annotated[Call, require(Permission.API_KEY_CREATE)], plane: ThePlane
) -> IssuedApiKey:
    """The key itself is shown this once. Its limits are set with `/limits`, the rest of its policy with `/policies`."""
    with plane.database.transaction(org_id=org_id) as db:
        change.held(db, org_id=org_id)
        key, secret = _new(
            org_id=org_id,
            workspace_id=body.workspace_id or workspaces.default_of(db, org_id=org_id),
            owner_user_id=_member(db, org_id=org_id, user_id=body.owner_user_id),
            name=body.name,
            expires_at=_future(body.expires_at, call.now),
            prefix=plane.key_prefixes[0],
            now=call.now,
        )
        _insert(db, key, secret)
        key = _allow(db, key, body.allowed_models)
        _record(db, call, after=key)
    return IssuedApiKey(**view(key, call.now).model_dump(), api_key=secret)


@router.get("/admin/orgs/{org_id}/api-keys/{key_id}", summary="Read an API key", responses=responses(404))
def read_api_key(
    org_id: UUID, key_id: UUID, call: Annotated[Call, require(Permission.API_KEY_LIST)], plane: ThePlane
) -> ApiKeyView:
    with plane.database.transaction(org_id=org_id) as db:
        change.found(db, org_id=org_id)
        return view(_found(db, org_id=org_id, key_id=key_id), call.now)


@router.put("/admin/orgs/{org_id}/api-keys/{key_id}", summary="Change an API key", responses=responses(400, 404, 409, 413, 422))
def update_api_key(
    org_id: UUID,
    key_id: UUID,
    body: ApiKeyChange,
    call: Annotated[Call, require(Permission.API_KEY_UPDATE, versioned=True)],
    plane: ThePlane,
) -> ApiKeyView:
    """In force once this has answered. A revoked key can't be changed: 409."""
    with plane.database.transaction(org_id=org_id) as db:
        change.held(db, org_id=org_id)
        before = _found(db, org_id=org_id, key_id=key_id)
        change.expected(call, view(before, call.now))
        if before.revoked_at is not None:
            raise Conflict("A revoked API key can't be changed: create another.")
        _member(db, org_id=org_id, user_id=body.owner_user_id)
        after = _changed(before, body, call.now)
        api_keys.update(db, after)
        after = _allow(db, after, body.allowed_models)
        _record(db, call, before=before, after=after)
    return view(after, call.now)


@router.post(
    "/admin/orgs/{org_id}/api-keys/{key_id}/rotate",
    status_code=201,
    summary="Replace an API key by a new one",
    responses=responses(400, 404, 409, 413, 422),
)
def rotate_api_key(
    org_id: UUID,
    key_id: UUID,
    body: Rotation,
    call: Annotated[Call, require(Permission.API_KEY_ROTATE)],
    plane: ThePlane,
) -> IssuedApiKey:
    """The new key is shown this once and has the old one's workspace, name, expiry, policy and limits. Without an overlap the
    old one is refused once this has answered; with one, until it ends, each key has the limits for itself."""
    with plane.database.transaction(org_id=org_id) as db:
        change.held(db, org_id=org_id)
        old = _found(db, org_id=org_id, key_id=key_id)
        if old.status(call.now) is not ApiKeyStatus.ACTIVE:
            raise Conflict("Only an active API key can be rotated: create another.")
        _step_down(db, old, overlap=timedelta(seconds=body.overlap_seconds), now=call.now)
        key, secret = _new(
            org_id=org_id,
            workspace_id=old.workspace_id,
            owner_user_id=old.owner_user_id,
            name=old.name,
            expires_at=old.expires_at,
            prefix=plane.key_prefixes[0],
            now=call.now,
        )
        key = replace(key, is_default=old.is_default, replaces=old.id, allowed_models=old.allowed_models)
        _insert(db, key, secret)
        if body.overlap_seconds:
            limits.copy(db, org_id=org_id, old_key_id=old.id, new_key_id=key.id, now=call.now)
            policies.copy(db, org_id=org_id, old_key_id=old.id, new_key_id=key.id, policy_id=new_id())
        else:
            limits.hand_over(db, org_id=org_id, old_key_id=old.id, new_key_id=key.id)
            policies.hand_over(db, org_id=org_id, old_key_id=old.id, new_key_id=key.id)
        change.told(db, call, org_id=org_id, aggregate=Aggregate.API_KEY, aggregate_id=old.id)
        _record(db, call, before=old, after=key)
    return IssuedApiKey(**view(key, call.now).model_dump(), api_key=secret)


@router.delete("/admin/orgs/{org_id}/api-keys/{key_id}", status_code=204, summary="Revoke an API key", responses=responses(404))
def revoke_api_key(
    org_id: UUID, key_id: UUID, call: Annotated[Call, require(Permission.API_KEY_REVOKE)], plane: ThePlane
) -> None:
    """Once this has answered, no call with it is admitted and its open streams end. It stays in the list."""
    with plane.database.transaction(org_id=org_id) as db:
        change.held(db, org_id=org_id)
        before = _found(db, org_id=org_id, key_id=key_id)
        if before.revoked_at is None:
            api_keys.revoke(db, org_id=org_id, key_id=key_id, now=call.now)
            _record(db, call, before=before, after=replace(before, revoked_at=call.now))


def _new(
    *,
    org_id: UUID,
    workspace_id: UUID,
    owner_user_id: UUID | None,
    name: str,
    expires_at: datetime | None,
    prefix: str,
    now: datetime,
) -> tuple[ApiKey, str]:
    """The key as it is stored, and the key itself, which nobody can find out again."""
    secret = new_api_key(prefix)
    key = ApiKey(
        id=new_id(),
        org_id=org_id,
        workspace_id=workspace_id,
        owner_user_id=owner_user_id,
        name=name,
        is_default=False,
        key_prefix=prefix,
        key_hint=hint(secret),
        expires_at=expires_at,
        revoked_at=None,
        replaces=None,
        allowed_models=(),
        last_used_at=None,
        created_at=now,
    )
    return key, secret


def _insert(db: Connection, key: ApiKey, secret: str) -> None:
    if not api_keys.insert(db, key, digest=digest(secret)):
        raise Invalid("workspace_id is not the id of a workspace of this organization.")


def _allow(db: Connection, key: ApiKey, models: Sequence[str] | None) -> ApiKey:
    """The models that a key may use are the `allow_models` of its policy; whatever else that says stays."""
    if models is None or tuple(models) == key.allowed_models:
        return key
    kept = policies.of_scope(db, org_id=key.org_id, scope_id=key.id)
    policy = replace(kept.policy if kept else Policy(), allow_models=tuple(models))
    policies.save(db, policy, org_id=key.org_id, scope=PolicyScope.KEY, scope_id=key.id, policy_id=new_id())
    return replace(key, allowed_models=policy.allow_models)


def _step_down(db: Connection, old: ApiKey, *, overlap: timedelta, now: datetime) -> None:
    if not overlap:
        api_keys.revoke(db, org_id=old.org_id, key_id=old.id, now=now)
        return
    end = now + overlap
    api_keys.update(db, replace(old, is_default=False, expires_at=min(old.expires_at or end, end)))


def _changed(key: ApiKey, body: ApiKeyChange, now: datetime) -> ApiKey:
    given = body.model_fields_set
    return replace(
        key,
        name=body.name or key.name,
        owner_user_id=body.owner_user_id if "owner_user_id" in given else key.owner_user_id,
        expires_at=_future(body.expires_at, now) if "expires_at" in given else key.expires_at,
    )


def _member(db: Connection, *, org_id: UUID, user_id: UUID | None) -> UUID | None:
    if user_id is not None and not users.is_member(db, org_id=org_id, user_id=user_id):
        raise Invalid("owner_user_id is not the id of a member of this organization.")
    return user_id


def _future(expires_at: datetime | None, now: datetime) -> datetime | None:
    if expires_at is not None and expires_at <= now:
        raise Invalid("expires_at must be in the future: to end a key now, revoke it.")
    return expires_at


def _found(db: Connection, *, org_id: UUID, key_id: UUID) -> ApiKey:
    key = api_keys.find(db, org_id=org_id, key_id=key_id)
    if key is None:
        raise NotFound("There is no such API key.")
    return key


def _record(db: Connection, call: Call, *, after: ApiKey, before: ApiKey | None = None) -> None:
    resource = f"api_key/{after.id}"
    change.audited(db, call, org_id=after.org_id, resource=resource, before=_shown(before, call), after=_shown(after, call))
    change.told(db, call, org_id=after.org_id, aggregate=Aggregate.API_KEY, aggregate_id=after.id)


def _shown(key: ApiKey | None, call: Call) -> dict[str, object] | None:
    return view(key, call.now).model_dump(mode="json", exclude={"created_at", "last_used_at"}) if key else None
