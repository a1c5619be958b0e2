"""Routes: what an organization wants to be told of."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter
from pydantic import Field, StringConstraints

from navplane.admin import change
from navplane.admin.access import Call, Permission, require
from navplane.admin.fields import Body, View
from navplane.admin.plane import ThePlane
from navplane.admin.problem import responses
from navplane.errors import Conflict, Invalid, NotFound
from navplane.model.alert import AlertKind, AlertRule, AlertTerms
from navplane.model.ids import new_id
from navplane.store import alerts
from navplane.store.database import Connection

router = APIRouter(tags=["alerts"])

Dollars = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,9}(\.[0-9]{1,9})?$")]
NO_SUCH_RULE = "There is no such alert rule."


class AlertRuleChange(Body):
    enabled: bool = Field(default=True, description="`false`: nobody is told of this kind.")
    thresholds: list[Annotated[int, Field(ge=1, le=1000)]] = Field(
        default=[50, 80, 100], min_length=1, max_length=10, description="`budget`: percent of each budget, of what is spent."
    )
    sensitivity: float = Field(
        default=6.0, ge=1, le=100, description="`spike`: how many usual deviations above the usual day a day must cost."
    )
    floor_usd: Dollars = Field(default="1", description="`spike`: a day that costs no more is none.")


class NewAlertRule(AlertRuleChange):
    kind: Literal["budget", "spike", "unpriced", "reconciliation"]


class AlertRuleView(View):
    id: UUID
    kind: str
    enabled: bool
    thresholds: list[int]
    sensitivity: float
    floor_usd: str
    created_at: datetime


class AlertRules(View):
    items: list[AlertRuleView]


@router.get(
    "/admin/orgs/{org_id}/alerts",
    summary="List alert rules",
    responses=responses(404),
    dependencies=[require(Permission.ALERT_LIST)],
)
def list_alert_rules(org_id: UUID, plane: ThePlane) -> AlertRules:
    """One for each kind at most; a kind without one is watched by the usual rule, whose values are the defaults."""
    with plane.database.transaction(org_id=org_id) as db:
        change.found(db, org_id=org_id)
        return AlertRules(items=[_view(rule) for rule in alerts.rules(db, org_id=org_id)])


@router.post(
    "/admin/orgs/{org_id}/alerts",
    status_code=201,
    summary="Set an alert rule",
    responses=responses(400, 404, 409, 413, 422),
)
def create_alert_rule(
    org_id: UUID, body: NewAlertRule, call: Annotated[Call, require(Permission.ALERT_CREATE)], plane: ThePlane
) -> AlertRuleView:
    rule = AlertRule(id=new_id(), org_id=org_id, kind=AlertKind(body.kind), terms=_terms(body), created_at=call.now)
    with plane.database.transaction(org_id=org_id) as db:
        change.held(db, org_id=org_id)
        if not alerts.insert_rule(db, rule):
            raise Conflict(f"There is a rule for {body.kind} already: change that one.")
        change.audited(db, call, org_id=org_id, resource=f"alert/{rule.id}", after=_shown(rule))
    return _view(rule)


@router.get(
    "/admin/orgs/{org_id}/alerts/{alert_id}",
    summary="Read an alert rule",
    responses=responses(404),
    dependencies=[require(Permission.ALERT_LIST)],
)
def read_alert_rule(org_id: UUID, alert_id: UUID, plane: ThePlane) -> AlertRuleView:
    with plane.database.transaction(org_id=org_id) as db:
        return _view(_found(db, org_id=org_id, alert_id=alert_id))


@router.put(
    "/admin/orgs/{org_id}/alerts/{alert_id}", summary="Change an alert rule", responses=responses(400, 404, 412, 413, 422)
)
def update_alert_rule(
    org_id: UUID,
    alert_id: UUID,
    body: AlertRuleChange,
    call: Annotated[Call, require(Permission.ALERT_UPDATE, versioned=True)],
    plane: ThePlane,
) -> AlertRuleView:
    """What is absent becomes the default again."""
    with plane.database.transaction(org_id=org_id) as db:
        change.held(db, org_id=org_id)
        before = _found(db, org_id=org_id, alert_id=alert_id)
        change.expected(call, _view(before))
        alerts.update_rule(db, org_id=org_id, rule_id=alert_id, terms=_terms(body))
        after = _found(db, org_id=org_id, alert_id=alert_id)
        change.audited(db, call, org_id=org_id, resource=f"alert/{alert_id}", before=_shown(before), after=_shown(after))
    return _view(after)


@router.delete(
    "/admin/orgs/{org_id}/alerts/{alert_id}", status_code=204, summary="Delete an alert rule", responses=responses(404)
)
def delete_alert_rule(
    org_id: UUID, alert_id: UUID, call: Annotated[Call, require(Permission.ALERT_DELETE)], plane: ThePlane
) -> None:
    """The usual rule is in force again then. To be told nothing, set `enabled` to false."""
    with plane.database.transaction(org_id=org_id) as db:
        change.held(db, org_id=org_id)
        before = _found(db, org_id=org_id, alert_id=alert_id)
        alerts.delete_rule(db, org_id=org_id, rule_id=alert_id)
        change.audited(db, call, org_id=org_id, resource=f"alert/{alert_id}", before=_shown(before))


def _found(db: Connection, *, org_id: UUID, alert_id: UUID) -> AlertRule:
    rule = alerts.find_rule(db, org_id=org_id, rule_id=alert_id)
    if rule is None:
        raise NotFound(NO_SUCH_RULE)
    return rule


def _terms(body: AlertRuleChange) -> AlertTerms:
    if len(set(body.thresholds)) < len(body.thresholds):
        raise Invalid("thresholds has one of them twice.")
    return AlertTerms(
        enabled=body.enabled,
        thresholds=tuple(sorted(body.thresholds)),
        sensitivity=Decimal(str(round(body.sensitivity, 2))),
        floor_usd=Decimal(body.floor_usd),
    )


def _view(rule: AlertRule) -> AlertRuleView:
    terms = rule.terms
    return AlertRuleView(
        id=rule.id,
        kind=rule.kind.value,
        enabled=terms.enabled,
        thresholds=list(terms.thresholds),
        sensitivity=float(terms.sensitivity),
        floor_usd=f"{terms.floor_usd:.9f}".rstrip("0").rstrip("."),
        created_at=rule.created_at,
    )


def _shown(rule: AlertRule) -> dict[str, object]:
    return _view(rule).model_dump(mode="json", exclude={"id", "created_at"})
