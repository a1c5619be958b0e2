"""Routes: the ledger against providers' own reports, and the admin keys that these are read with."""

from datetime import date, datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import Field, SecretStr

from navplane.admin import change, paging
from navplane.admin.access import Call, Permission, require
from navplane.admin.day_cursor import decode_day, encode_day
from navplane.admin.fields import Body, View
from navplane.admin.plane import Plane, ThePlane
from navplane.admin.problem import responses
from navplane.admin.provider_keys import checked_secret
from navplane.admin.sealing import store_sealed
from navplane.crypto.api_key import hint
from navplane.crypto.envelope import kek_id_of
from navplane.errors import Conflict, NotFound, RegionMismatch
from navplane.model.ids import new_id
from navplane.model.reconciliation import ReconciliationKey, key_place
from navplane.store import reconciliations
from navplane.store.database import Connection
from navplane.store.reconciliations import ReconciliationRow
from navplane.upstream.providers import PROVIDERS
from navplane.upstream.usage_reports import REPORTING

router = APIRouter(tags=["reconciliation"])


class NewReconciliationKey(Body):
    provider: Literal["openai", "anthropic"]
    admin_key: SecretStr = Field(description="A read-only admin key of the provider's organization. It is never shown again.")


class ReconciliationState(View):
    provider: str
    configured: bool = Field(description="`false`: there is no admin key, and nothing is compared.")
    key_hint: str | None = None
    requested_at: datetime | None = Field(default=None, description="A run that was asked for and has not begun.")
    ran_at: datetime | None = None
    succeeded_at: datetime | None = Field(default=None, description="What is listed is as of then.")
    last_error: str | None = Field(default=None, description="Why the last run failed; what the one before it found stays.")


class ReconciliationStates(View):
    items: list[ReconciliationState]


class FiguresView(View):
    requests: int | None = Field(description="null where the provider doesn't count them.")
    input_tokens: int
    output_tokens: int
    cost_usd: str


class ReconciliationView(View):
    id: UUID
    provider: str
    day: date
    model: str
    ledger: FiguresView
    reported: FiguresView
    missing_requests: int | None = Field(description="How many the provider counted that the ledger doesn't have.")
    drift_percent: float = Field(description="Of tokens or cost, whichever is worse, of the larger figure.")
    seen_at: datetime


class ReconciliationPage(View):
    items: list[ReconciliationView]
    next_cursor: str | None


@router.get(
    "/admin/orgs/{org_id}/reconciliation",
    summary="List how the ledger compares with providers' reports, newest day first",
    responses=responses(404, 422),
    dependencies=[require(Permission.RECONCILIATION_LIST)],
)
def list_reconciliations(
    org_id: UUID,
    plane: ThePlane,
    provider: Annotated[Literal["openai", "anthropic"] | None, Query()] = None,
    limit: paging.Limit = paging.DEFAULT_LIMIT,
    cursor: paging.Cursor = None,
) -> ReconciliationPage:
    after = decode_day(cursor)
    with plane.database.transaction(org_id=org_id) as db:
        change.found(db, org_id=org_id)
        found = reconciliations.page(db, org_id=org_id, limit=limit + 1, after=after, provider=provider)
    items, last = paging.cut(found, limit=limit)
    next_cursor = encode_day(last.day, last.id) if last else None
    return ReconciliationPage(items=[_view(item) for item in items], next_cursor=next_cursor)


@router.get(
    "/admin/orgs/{org_id}/reconciliation/keys",
    summary="Read which providers are reconciled, and how the last run went",
    responses=responses(404),
    dependencies=[require(Permission.RECONCILIATION_LIST)],
)
def list_reconciliation_keys(org_id: UUID, plane: ThePlane) -> ReconciliationStates:
    with plane.database.transaction(org_id=org_id) as db:
        change.found(db, org_id=org_id)
        return _states(db, org_id)


@router.post(
    "/admin/orgs/{org_id}/reconciliation/keys",
    status_code=201,
    summary="Store a provider's admin key",
    responses=responses(400, 404, 409, 413, 422),
)
def create_reconciliation_key(
    org_id: UUID,
    body: NewReconciliationKey,
    call: Annotated[Call, require(Permission.RECONCILIATION_CREATE)],
    plane: ThePlane,
) -> ReconciliationState:
    """The first run follows within minutes, and says whether the provider takes the key. No call is ever made with it."""
    desk, secret = plane.key_desk, checked_secret(body.admin_key)
    assert desk is not None, "an application with these routes has a key desk"
    _ready_for(plane, org_id, body.provider)
    # Raises where the provider has no host that this region may use: nobody would ever ask it.
    desk.origins.of(PROVIDERS[body.provider], demo=False)
    key = ReconciliationKey(
        id=new_id(),
        org_id=org_id,
        provider=body.provider,
        key_hint=hint(secret.reveal().decode()),
        created_at=call.now,
        requested_at=call.now,
    )
    store_sealed(
        lambda sealed: _store(plane, call, key, sealed=sealed),
        secret,
        context=key_place(org_id=org_id, key_id=key.id, provider=key.provider, region=plane.region.value),
        kek=desk.kek,
        successor=desk.successor,
    )
    return _state(key)


@router.delete(
    "/admin/orgs/{org_id}/reconciliation/keys/{provider}",
    status_code=204,
    summary="Delete a provider's admin key",
    responses=responses(404),
)
def delete_reconciliation_key(
    org_id: UUID,
    provider: Literal["openai", "anthropic"],
    call: Annotated[Call, require(Permission.RECONCILIATION_DELETE)],
    plane: ThePlane,
) -> None:
    """What was found stays. Revoke the key at the provider too."""
    with plane.database.transaction(org_id=org_id) as db:
        change.held(db, org_id=org_id)
        key = next((one for one in reconciliations.keys(db, org_id=org_id) if one.provider == provider), None)
        if key is None:
            raise NotFound("There is no admin key for this provider.")
        reconciliations.delete_key(db, org_id=org_id, provider=provider)
        before = {"provider": provider, "key_hint": key.key_hint}
        change.audited(db, call, org_id=org_id, resource=f"reconciliation_key/{key.id}", before=before)


@router.post(
    "/admin/orgs/{org_id}/reconciliation/runs",
    status_code=202,
    summary="Reconcile now",
    responses=responses(404, 409),
)
def run_reconciliation(
    org_id: UUID, call: Annotated[Call, require(Permission.RECONCILIATION_RUN)], plane: ThePlane
) -> ReconciliationStates:
    """Asks every provider that has a key, within minutes. It is not configured, and 409, where there is none."""
    with plane.database.transaction(org_id=org_id) as db:
        change.held(db, org_id=org_id)
        if not reconciliations.request(db, org_id=org_id, now=call.now):
            raise Conflict("Reconciliation is not configured: store a provider's admin key first.")
        change.audited(db, call, org_id=org_id, resource="reconciliation")
        return _states(db, org_id)


def _ready_for(plane: Plane, org_id: UUID, provider: str) -> None:
    with plane.database.transaction(org_id=org_id) as db:
        organization = change.found(db, org_id=org_id)
        taken = any(key.provider == provider for key in reconciliations.keys(db, org_id=org_id))
    if organization.home_region is not plane.region:
        raise RegionMismatch(f"This organization is at home in {organization.home_region.value}: store its keys there.")
    if taken:
        raise _taken(provider)


def _store(plane: Plane, call: Call, key: ReconciliationKey, *, sealed: bytes) -> None:
    with plane.database.transaction(org_id=key.org_id) as db:
        change.held(db, org_id=key.org_id)
        if not reconciliations.insert_key(db, key, region=plane.region.value, sealed=sealed, kek_id=kek_id_of(sealed)):
            raise _taken(key.provider)
        after = {"provider": key.provider, "key_hint": key.key_hint}
        change.audited(db, call, org_id=key.org_id, resource=f"reconciliation_key/{key.id}", after=after)


def _taken(provider: str) -> Conflict:
    return Conflict(f"There is an admin key for {provider}: delete that one first.")


def _states(db: Connection, org_id: UUID) -> ReconciliationStates:
    known = {key.provider: _state(key) for key in reconciliations.keys(db, org_id=org_id)}
    absent = {provider: ReconciliationState(provider=provider, configured=False) for provider in REPORTING}
    return ReconciliationStates(items=list((absent | known).values()))


def _state(key: ReconciliationKey) -> ReconciliationState:
    return ReconciliationState(
        provider=key.provider,
        configured=True,
        key_hint=key.key_hint,
        requested_at=key.requested_at,
        ran_at=key.ran_at,
        succeeded_at=key.succeeded_at,
        last_error=key.last_error,
    )


def _view(row: ReconciliationRow) -> ReconciliationView:
    missing = None if row.provider_requests is None else max(0, row.provider_requests - row.ledger_requests)
    ledger = FiguresView(
        requests=row.ledger_requests,
        input_tokens=row.ledger_input,
        output_tokens=row.ledger_output,
        cost_usd=format(row.ledger_usd, "f"),
    )
    reported = FiguresView(
        requests=row.provider_requests,
        input_tokens=row.provider_input,
        output_tokens=row.provider_output,
        cost_usd=format(row.provider_usd, "f"),
    )
    return ReconciliationView(
        id=row.id,
        provider=row.provider,
        day=row.day,
        model=row.model,
        ledger=ledger,
        reported=reported,
        missing_requests=missing,
        drift_percent=float(row.drift),
        seen_at=row.seen_at,
    )
