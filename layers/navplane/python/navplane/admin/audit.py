"""The audit: who changed what, listed with filters, exported with its proof, and the keys to verify that with."""

import base64
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from fastapi.responses import Response
from pydantic import Field

from navplane.admin import audit_file, paging
from navplane.admin.access import Permission, require
from navplane.admin.change import NO_SUCH_ORGANIZATION
from navplane.admin.fields import PRINTABLE, Moment, View
from navplane.admin.plane import ThePlane
from navplane.admin.problem import responses
from navplane.errors import NotFound
from navplane.store import audit, audit_heads, organizations
from navplane.store.audit import Kept, Wanted
from navplane.store.database import Connection
from navplane.store.organizations import Position

router = APIRouter(tags=["audit"])

# An answer of a function is 6 MB at most; an event is below 1 kB, and seldom above.
MOST_EXPORTED = 2000


class AuditEventView(View):
    id: UUID
    sequence: int | None = Field(description="Its place in the chain; null for what is older than the chain.")
    organization: UUID | None = Field(description="null: it concerns the platform as a whole.")
    occurred_at: datetime
    actor: str = Field(description="The subject of the token.")
    action: str = Field(examples=["api_key:create"])
    resource: str = Field(examples=["api_key/0b0f6f2e-7c0e-4c58-8f0b-0e4a5a1f9f1e"])
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    ip: str | None
    user_agent: str | None
    request_id: str | None


class AuditPage(View):
    items: list[AuditEventView]
    next_cursor: str | None


class AuditKeyView(View):
    id: UUID
    algorithm: Literal["Ed25519"] = "Ed25519"
    public_key: str = Field(description="32 bytes, base64.")
    created_at: datetime


class AuditKeyPage(View):
    items: list[AuditKeyView]
    next_cursor: str | None


def the_wanted(
    actor: Annotated[str | None, Query(max_length=255, pattern=PRINTABLE)] = None,
    action: Annotated[str | None, Query(max_length=100, pattern=PRINTABLE, examples=["api_key:create"])] = None,
    resource: Annotated[
        str | None, Query(max_length=200, pattern=PRINTABLE, description="A whole one, or a kind with its slash: `api_key/`.")
    ] = None,
    since: Annotated[Moment | None, Query()] = None,
    until: Annotated[Moment | None, Query(description="Not included.")] = None,
) -> Wanted:
    return Wanted(actor=actor, action=action, resource=resource, since=since, until=until)


TheWanted = Annotated[Wanted, Depends(the_wanted)]
First = Annotated[int, Query(ge=1, le=2**62, description="The sequence to begin with.")]
AtMost = Annotated[int, Query(ge=1, le=MOST_EXPORTED, description="How many entries a file holds at most.")]
Format = Annotated[Literal["json", "csv"], Query(description="`json` can be verified; `csv` is for people.")]


@router.get(
    "/admin/orgs/{org_id}/audit",
    summary="List audit events, newest first",
    responses=responses(404, 422),
    dependencies=[require(Permission.AUDIT_LIST)],
)
def list_audit(
    org_id: UUID,
    plane: ThePlane,
    wanted: TheWanted,
    limit: paging.Limit = paging.DEFAULT_LIMIT,
    cursor: paging.Cursor = None,
) -> AuditPage:
    """Those of a deleted organization are kept, and listed still."""
    with plane.database.transaction(org_id=org_id) as db:
        _must_exist(db, org_id)
        return _page(db, org_id=org_id, wanted=wanted, limit=limit, cursor=cursor)


@router.get(
    "/admin/audit/recent",
    summary="List audit events of all organizations and of the platform, newest first",
    responses=responses(422),
    dependencies=[require(Permission.AUDIT_RECENT)],
)
def recent_audit(
    plane: ThePlane, wanted: TheWanted, limit: paging.Limit = paging.DEFAULT_LIMIT, cursor: paging.Cursor = None
) -> AuditPage:
    with plane.database.transaction(platform=True) as db:
        return _page(db, org_id=None, wanted=wanted, limit=limit, cursor=cursor)


@router.get(
    "/admin/audit/keys",
    summary="List the public keys that verify the audit",
    responses=responses(),
    dependencies=[require(Permission.AUDIT_KEYS)],
)
def audit_keys(plane: ThePlane) -> AuditKeyPage:
    """Keep a copy of them elsewhere: who may rewrite the audit could change what is listed here too."""
    with plane.database.transaction() as db:
        found = audit_heads.public_keys(db)
    items = [AuditKeyView(id=key_id, public_key=base64.b64encode(key).decode(), created_at=at) for key_id, key, at in found]
    return AuditKeyPage(items=items, next_cursor=None)


@router.get(
    "/admin/orgs/{org_id}/audit/export",
    summary="Export an organization's audit",
    responses={200: {"content": {"application/json": {}, "text/csv": {}}}, **responses(404, 422)},
    response_class=Response,
    dependencies=[require(Permission.AUDIT_EXPORT)],
)
def export_audit(
    org_id: UUID,
    plane: ThePlane,
    first: First = 1,
    limit: AtMost = MOST_EXPORTED,
    format: Format = "json",  # noqa: A002
) -> Response:
    """Entries in their order, with the signed heads that vouch for them. `navplane audit verify` checks the files offline;
    `next_sequence` is where the next file begins, or null."""
    with plane.database.transaction(org_id=org_id) as db:
        _must_exist(db, org_id)
        links, heads = audit_file.proof(db, org_id=org_id, first=first, limit=limit)
    return audit_file.as_csv(links[:limit]) if format == "csv" else audit_file.as_json(org_id, links, heads, limit=limit)


@router.get(
    "/admin/audit/export",
    summary="Export the platform's own audit",
    responses={200: {"content": {"application/json": {}, "text/csv": {}}}, **responses(422)},
    response_class=Response,
    dependencies=[require(Permission.AUDIT_RECENT)],
)
def export_platform_audit(
    plane: ThePlane,
    first: First = 1,
    limit: AtMost = MOST_EXPORTED,
    format: Format = "json",  # noqa: A002
) -> Response:
    """What concerns no organization; otherwise as an organization's export."""
    with plane.database.transaction(platform=True) as db:
        links, heads = audit_file.proof(db, org_id=None, first=first, limit=limit)
    return audit_file.as_csv(links[:limit]) if format == "csv" else audit_file.as_json(None, links, heads, limit=limit)


def _must_exist(db: Connection, org_id: UUID) -> None:
    if not organizations.ever_existed(db, org_id=org_id):
        raise NotFound(NO_SUCH_ORGANIZATION)


def _page(db: Connection, *, org_id: UUID | None, wanted: Wanted, limit: int, cursor: str | None) -> AuditPage:
    found = audit.page(db, org_id=org_id, wanted=wanted, limit=limit + 1, after=paging.decode(cursor))
    items, last = paging.cut(found, limit=limit)
    next_cursor = paging.encode(Position(created_at=last.event.occurred_at, id=last.event.id)) if last else None
    return AuditPage(items=[_view(item) for item in items], next_cursor=next_cursor)


def _view(kept: Kept) -> AuditEventView:
    event = kept.event
    return AuditEventView(
        id=event.id,
        sequence=kept.sequence,
        organization=event.org_id,
        occurred_at=event.occurred_at,
        actor=event.actor,
        action=event.action,
        resource=event.resource,
        before=event.before,
        after=event.after,
        ip=event.ip,
        user_agent=event.user_agent,
        request_id=event.request_id,
    )
