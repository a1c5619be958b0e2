"""Organizations: create, list, read, change, switch off, rotate the default API key, delete."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter
from pydantic import Field

from navplane.admin import change, paging
from navplane.admin.access import Call, Permission, Principal, require
from navplane.admin.fields import Body, Name, View
from navplane.admin.plane import Plane, ThePlane
from navplane.admin.problem import responses
from navplane.crypto.api_key import digest, hint, new_api_key
from navplane.model import ids
from navplane.model.tenancy import Organization, Region, StreamUsage
from navplane.store import api_keys, limits, members, organizations, policies, provider_keys, workspaces
from navplane.store.database import Connection
from navplane.store.outbox import Aggregate

router = APIRouter(tags=["organizations"])

RegionName = Literal["us", "eu"]
StreamUsageName = Literal["inject", "observe"]


class NewOrganization(Body):
    name: Name = Field(examples=["Acme"])
    home_region: RegionName | None = Field(default=None, description="This stack's region unless given; it never changes.")
    stream_usage: StreamUsageName = Field(
        default="inject",
        description="How an OpenAI chat stream is metered. `inject` asks the provider for usage and withholds the extra event; "
        "`observe` leaves every byte as it is, and a row is estimated where the provider sent no usage.",
    )


class OrganizationChange(Body):
    """What is absent stays as it is."""

    name: Name | None = Field(default=None, examples=["Acme, renamed"])
    stream_usage: StreamUsageName | None = None
    cached_admission: bool | None = Field(
        default=None,
        description="true: while the gate can't answer, calls like those that it let through less than a minute ago go on, and "
        "so do open streams. A kill or a revoke then takes up to 60 seconds instead of none. Only ever without any limit, the "
        "platform's included.",
    )


class Switch(Body):
    enabled: bool = Field(description="false: every call with its keys is refused from now on, and open streams end.")


class OrganizationView(View):
    id: UUID
    name: str
    enabled: bool
    home_region: Region
    stream_usage: StreamUsage
    cached_admission: bool
    created_at: datetime
    updated_at: datetime


class IssuedKey(View):
    api_key: str = Field(
        description="Shown this once: only its hash is stored.", examples=["np_0b0f6f2e-7c0e-4c58-8f0b-0e4a5a1f9f1e"]
    )


class CreatedOrganization(OrganizationView, IssuedKey):
    pass


class OrganizationPage(View):
    items: list[OrganizationView]
    next_cursor: str | None


@router.post("/admin/orgs", status_code=201, summary="Create an organization", responses=responses(400, 413, 422))
def create_organization(
    body: NewOrganization, call: Annotated[Call, require(Permission.ORGANIZATION_CREATE)], plane: ThePlane
) -> CreatedOrganization:
    """The organization gets a default workspace in its home region and a default API key, which is shown this once."""
    organization = Organization(
        id=ids.new_id(),
        name=body.name,
        enabled=True,
        home_region=Region(body.home_region or plane.region),
        stream_usage=StreamUsage(body.stream_usage),
        cached_admission=False,
        created_at=call.now,
        updated_at=call.now,
    )
    with plane.database.transaction(org_id=organization.id) as db:
        organizations.insert(db, organization)
        workspaces.insert_default(
            db, org_id=organization.id, workspace_id=ids.new_id(), region=organization.home_region, now=call.now
        )
        _, key = _issue_default_key(db, call, plane, org_id=organization.id)
        _record(db, call, organization.id, after=organization)
    return CreatedOrganization(**_view(organization).model_dump(), api_key=key)


@router.get(
    "/admin/orgs",
    summary="List organizations, newest first",
    responses=responses(422),
)
def list_organizations(
    call: Annotated[Call, require(Permission.ORGANIZATION_LIST)],
    plane: ThePlane,
    limit: paging.Limit = paging.DEFAULT_LIMIT,
    cursor: paging.Cursor = None,
) -> OrganizationPage:
    """All for a platform admin; for everybody else those that they belong to."""
    after = paging.decode(cursor)
    with plane.database.transaction(platform=True) as db:
        found = organizations.page(db, limit=limit + 1, after=after, among=_own(db, call.principal))
    items, last = paging.cut(found, limit=limit)
    next_cursor = paging.encode(organizations.Position(created_at=last.created_at, id=last.id)) if last else None
    return OrganizationPage(items=[_view(item) for item in items], next_cursor=next_cursor)


@router.get(
    "/admin/orgs/{org_id}",
    summary="Read an organization",
    responses=responses(404),
    dependencies=[require(Permission.ORGANIZATION_READ)],
)
def read_organization(org_id: UUID, plane: ThePlane) -> OrganizationView:
    with plane.database.transaction(org_id=org_id) as db:
        return _view(change.found(db, org_id=org_id))


@router.put("/admin/orgs/{org_id}", summary="Change an organization", responses=responses(400, 404, 413, 422))
def update_organization(
    org_id: UUID,
    body: OrganizationChange,
    call: Annotated[Call, require(Permission.ORGANIZATION_UPDATE, versioned=True)],
    plane: ThePlane,
) -> OrganizationView:
    """What is absent stays as it is."""
    with plane.database.transaction(org_id=org_id) as db:
        before = change.held(db, org_id=org_id)
        change.expected(call, _view(before))
        after = organizations.update(
            db,
            org_id=org_id,
            name=body.name or before.name,
            stream_usage=StreamUsage(body.stream_usage or before.stream_usage),
            cached_admission=before.cached_admission if body.cached_admission is None else body.cached_admission,
        )
        _record(db, call, org_id, before=before, after=after)
    return _view(after)


@router.put("/admin/orgs/{org_id}/enabled", summary="Switch an organization on or off", responses=responses(400, 404, 413, 422))
def switch_organization(
    org_id: UUID, body: Switch, call: Annotated[Call, require(Permission.ORGANIZATION_ENABLE)], plane: ThePlane
) -> OrganizationView:
    """The kill switch. Once this has answered, the next call with any of its keys is refused, or served again."""
    with plane.database.transaction(org_id=org_id) as db:
        before = change.held(db, org_id=org_id)
        after = organizations.set_enabled(db, org_id=org_id, enabled=body.enabled)
        _record(db, call, org_id, before=before, after=after)
    return _view(after)


@router.post("/admin/orgs/{org_id}/rotate-key", summary="Replace the default API key", responses=responses(404))
def rotate_key(org_id: UUID, call: Annotated[Call, require(Permission.API_KEY_ROTATE)], plane: ThePlane) -> IssuedKey:
    """The old default key is refused once this has answered; the new one is shown this once."""
    with plane.database.transaction(org_id=org_id) as db:
        change.held(db, org_id=org_id)
        old_id = api_keys.revoke_default(db, org_id=org_id, now=call.now)
        if old_id is not None:
            change.told(db, call, org_id=org_id, aggregate=Aggregate.API_KEY, aggregate_id=old_id)
        new_id, key = _issue_default_key(db, call, plane, org_id=org_id)
        if old_id is not None:
            limits.hand_over(db, org_id=org_id, old_key_id=old_id, new_key_id=new_id)
            policies.hand_over(db, org_id=org_id, old_key_id=old_id, new_key_id=new_id)
        shown = {"key_hint": hint(key)}
        change.audited(db, call, org_id=org_id, resource=f"api_key/{new_id}", before={"replaces": old_id}, after=shown)
    return IssuedKey(api_key=key)


@router.delete("/admin/orgs/{org_id}", status_code=204, summary="Delete an organization", responses=responses(404))
def delete_organization(org_id: UUID, call: Annotated[Call, require(Permission.ORGANIZATION_DELETE)], plane: ThePlane) -> None:
    """Its API keys are refused once this has answered, its provider keys are overwritten. Usage and audit are kept."""
    with plane.database.transaction(org_id=org_id) as db:
        before = change.held(db, org_id=org_id)
        # Keys before the organization: the order in which an admission locks them.
        revoked = api_keys.revoke_all(db, org_id=org_id, now=call.now)
        organizations.mark_deleted(db, org_id=org_id, now=call.now)
        provider_keys.delete_all(db, org_id=org_id, now=call.now)
        for key_id in revoked:
            change.told(db, call, org_id=org_id, aggregate=Aggregate.API_KEY, aggregate_id=key_id)
        _record(db, call, org_id, before=before)


def _own(db: Connection, principal: Principal) -> list[UUID] | None:
    """None is all of them."""
    if principal.is_platform_admin:
        return None
    if principal.key_org_id is not None:
        return [principal.key_org_id]
    return members.organizations_of(db, user_id=principal.user_id) if principal.user_id else []


def _issue_default_key(db: Connection, call: Call, plane: Plane, *, org_id: UUID) -> tuple[UUID, str]:
    """Its id, and the key itself, which nobody can find out again."""
    prefix = plane.key_prefixes[0]
    key = new_api_key(prefix)
    stored = api_keys.NewApiKey(id=ids.new_id(), prefix=prefix, digest=digest(key), hint=hint(key))
    api_keys.insert_default(db, stored, org_id=org_id, now=call.now)
    change.told(db, call, org_id=org_id, aggregate=Aggregate.API_KEY, aggregate_id=stored.id)
    return stored.id, key


def _record(
    db: Connection, call: Call, org_id: UUID, *, before: Organization | None = None, after: Organization | None = None
) -> None:
    resource = f"organization/{org_id}"
    change.audited(db, call, org_id=org_id, resource=resource, before=_shown(before), after=_shown(after))
    change.told(db, call, org_id=org_id, aggregate=Aggregate.ORGANIZATION, aggregate_id=org_id)


def _shown(organization: Organization | None) -> dict[str, object] | None:
    return _view(organization).model_dump(mode="json", exclude={"id", "created_at", "updated_at"}) if organization else None


def _view(organization: Organization) -> OrganizationView:
    return OrganizationView.model_validate(organization)
