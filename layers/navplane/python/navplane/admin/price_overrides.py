"""Prices that an organization has agreed with a provider, each for a span of time."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter
from pydantic import Field, StringConstraints

from navplane.admin import change, paging
from navplane.admin.access import Call, Permission, require
from navplane.admin.fields import PRINTABLE, Body, Moment, View
from navplane.admin.plane import ThePlane
from navplane.admin.problem import responses
from navplane.errors import Conflict, Invalid, NotFound
from navplane.model.ids import new_id
from navplane.model.price import AgreedRates, PriceOverride
from navplane.store import price_overrides
from navplane.store.database import Connection
from navplane.store.organizations import Position
from navplane.upstream.providers import PROVIDERS

router = APIRouter(tags=["prices"])

MILLION = Decimal(10**6)
THOUSAND = Decimal(1000)
MINUTE = Decimal(60)
# Up to 1,000 million USD per million tokens, and exact to what the column holds of a single one.
Dollars = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,9}(\.[0-9]{1,9})?$")]
# Of what is not counted by the million: the column holds up to 99,999 USD.
FewDollars = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,5}(\.[0-9]{1,9})?$")]
NO_TOKENS = "USD for {}, as text, where the provider counts no tokens. Absent: nothing is agreed about it."
PER_MILLION = "USD per million tokens, as text. Absent: what {} cost."


class Rates(Body):
    input_usd_per_million: Dollars = Field(description="USD per million tokens, as text.", examples=["1.10"])
    output_usd_per_million: Dollars = Field(description="USD per million tokens, as text.", examples=["8.80"])
    cached_input_usd_per_million: Dollars | None = Field(default=None, description=PER_MILLION.format("input tokens"))
    cache_write_5m_usd_per_million: Dollars | None = Field(default=None, description=PER_MILLION.format("input tokens"))
    cache_write_1h_usd_per_million: Dollars | None = Field(default=None, description=PER_MILLION.format("5-minute writes"))
    audio_input_usd_per_million: Dollars | None = Field(default=None, description=PER_MILLION.format("input tokens"))
    audio_output_usd_per_million: Dollars | None = Field(default=None, description=PER_MILLION.format("output tokens"))
    web_search_usd_per_thousand: FewDollars = Field(default="0", description="USD per thousand searches, as text.")
    request_usd: FewDollars = Field(default="0", description="USD per request, besides its tokens, as text.")
    audio_usd_per_minute: FewDollars | None = Field(default=None, description=NO_TOKENS.format("a minute of sound"))
    characters_usd_per_million: Dollars | None = Field(default=None, description=NO_TOKENS.format("a million characters"))
    image_usd: FewDollars | None = Field(default=None, description=NO_TOKENS.format("a picture"))


class NewPriceOverride(Rates):
    provider: Annotated[str, StringConstraints(max_length=40)] = Field(examples=["openai"])
    model: Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=PRINTABLE)] = Field(
        description="The name that the provider answers with, or the one that is asked for.", examples=["gpt-5-2025-08-07"]
    )
    effective_from: Moment
    effective_to: Moment | None = Field(default=None, description="The first moment at which it no longer holds.")


class PriceOverrideEnd(Body):
    effective_to: Moment | None = Field(description="The first moment at which it no longer holds; null for no end.")


class PriceOverrideView(View):
    id: UUID
    provider: str
    model: str
    effective_from: datetime
    effective_to: datetime | None
    input_usd_per_million: str
    output_usd_per_million: str
    cached_input_usd_per_million: str | None
    cache_write_5m_usd_per_million: str | None
    cache_write_1h_usd_per_million: str | None
    audio_input_usd_per_million: str | None
    audio_output_usd_per_million: str | None
    web_search_usd_per_thousand: str
    request_usd: str
    audio_usd_per_minute: str | None
    characters_usd_per_million: str | None
    image_usd: str | None
    created_at: datetime


class PriceOverridePage(View):
    items: list[PriceOverrideView]
    next_cursor: str | None


@router.get(
    "/admin/orgs/{org_id}/price-overrides",
    summary="List agreed prices, newest first",
    responses=responses(404, 422),
    dependencies=[require(Permission.PRICE_OVERRIDE_LIST)],
)
def list_price_overrides(
    org_id: UUID, plane: ThePlane, limit: paging.Limit = paging.DEFAULT_LIMIT, cursor: paging.Cursor = None
) -> PriceOverridePage:
    after = paging.decode(cursor)
    with plane.database.transaction(org_id=org_id) as db:
        change.found(db, org_id=org_id)
        found = price_overrides.page(db, org_id=org_id, limit=limit + 1, after=after)
    items, last = paging.cut(found, limit=limit)
    next_cursor = paging.encode(Position(created_at=last.created_at, id=last.id)) if last else None
    return PriceOverridePage(items=[_view(item) for item in items], next_cursor=next_cursor)


@router.post(
    "/admin/orgs/{org_id}/price-overrides",
    status_code=201,
    summary="Agree a price",
    responses=responses(400, 404, 409, 413, 422),
)
def create_price_override(
    org_id: UUID, body: NewPriceOverride, call: Annotated[Call, require(Permission.PRICE_OVERRIDE_CREATE)], plane: ThePlane
) -> PriceOverrideView:
    """It prices what is recorded from now on, by the time of each request; what was recorded before is re-priced on demand. One
    that overlaps another for the same provider and model is 409."""
    override = _override(body, call.now)
    with plane.database.transaction(org_id=org_id) as db:
        change.held(db, org_id=org_id)
        _alone(db, override, org_id=org_id)
        price_overrides.insert(db, override, org_id=org_id)
        _audited(db, call, org_id=org_id, override_id=override.id, after=override)
    return _view(override)


@router.get(
    "/admin/orgs/{org_id}/price-overrides/{override_id}",
    summary="Read an agreed price",
    responses=responses(404),
    dependencies=[require(Permission.PRICE_OVERRIDE_LIST)],
)
def read_price_override(org_id: UUID, override_id: UUID, plane: ThePlane) -> PriceOverrideView:
    with plane.database.transaction(org_id=org_id) as db:
        change.found(db, org_id=org_id)
        return _view(_kept(db, org_id=org_id, override_id=override_id))


@router.put(
    "/admin/orgs/{org_id}/price-overrides/{override_id}",
    summary="End an agreed price, or let it go on",
    responses=responses(400, 404, 409, 413, 422),
)
def end_price_override(
    org_id: UUID,
    override_id: UUID,
    body: PriceOverrideEnd,
    call: Annotated[Call, require(Permission.PRICE_OVERRIDE_UPDATE, versioned=True)],
    plane: ThePlane,
) -> PriceOverrideView:
    """Its rates never change: what was charged by them must stay explicable. End it and agree another one."""
    with plane.database.transaction(org_id=org_id) as db:
        change.held(db, org_id=org_id)
        before = _kept(db, org_id=org_id, override_id=override_id)
        change.expected(call, _view(before))
        after = replace(before, effective_to=_span(before.effective_from, body.effective_to)[1])
        _alone(db, after, org_id=org_id)
        price_overrides.end(db, org_id=org_id, override_id=override_id, effective_to=after.effective_to)
        _audited(db, call, org_id=org_id, override_id=override_id, before=before, after=after)
    return _view(after)


@router.delete(
    "/admin/orgs/{org_id}/price-overrides/{override_id}",
    status_code=204,
    summary="Take back a price that was never in force",
    responses=responses(404, 409),
)
def delete_price_override(
    org_id: UUID, override_id: UUID, call: Annotated[Call, require(Permission.PRICE_OVERRIDE_DELETE)], plane: ThePlane
) -> None:
    with plane.database.transaction(org_id=org_id) as db:
        change.held(db, org_id=org_id)
        before = _kept(db, org_id=org_id, override_id=override_id)
        if not price_overrides.delete(db, org_id=org_id, override_id=override_id):
            raise Conflict("It has been in force, so requests may have been charged by it: end it instead.")
        _audited(db, call, org_id=org_id, override_id=override_id, before=before)


def _override(body: NewPriceOverride, now: datetime) -> PriceOverride:
    if body.provider not in PROVIDERS:
        raise Invalid(f"There is no such provider; there are: {', '.join(sorted(PROVIDERS))}.")
    effective_from, effective_to = _span(body.effective_from, body.effective_to)
    rates = AgreedRates(
        input_usd=Decimal(body.input_usd_per_million) / MILLION,
        output_usd=Decimal(body.output_usd_per_million) / MILLION,
        cached_input_usd=_per_token(body.cached_input_usd_per_million),
        cache_write_5m_usd=_per_token(body.cache_write_5m_usd_per_million),
        cache_write_1h_usd=_per_token(body.cache_write_1h_usd_per_million),
        audio_input_usd=_per_token(body.audio_input_usd_per_million),
        audio_output_usd=_per_token(body.audio_output_usd_per_million),
        web_search_usd=Decimal(body.web_search_usd_per_thousand) / THOUSAND,
        request_usd=Decimal(body.request_usd),
        audio_second_usd=None if body.audio_usd_per_minute is None else Decimal(body.audio_usd_per_minute) / MINUTE,
        character_usd=_per_token(body.characters_usd_per_million),
        image_usd=None if body.image_usd is None else Decimal(body.image_usd),
    )
    return PriceOverride(
        id=new_id(),
        provider=body.provider,
        model=body.model,
        effective_from=effective_from,
        effective_to=effective_to,
        rates=rates,
        created_at=now,
    )


def _span(effective_from: datetime, effective_to: datetime | None) -> tuple[datetime, datetime | None]:
    """Both in UTC. Raise Invalid for one that ends before it begins, or outside what the calendar has."""
    if effective_to is not None and effective_to <= effective_from:
        raise Invalid("effective_to must be later than effective_from.")
    try:
        return effective_from.astimezone(UTC), effective_to.astimezone(UTC) if effective_to else None
    except OverflowError:
        raise Invalid("The calendar does not reach that far.") from None


def _per_token(per_million: str | None) -> Decimal | None:
    return None if per_million is None else Decimal(per_million) / MILLION


def _alone(db: Connection, override: PriceOverride, *, org_id: UUID) -> None:
    other = price_overrides.overlapping(db, override, org_id=org_id)
    if other is not None:
        until = other.effective_to.isoformat() if other.effective_to else "further notice"
        raise Conflict(
            f"Price override {other.id} holds for this provider and model from {other.effective_from.isoformat()} until "
            f"{until}: end that one first, or choose another span."
        )


def _kept(db: Connection, *, org_id: UUID, override_id: UUID) -> PriceOverride:
    kept = price_overrides.find(db, org_id=org_id, override_id=override_id)
    if kept is None:
        raise NotFound("There is no such price override.")
    return kept


def _audited(
    db: Connection,
    call: Call,
    *,
    org_id: UUID,
    override_id: UUID,
    before: PriceOverride | None = None,
    after: PriceOverride | None = None,
) -> None:
    change.audited(
        db,
        call,
        org_id=org_id,
        resource=f"price_override/{override_id}",
        before=_view(before).model_dump(mode="json") if before else None,
        after=_view(after).model_dump(mode="json") if after else None,
    )


def _view(override: PriceOverride) -> PriceOverrideView:
    rates = override.rates
    return PriceOverrideView(
        id=override.id,
        provider=override.provider,
        model=override.model,
        effective_from=override.effective_from,
        effective_to=override.effective_to,
        input_usd_per_million=_text(rates.input_usd * MILLION),
        output_usd_per_million=_text(rates.output_usd * MILLION),
        cached_input_usd_per_million=_shown_per_million(rates.cached_input_usd),
        cache_write_5m_usd_per_million=_shown_per_million(rates.cache_write_5m_usd),
        cache_write_1h_usd_per_million=_shown_per_million(rates.cache_write_1h_usd),
        audio_input_usd_per_million=_shown_per_million(rates.audio_input_usd),
        audio_output_usd_per_million=_shown_per_million(rates.audio_output_usd),
        web_search_usd_per_thousand=_text(rates.web_search_usd * THOUSAND),
        request_usd=_text(rates.request_usd),
        audio_usd_per_minute=None if rates.audio_second_usd is None else _text(rates.audio_second_usd * MINUTE),
        characters_usd_per_million=_shown_per_million(rates.character_usd),
        image_usd=None if rates.image_usd is None else _text(rates.image_usd),
        created_at=override.created_at,
    )


def _shown_per_million(per_token: Decimal | None) -> str | None:
    return None if per_token is None else _text(per_token * MILLION)


def _text(amount: Decimal) -> str:
    # What is kept of a second's price has 15 digits, and a minute's price is shown as it was given.
    return f"{amount:.9f}".rstrip("0").rstrip(".")
