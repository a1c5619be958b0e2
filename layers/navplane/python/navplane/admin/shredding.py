"""Crypto-shredding: an organization's secrets destroyed for good, and the certificate that says so."""

import base64
from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter
from pydantic import Field

from navplane.admin import change
from navplane.admin.access import Call, Permission, require
from navplane.admin.change import NO_SUCH_ORGANIZATION
from navplane.admin.fields import Body, View
from navplane.admin.plane import ThePlane
from navplane.admin.problem import responses
from navplane.errors import Conflict, Invalid, NotFound
from navplane.model.ids import new_id
from navplane.store import api_keys, organizations, shredding
from navplane.store.database import Connection
from navplane.store.outbox import Aggregate
from navplane.store.shredding import Certificate

router = APIRouter(tags=["organizations"])


class Shredding(Body):
    confirm: Annotated[UUID, Field(strict=False)] = Field(description="The organization's id once more: there is no way back.")


class CertificateView(View):
    id: UUID
    statement: str = Field(
        description="JSON, the very text that is signed: each sealed value that was destroyed, by table, id, KEK and SHA-256."
    )
    key_id: UUID | None = Field(description="One of `/admin/audit/keys`. null, as the next two, until it is signed: a minute.")
    signature: str | None = Field(
        description="Ed25519, base64, over `navplane shredding certificate v1`, a NUL and the statement."
    )
    signed_at: datetime | None


@router.post(
    "/admin/orgs/{org_id}/shred",
    status_code=201,
    summary="Destroy an organization's secrets for good",
    responses=responses(400, 404, 409, 413, 422),
)
def shred_organization(
    org_id: UUID, body: Shredding, call: Annotated[Call, require(Permission.ORGANIZATION_SHRED)], plane: ThePlane
) -> CertificateView:
    """Deletes the organization, if it is not deleted yet, and everything that is sealed for it with the data keys that open it.
    Usage and audit are kept. The certificate is signed within a minute."""
    if body.confirm != org_id:
        raise Invalid("confirm must be the id of the organization whose secrets are to be destroyed.")
    with plane.database.transaction(org_id=org_id) as db:
        organization = organizations.hold(db, org_id=org_id)
        if not organizations.ever_existed(db, org_id=org_id):
            raise NotFound(NO_SUCH_ORGANIZATION)
        if shredding.find(db, org_id=org_id) is not None:
            raise Conflict("Its secrets have been destroyed; GET shredding-certificate shows the certificate.")
        if organization is not None:
            _delete(db, call, org_id)
        certificate_id = new_id()
        shredding.shred(db, org_id=org_id, certificate_id=certificate_id, actor=call.principal.subject, now=call.now)
        resource = f"organization/{org_id}"
        change.audited(db, call, org_id=org_id, resource=resource, after={"certificate": str(certificate_id)})
        change.told(db, call, org_id=org_id, aggregate=Aggregate.ORGANIZATION, aggregate_id=org_id)
        return _view(_found(db, org_id))


@router.get(
    "/admin/orgs/{org_id}/shredding-certificate",
    summary="Read the certificate of an organization's shredding",
    responses=responses(404),
    dependencies=[require(Permission.ORGANIZATION_READ)],
)
def read_shredding_certificate(org_id: UUID, plane: ThePlane) -> CertificateView:
    """`navplane audit certificate` verifies it offline."""
    with plane.database.transaction(org_id=org_id) as db:
        return _view(_found(db, org_id))


def _delete(db: Connection, call: Call, org_id: UUID) -> None:
    # Keys before the organization: the order in which an admission locks them.
    for key_id in api_keys.revoke_all(db, org_id=org_id, now=call.now):
        change.told(db, call, org_id=org_id, aggregate=Aggregate.API_KEY, aggregate_id=key_id)
    organizations.mark_deleted(db, org_id=org_id, now=call.now)


def _found(db: Connection, org_id: UUID) -> Certificate:
    certificate = shredding.find(db, org_id=org_id)
    if certificate is None:
        raise NotFound("There is no certificate: this organization's secrets were not destroyed.")
    return certificate


def _view(certificate: Certificate) -> CertificateView:
    signature = certificate.signature
    return CertificateView(
        id=certificate.id,
        statement=certificate.statement,
        key_id=certificate.key_id,
        signature=base64.b64encode(signature).decode() if signature else None,
        signed_at=certificate.signed_at,
    )
