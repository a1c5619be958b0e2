"""Routes: does the provider still take a stored key? Opened elsewhere: these functions can seal and never open."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter
from pydantic import Field

from navplane.admin import change
from navplane.admin.access import Call, Permission, require
from navplane.admin.fields import View
from navplane.admin.plane import ThePlane
from navplane.admin.problem import responses
from navplane.errors import NotFound, RegionMismatch
from navplane.model.probe import ProbeResult
from navplane.store import provider_keys

router = APIRouter(tags=["provider keys"])


class ProviderKeyTest(View):
    result: ProbeResult = Field(description="`unreachable`: the provider could not be asked; it says nothing of the key.")
    tested_at: datetime
    duration_ms: int = Field(description="How long the provider took.")


@router.post("/admin/orgs/{org_id}/provider-keys/{key_id}/test", summary="Test a stored provider key", responses=responses(404))
def test_provider_key(
    org_id: UUID, key_id: UUID, call: Annotated[Call, require(Permission.PROVIDER_KEY_TEST)], plane: ThePlane
) -> ProviderKeyTest:
    """Asks the provider, with the key itself, whether it is taken. Nothing is bought, and the key is not changed."""
    assert plane.probe is not None, "an application with these routes has a probe"
    with plane.database.transaction(org_id=org_id) as db:
        change.found(db, org_id=org_id)
        if not provider_keys.is_there(db, org_id=org_id, provider_key_id=key_id):
            raise NotFound("There is no such provider key.")
        bound = provider_keys.region_of(db, org_id=org_id, provider_key_id=key_id)
    if bound != plane.region.value:
        raise RegionMismatch(f"This key is kept in {bound}: test it there.")
    # Outside of a transaction: a provider may take its time.
    probed = plane.probe.test(org_id=org_id, provider_key_id=key_id)
    if probed is None:
        raise NotFound("There is no such provider key.")
    with plane.database.transaction(org_id=org_id) as db:
        change.audited(db, call, org_id=org_id, resource=f"provider_key/{key_id}", after={"result": probed.result.value})
    return ProviderKeyTest.model_validate(probed)
