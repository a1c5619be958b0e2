"""Provider keys (BYOK): validated at the provider, sealed, listed by their hint, deleted. Never shown again."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter
from pydantic import Field, SecretStr, StringConstraints

from navplane.admin import change, paging
from navplane.admin.access import Call, Permission, Role, require
from navplane.admin.fields import Body, Name, View
from navplane.admin.plane import KeyDesk, ThePlane
from navplane.admin.problem import responses
from navplane.admin.sealing import store_sealed
from navplane.crypto.api_key import hint
from navplane.crypto.envelope import kek_id_of
from navplane.errors import Conflict, Forbidden, Invalid, NotFound, RegionMismatch
from navplane.model.ids import new_id
from navplane.model.provider_key import ProviderKey, SealingContext, Secret
from navplane.model.tenancy import Region
from navplane.store import provider_keys, workspaces
from navplane.store.database import Database
from navplane.store.organizations import Position
from navplane.store.outbox import Aggregate
from navplane.upstream.address import own_origin
from navplane.upstream.provider import Provider
from navplane.upstream.providers import PROVIDERS
from navplane.upstream.validate import validate_key

router = APIRouter(tags=["provider keys"])

DEMO_PREFIX = "sk-demo-"
# Judged by the demo upstream, which refuses them: so that a refusal can be seen without a provider.
DEMO_JUDGED = (DEMO_PREFIX, "sk-bad-")
# What can stand in a header. Bounds and alphabet are checked without the value ever being shown.
KEY_ALPHABET = frozenset(chr(code) for code in range(0x21, 0x7F))
SHORTEST_KEY, LONGEST_KEY = 8, 4096


Weight = Annotated[int, Field(ge=1, le=1000, description="Its share of the calls where its provider has no default key.")]


class NewProviderKey(Body):
    provider: Annotated[str, StringConstraints(max_length=40)] = Field(examples=["openai"])
    label: Name = Field(examples=["production"])
    api_key: SecretStr = Field(description="The provider's own key. It is never shown again.", examples=["sk-..."])
    base_url: Annotated[str, StringConstraints(max_length=500)] | None = Field(
        default=None,
        description="Needed by providers without one address for all: azure, bedrock, custom. The others refuse it.",
        examples=["https://my-resource.openai.azure.com"],
    )
    weight: Weight = 1


class ProviderKeyView(View):
    id: UUID
    provider: str
    label: str
    key_hint: str = Field(description="Its last four characters.")
    base_url: str | None
    demo: bool = Field(description="A key of the demo upstream; what it buys costs nothing.")
    is_default: bool = Field(description="Calls go to the default key of a provider alone; without one, to all by weight.")
    weight: int
    replaces: UUID | None = Field(description="The key whose rotation made this one.")
    created_at: datetime


class ProviderKeyPage(View):
    items: list[ProviderKeyView]
    next_cursor: str | None


@router.post(
    "/admin/orgs/{org_id}/provider-keys",
    status_code=201,
    summary="Store a provider key",
    responses=responses(400, 404, 409, 413, 422),
)
def create_provider_key(
    org_id: UUID, body: NewProviderKey, call: Annotated[Call, require(Permission.PROVIDER_KEY_CREATE)], plane: ThePlane
) -> ProviderKeyView:
    """The provider is asked first whether it takes the key: 422 `provider_key_invalid` when it does not, 503 when that
    can't be told just now. Nothing is stored then. A provider and label that are already there are 409."""
    provider, secret, desk = _provider(body), checked_secret(body.api_key), plane.key_desk
    base_url = _base_url(provider, body, call)
    assert desk is not None, "an application with these routes has a key desk"
    _ready_for(plane.database, plane.region, org_id=org_id, provider=provider, label=body.label)
    demo = validated(desk, provider, secret, base_url=base_url)
    key = ProviderKey(
        id=new_id(),
        org_id=org_id,
        provider=provider.name,
        label=body.label,
        key_hint=hint(secret.reveal().decode()),
        base_url=base_url,
        demo=demo,
        created_at=call.now,
        weight=body.weight,
    )
    # The provider and the KEK are asked outside the transaction: neither may hold a database connection.
    store_sealed(
        lambda sealed: _store(plane.database, call, key, region=plane.region, sealed=sealed),
        secret,
        context=place_of(key, plane.region),
        kek=desk.kek,
        successor=desk.successor,
    )
    return ProviderKeyView.model_validate(key)


@router.get(
    "/admin/orgs/{org_id}/provider-keys",
    summary="List provider keys, newest first",
    responses=responses(404, 422),
    dependencies=[require(Permission.PROVIDER_KEY_LIST)],
)
def list_provider_keys(
    org_id: UUID,
    plane: ThePlane,
    limit: paging.Limit = paging.DEFAULT_LIMIT,
    cursor: paging.Cursor = None,
) -> ProviderKeyPage:
    after = paging.decode(cursor)
    with plane.database.transaction(org_id=org_id) as db:
        change.found(db, org_id=org_id)
        items, last = paging.cut(provider_keys.page(db, org_id=org_id, limit=limit + 1, after=after), limit=limit)
    next_cursor = paging.encode(Position(created_at=last.created_at, id=last.id)) if last else None
    return ProviderKeyPage(items=[ProviderKeyView.model_validate(item) for item in items], next_cursor=next_cursor)


@router.delete(
    "/admin/orgs/{org_id}/provider-keys/{key_id}", status_code=204, summary="Delete a provider key", responses=responses(404)
)
def delete_provider_key(
    org_id: UUID, key_id: UUID, call: Annotated[Call, require(Permission.PROVIDER_KEY_DELETE)], plane: ThePlane
) -> None:
    """What was sealed is overwritten; revoke the key at the provider too."""
    with plane.database.transaction(org_id=org_id) as db:
        change.held(db, org_id=org_id)
        deleted = provider_keys.delete(db, org_id=org_id, provider_key_id=key_id, now=call.now)
        if deleted is None:
            raise NotFound("There is no such provider key.")
        change.audited(db, call, org_id=org_id, resource=f"provider_key/{key_id}", before=shown(deleted))
        change.told(db, call, org_id=org_id, aggregate=Aggregate.ORGANIZATION, aggregate_id=org_id)


def _provider(body: NewProviderKey) -> Provider:
    provider = PROVIDERS.get(body.provider)
    if provider is None:
        raise Invalid(f"There is no such provider; there are: {', '.join(sorted(PROVIDERS))}.")
    return provider


def _base_url(provider: Provider, body: NewProviderKey, call: Call) -> str | None:
    """It is read again, by the same rules, each time it is used. An address of any form is for those alone
    who may decide where this installation connects to."""
    if body.base_url is None and provider.address is None:
        return None
    if provider.address is not None and provider.address.hosts is None and Role.PLATFORM_ADMIN not in call.principal.roles:
        raise Forbidden("Only a platform admin may store a key for an address of any form.")
    try:
        own_origin(provider, body.base_url or "")
    except ValueError as exc:
        raise Invalid(str(exc)) from exc
    return (body.base_url or "").strip()


def checked_secret(api_key: SecretStr) -> Secret:
    text = api_key.get_secret_value().strip()
    if not SHORTEST_KEY <= len(text) <= LONGEST_KEY or not KEY_ALPHABET.issuperset(text):
        raise Invalid(f"api_key must be {SHORTEST_KEY} to {LONGEST_KEY} printable ASCII characters without spaces.")
    return Secret(text.encode())


def _ready_for(database: Database, region: Region, *, org_id: UUID, provider: Provider, label: str) -> None:
    """Raise what keeps a key of this provider and label from being stored for it here. Before the provider is asked."""
    with database.transaction(org_id=org_id) as db:
        change.found(db, org_id=org_id)
        taken = provider_keys.is_taken(db, org_id=org_id, provider=provider.name, label=label)
        at_work = workspaces.is_in(db, region, org_id=org_id)
    if not at_work:
        raise RegionMismatch(f"This organization has no workspace in the region {region.value}: store its keys where it has.")
    if taken:
        raise label_taken(provider.name)


def validated(desk: KeyDesk, provider: Provider, secret: Secret, *, base_url: str | None) -> bool:
    """Whether it is a demo key. Raise ProviderKeyInvalid or DependencyUnavailable."""
    text = secret.reveal().decode()
    judged_by_demo = desk.origins.demo_available and text.startswith(DEMO_JUDGED)
    validate_key(provider, secret, origin=desk.origins.of(provider, demo=judged_by_demo, base_url=base_url))
    return judged_by_demo and text.startswith(DEMO_PREFIX)


def place_of(key: ProviderKey, region: Region) -> SealingContext:
    return SealingContext(org_id=key.org_id, provider_key_id=key.id, provider=key.provider, region=region.value)


def _store(database: Database, call: Call, key: ProviderKey, *, region: Region, sealed: bytes) -> None:
    with database.transaction(org_id=key.org_id) as db:
        change.held(db, org_id=key.org_id)
        if not provider_keys.insert(db, key, region=region.value, sealed=sealed, kek_id=kek_id_of(sealed)):
            raise label_taken(key.provider)
        change.audited(db, call, org_id=key.org_id, resource=f"provider_key/{key.id}", after=shown(key))
        change.told(db, call, org_id=key.org_id, aggregate=Aggregate.ORGANIZATION, aggregate_id=key.org_id)


def label_taken(provider: str) -> Conflict:
    return Conflict(f"The organization has a key for {provider} with this label: choose another, or delete that one first.")


def shown(key: ProviderKey) -> dict[str, object]:
    return ProviderKeyView.model_validate(key).model_dump(mode="json", exclude={"id", "created_at"})
