"""What becomes of a stored provider key: another label, the default of its provider, and rotated without a gap."""

from dataclasses import replace
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter
from pydantic import Field, SecretStr

from navplane.admin import change
from navplane.admin.access import Call, Permission, require
from navplane.admin.fields import Body, Name
from navplane.admin.plane import ThePlane
from navplane.admin.problem import responses
from navplane.admin.provider_keys import ProviderKeyView, Weight, checked_secret, label_taken, place_of, shown, validated
from navplane.admin.sealing import store_sealed
from navplane.crypto.api_key import hint
from navplane.crypto.envelope import kek_id_of
from navplane.errors import NotFound, RegionMismatch
from navplane.model.ids import new_id
from navplane.model.provider_key import ProviderKey
from navplane.model.tenancy import Region
from navplane.store import provider_keys
from navplane.store.database import Connection, Database
from navplane.store.outbox import Aggregate
from navplane.upstream.providers import PROVIDERS

router = APIRouter(tags=["provider keys"])


class ProviderKeyChange(Body):
    """What is absent stays as it is."""

    label: Name | None = Field(default=None, examples=["production"])
    is_default: bool | None = Field(
        default=None, description="true: calls go to this key of the provider alone, and to no other default before it."
    )
    weight: Weight | None = None


class ProviderKeyRotation(Body):
    api_key: SecretStr = Field(description="The provider's new key. It is never shown again.", examples=["sk-..."])


@router.get(
    "/admin/orgs/{org_id}/provider-keys/{key_id}",
    summary="Read what may be shown of a provider key",
    responses=responses(404),
    dependencies=[require(Permission.PROVIDER_KEY_LIST)],
)
def read_provider_key(org_id: UUID, key_id: UUID, plane: ThePlane) -> ProviderKeyView:
    with plane.database.transaction(org_id=org_id) as db:
        change.found(db, org_id=org_id)
        return ProviderKeyView.model_validate(_found(db, org_id=org_id, key_id=key_id))


@router.put(
    "/admin/orgs/{org_id}/provider-keys/{key_id}",
    summary="Change a provider key's label or weight, or make it the default one",
    responses=responses(400, 404, 409, 413, 422),
)
def update_provider_key(
    org_id: UUID,
    key_id: UUID,
    body: ProviderKeyChange,
    call: Annotated[Call, require(Permission.PROVIDER_KEY_UPDATE, versioned=True)],
    plane: ThePlane,
) -> ProviderKeyView:
    """In force for the next call. What is sealed stays as it is: another secret comes by rotation."""
    with plane.database.transaction(org_id=org_id) as db:
        change.held(db, org_id=org_id)
        before = _found(db, org_id=org_id, key_id=key_id)
        change.expected(call, ProviderKeyView.model_validate(before))
        after = replace(
            before,
            label=body.label or before.label,
            is_default=before.is_default if body.is_default is None else body.is_default,
            weight=body.weight or before.weight,
        )
        if after.label != before.label and provider_keys.is_taken(
            db, org_id=org_id, provider=after.provider, label=after.label
        ):
            raise label_taken(after.provider)
        provider_keys.update(db, after)
        _record(db, call, before=before, after=after)
    return ProviderKeyView.model_validate(after)


@router.post(
    "/admin/orgs/{org_id}/provider-keys/{key_id}/rotate",
    status_code=201,
    summary="Replace a provider key by a new one",
    responses=responses(400, 404, 413, 422),
)
def rotate_provider_key(
    org_id: UUID,
    key_id: UUID,
    body: ProviderKeyRotation,
    call: Annotated[Call, require(Permission.PROVIDER_KEY_ROTATE)],
    plane: ThePlane,
) -> ProviderKeyView:
    """The provider is asked first, as for a new key. Then, in one step, the new key takes the label, the address and the place
    of the old one, which is overwritten: every call has the one or the other. Revoke the old one at the provider then."""
    desk, secret = plane.key_desk, checked_secret(body.api_key)
    assert desk is not None, "an application with these routes has a key desk"
    old, region = _rotatable(plane.database, plane.region, org_id=org_id, key_id=key_id)
    demo = validated(desk, PROVIDERS[old.provider], secret, base_url=old.base_url)
    key = replace(old, id=new_id(), key_hint=hint(secret.reveal().decode()), demo=demo, created_at=call.now, replaces=old.id)
    # The provider and the KEK are asked outside the transaction: neither may hold a database connection.
    store_sealed(
        lambda sealed: _take_over(plane.database, call, old=old, key=key, region=region, sealed=sealed),
        secret,
        context=place_of(key, region),
        kek=desk.kek,
        successor=desk.successor,
    )
    return ProviderKeyView.model_validate(key)


def _rotatable(database: Database, region: Region, *, org_id: UUID, key_id: UUID) -> tuple[ProviderKey, Region]:
    """The key and the region that it is bound to. Before the provider is asked."""
    with database.transaction(org_id=org_id) as db:
        change.found(db, org_id=org_id)
        key = _found(db, org_id=org_id, key_id=key_id)
        bound = Region(provider_keys.region_of(db, org_id=org_id, provider_key_id=key_id))
    if bound is not region:
        raise RegionMismatch(f"This key is kept in {bound.value}: rotate it there.")
    return key, bound


def _take_over(database: Database, call: Call, *, old: ProviderKey, key: ProviderKey, region: Region, sealed: bytes) -> None:
    with database.transaction(org_id=key.org_id) as db:
        change.held(db, org_id=key.org_id)
        # As it is now: what was changed while the provider was asked is kept.
        current = provider_keys.delete(db, org_id=key.org_id, provider_key_id=old.id, now=call.now)
        if current is None:
            raise NotFound("There is no such provider key any more.")
        successor = replace(key, label=current.label, is_default=current.is_default, weight=current.weight)
        stored = provider_keys.insert(db, successor, region=region.value, sealed=sealed, kek_id=kek_id_of(sealed))
        assert stored, "its label has just become free"
        _record(db, call, before=current, after=successor)


def _found(db: Connection, *, org_id: UUID, key_id: UUID) -> ProviderKey:
    key = provider_keys.find(db, org_id=org_id, provider_key_id=key_id)
    if key is None:
        raise NotFound("There is no such provider key.")
    return key


def _record(db: Connection, call: Call, *, before: ProviderKey, after: ProviderKey) -> None:
    resource = f"provider_key/{after.id}"
    change.audited(db, call, org_id=after.org_id, resource=resource, before=shown(before), after=shown(after))
    change.told(db, call, org_id=after.org_id, aggregate=Aggregate.ORGANIZATION, aggregate_id=after.org_id)
