"""The admin API's description: as committed, valid, complete, and true to what the functions serve."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from fastapi.routing import APIRoute
from navplane.admin import (
    acceptance,
    alert_destinations,
    alerts,
    api_keys,
    audit,
    budgets,
    contents,
    data_mode,
    export_jobs,
    export_parts,
    exports,
    health,
    invitations,
    ledger_jobs,
    limits,
    members,
    model_prices,
    notifications,
    openapi,
    organizations,
    platform_alerts,
    platform_limits,
    platform_requests,
    platform_usage,
    policies,
    price_overrides,
    provider_key_changes,
    provider_key_tests,
    provider_keys,
    provider_settings,
    providers,
    receipts,
    reconciliation,
    request_detail,
    requests,
    routes,
    service_keys,
    shredding,
    usage,
    users,
    workflow_history,
    workflow_review,
    workflow_simulation,
    workflows,
    workspaces,
)
from navplane.admin.openapi import ROUTERS, document, guarded, rendered
from openapi_spec_validator import validate

ROOT = Path(__file__).parents[3]
SNAPSHOT = ROOT / "docs/reference/openapi.json"
DOCUMENT = document()
OPERATIONS = {
    f"{method.upper()} {path}": operation
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
}
PUBLIC = {"GET /health", "GET /ready", "GET /providers", "GET /admin/openapi.json"}
WITH_AN_API_KEY = {"GET /v1/receipts/{request_id}"}
SERVED_BY = {
    "AdminTenancyFunction": (
        organizations.router,
        api_keys.router,
        shredding.router,
        openapi.router,
        data_mode.router,
        contents.router,
        workspaces.router,
        members.router,
        invitations.router,
        acceptance.router,
        service_keys.router,
        users.router,
    ),
    "AdminPoliciesFunction": (
        provider_settings.router,
        policies.router,
        routes.router,
        workflows.router,
        workflow_review.router,
        workflow_history.router,
        workflow_simulation.router,
        limits.router,
        alerts.router,
        notifications.router,
        platform_limits.router,
        price_overrides.router,
        ledger_jobs.router,
        export_jobs.router,
        model_prices.router,
        providers.router,
    ),
    "AdminProviderKeysFunction": (
        provider_keys.router,
        provider_key_changes.router,
        provider_key_tests.router,
        alert_destinations.router,
        platform_alerts.router,
        reconciliation.router,
        health.router,
    ),
    "AdminAnalyticsFunction": (
        requests.router,
        request_detail.router,
        usage.router,
        exports.router,
        export_parts.router,
        budgets.router,
        platform_usage.router,
        platform_requests.router,
        audit.router,
        receipts.router,
    ),
}


def test_the_committed_description_is_the_one_that_is_served() -> None:
    assert SNAPSHOT.read_text() == rendered(), "python -m navplane.admin.openapi > docs/reference/openapi.json"


def test_it_is_a_valid_openapi_document() -> None:
    validate(json.loads(rendered()))


def test_the_api_is_what_was_agreed() -> None:
    assert set(OPERATIONS) == PUBLIC | {
        "GET /admin/orgs",
        "POST /admin/orgs",
        "GET /admin/orgs/{org_id}",
        "PUT /admin/orgs/{org_id}",
        "DELETE /admin/orgs/{org_id}",
        "PUT /admin/orgs/{org_id}/enabled",
        "POST /admin/orgs/{org_id}/rotate-key",
        "POST /admin/orgs/{org_id}/shred",
        "GET /admin/orgs/{org_id}/shredding-certificate",
        "GET /admin/orgs/{org_id}/api-keys",
        "POST /admin/orgs/{org_id}/api-keys",
        "GET /admin/orgs/{org_id}/api-keys/{key_id}",
        "PUT /admin/orgs/{org_id}/api-keys/{key_id}",
        "DELETE /admin/orgs/{org_id}/api-keys/{key_id}",
        "POST /admin/orgs/{org_id}/api-keys/{key_id}/rotate",
        "GET /admin/orgs/{org_id}/workspaces",
        "POST /admin/orgs/{org_id}/workspaces",
        "GET /admin/orgs/{org_id}/workspaces/{workspace_id}",
        "PUT /admin/orgs/{org_id}/workspaces/{workspace_id}",
        "DELETE /admin/orgs/{org_id}/workspaces/{workspace_id}",
        "GET /admin/orgs/{org_id}/members",
        "POST /admin/orgs/{org_id}/members/change",
        "DELETE /admin/orgs/{org_id}/members/{user_id}",
        "GET /admin/orgs/{org_id}/members/{user_id}/roles",
        "PUT /admin/orgs/{org_id}/members/{user_id}/roles",
        "GET /admin/orgs/{org_id}/service-keys",
        "POST /admin/orgs/{org_id}/service-keys",
        "DELETE /admin/orgs/{org_id}/service-keys/{key_id}",
        "GET /admin/orgs/{org_id}/invitations",
        "POST /admin/orgs/{org_id}/invitations",
        "DELETE /admin/orgs/{org_id}/invitations/{invitation_id}",
        "POST /admin/orgs/{org_id}/invitations/{invitation_id}/resend",
        "POST /admin/invitations/accept",
        "GET /admin/users",
        "PUT /admin/users/{user_id}/active",
        "POST /admin/users/{user_id}/revoke-tokens",
        "GET /admin/orgs/{org_id}/provider-keys",
        "POST /admin/orgs/{org_id}/provider-keys",
        "DELETE /admin/orgs/{org_id}/provider-keys/{key_id}",
        "GET /admin/orgs/{org_id}/provider-keys/{key_id}",
        "PUT /admin/orgs/{org_id}/provider-keys/{key_id}",
        "POST /admin/orgs/{org_id}/provider-keys/{key_id}/rotate",
        "POST /admin/orgs/{org_id}/provider-keys/{key_id}/test",
        "GET /admin/orgs/{org_id}/provider-settings",
        "PUT /admin/orgs/{org_id}/provider-settings",
        "GET /admin/orgs/{org_id}/policies",
        "POST /admin/orgs/{org_id}/policies",
        "GET /admin/orgs/{org_id}/policies/{policy_id}",
        "PUT /admin/orgs/{org_id}/policies/{policy_id}",
        "DELETE /admin/orgs/{org_id}/policies/{policy_id}",
        "GET /admin/orgs/{org_id}/workflows",
        "POST /admin/orgs/{org_id}/workflows",
        "GET /admin/orgs/{org_id}/workflows/{workflow_id}",
        "POST /admin/orgs/{org_id}/workflows/{workflow_id}/withdraw",
        "GET /admin/orgs/{org_id}/workflows/{workflow_id}/versions",
        "POST /admin/orgs/{org_id}/workflows/{workflow_id}/versions",
        "GET /admin/orgs/{org_id}/workflows/{workflow_id}/versions/{number}",
        "PUT /admin/orgs/{org_id}/workflows/{workflow_id}/versions/{number}",
        "POST /admin/orgs/{org_id}/workflows/{workflow_id}/versions/{number}/submit",
        "POST /admin/orgs/{org_id}/workflows/{workflow_id}/versions/{number}/approve",
        "POST /admin/orgs/{org_id}/workflows/{workflow_id}/versions/{number}/reject",
        "POST /admin/orgs/{org_id}/workflows/{workflow_id}/versions/{number}/publish",
        "GET /admin/orgs/{org_id}/workflows/{workflow_id}/diff",
        "GET /admin/orgs/{org_id}/workflows/{workflow_id}/versions/{number}/runs",
        "POST /admin/orgs/{org_id}/workflows/{workflow_id}/versions/{number}/rollback",
        "POST /admin/orgs/{org_id}/workflows/{workflow_id}/versions/{number}/simulate",
        "GET /admin/orgs/{org_id}/routes",
        "POST /admin/orgs/{org_id}/routes",
        "GET /admin/orgs/{org_id}/routes/{route_id}",
        "PUT /admin/orgs/{org_id}/routes/{route_id}",
        "DELETE /admin/orgs/{org_id}/routes/{route_id}",
        "GET /admin/orgs/{org_id}/alerts",
        "POST /admin/orgs/{org_id}/alerts",
        "GET /admin/orgs/{org_id}/alerts/{alert_id}",
        "PUT /admin/orgs/{org_id}/alerts/{alert_id}",
        "DELETE /admin/orgs/{org_id}/alerts/{alert_id}",
        "GET /admin/orgs/{org_id}/notifications",
        "POST /admin/orgs/{org_id}/notifications/{notification_id}/read",
        "GET /admin/orgs/{org_id}/alert-destinations",
        "POST /admin/orgs/{org_id}/alert-destinations",
        "GET /admin/orgs/{org_id}/alert-destinations/{destination_id}",
        "PUT /admin/orgs/{org_id}/alert-destinations/{destination_id}",
        "DELETE /admin/orgs/{org_id}/alert-destinations/{destination_id}",
        "POST /admin/orgs/{org_id}/alert-destinations/{destination_id}/test",
        "GET /admin/orgs/{org_id}/alert-destinations/{destination_id}/deliveries",
        "GET /admin/alert-destinations",
        "POST /admin/alert-destinations",
        "GET /admin/alert-destinations/{destination_id}",
        "PUT /admin/alert-destinations/{destination_id}",
        "DELETE /admin/alert-destinations/{destination_id}",
        "POST /admin/alert-destinations/{destination_id}/test",
        "GET /admin/alert-destinations/{destination_id}/deliveries",
        "GET /admin/notifications",
        "GET /admin/orgs/{org_id}/reconciliation",
        "GET /admin/orgs/{org_id}/reconciliation/keys",
        "POST /admin/orgs/{org_id}/reconciliation/keys",
        "DELETE /admin/orgs/{org_id}/reconciliation/keys/{provider}",
        "POST /admin/orgs/{org_id}/reconciliation/runs",
        "GET /admin/limits",
        "POST /admin/limits",
        "PUT /admin/limits/{limit_id}",
        "DELETE /admin/limits/{limit_id}",
        "GET /admin/orgs/{org_id}/limits",
        "POST /admin/orgs/{org_id}/limits",
        "GET /admin/orgs/{org_id}/limits/{limit_id}",
        "PUT /admin/orgs/{org_id}/limits/{limit_id}",
        "DELETE /admin/orgs/{org_id}/limits/{limit_id}",
        "GET /admin/model-prices",
        "GET /admin/orgs/{org_id}/export-jobs",
        "POST /admin/orgs/{org_id}/export-jobs",
        "GET /admin/orgs/{org_id}/export-jobs/{job_id}",
        "DELETE /admin/orgs/{org_id}/export-jobs/{job_id}",
        "GET /admin/orgs/{org_id}/export-jobs/{job_id}/parts/{number}",
        "GET /admin/orgs/{org_id}/ledger-jobs",
        "POST /admin/orgs/{org_id}/ledger-jobs",
        "GET /admin/orgs/{org_id}/ledger-jobs/{job_id}",
        "GET /admin/orgs/{org_id}/price-overrides",
        "POST /admin/orgs/{org_id}/price-overrides",
        "GET /admin/orgs/{org_id}/price-overrides/{override_id}",
        "PUT /admin/orgs/{org_id}/price-overrides/{override_id}",
        "DELETE /admin/orgs/{org_id}/price-overrides/{override_id}",
        "GET /admin/orgs/{org_id}/requests",
        "GET /admin/orgs/{org_id}/requests/{request_id}",
        "GET /admin/orgs/{org_id}/exports/requests",
        "GET /admin/orgs/{org_id}/exports/usage",
        "GET /admin/orgs/{org_id}/exports/focus",
        "GET /admin/orgs/{org_id}/usage/summary",
        "GET /admin/orgs/{org_id}/usage/breakdown",
        "GET /admin/orgs/{org_id}/usage/timeseries",
        "GET /admin/orgs/{org_id}/usage/top",
        "GET /admin/orgs/{org_id}/budgets",
        "GET /admin/usage/summary",
        "GET /admin/usage/breakdown",
        "GET /admin/usage/timeseries",
        "GET /admin/usage/top",
        "GET /admin/usage/requests",
        "GET /admin/usage/budgets",
        "GET /admin/usage/exports/requests",
        "GET /admin/usage/exports/usage",
        "GET /admin/usage/exports/focus",
        "GET /admin/orgs/{org_id}/audit",
        "GET /admin/orgs/{org_id}/audit/export",
        "GET /admin/audit/recent",
        "GET /admin/audit/keys",
        "GET /admin/audit/export",
        "GET /v1/receipts/{request_id}",
        "GET /admin/orgs/{org_id}/requests/{request_id}/content",
        "GET /admin/orgs/{org_id}/workspaces/{workspace_id}/data-mode",
        "PUT /admin/orgs/{org_id}/workspaces/{workspace_id}/data-mode",
    }


def test_every_router_belongs_to_exactly_one_function() -> None:
    assert sorted(map(id, ROUTERS)) == sorted(id(router) for routers in SERVED_BY.values() for router in routers)


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_every_operation_says_what_it_does_and_how_it_fails(name: str) -> None:
    operation = OPERATIONS[name]
    assert operation["summary"]
    assert operation["operationId"]
    if name in PUBLIC:
        assert "security" not in operation
        return
    assert operation["security"] == [{"api_key" if name in WITH_AN_API_KEY else "access_token": []}]
    assert {"401", "403", "500", "503"} <= set(operation["responses"])
    assert ("{" not in name) or "404" in operation["responses"]
    for status, answer in operation["responses"].items():
        if int(status) >= 400:
            assert list(answer["content"]) == ["application/problem+json"]


def test_fastapis_own_error_shape_is_nowhere() -> None:
    assert "HTTPValidationError" not in rendered()
    assert "detail" in DOCUMENT["components"]["schemas"]["Problem"]["properties"]


def test_no_answer_has_a_field_that_could_hold_a_secret_but_the_one_that_shows_a_new_key() -> None:
    shown = {
        f"{name}.{field}"
        for name, schema in answer_schemas().items()
        for field in schema.get("properties", {})
        if re.search("api_key$|secret|sealed|digest|token$|password", field)
    }
    assert shown == {
        "IssuedKey.api_key",
        "CreatedOrganization.api_key",
        "IssuedApiKey.api_key",
        "IssuedServiceKey.api_key",
        "DestinationCreated.secret",
    }


def answer_schemas() -> dict[str, Any]:
    """The schemas that nobody sends: those of bodies refuse fields they don't know, and so can be told apart."""
    schemas: dict[str, Any] = DOCUMENT["components"]["schemas"]
    return {name: schema for name, schema in schemas.items() if schema.get("additionalProperties") is not False}


@pytest.mark.parametrize("function", sorted(SERVED_BY))
def test_the_template_routes_to_each_function_what_it_serves(function: str) -> None:
    served = {
        f"{method} {route.path}"
        for router in SERVED_BY[function]
        for route in router.routes
        if isinstance(route, APIRoute)
        for method in route.methods or ()
    }
    assert routed_to(function) - {"ANY /admin/{proxy+}"} == served


def routed_to(function: str) -> set[str]:
    """The HTTP API's events of one function, read from the template's text: its tags are CloudFormation's own."""
    text = (ROOT / "template.yaml").read_text()
    section = re.split(r"\n  (?=\S)", text.split(f"\n  {function}:\n", 1)[1], maxsplit=1)[0]
    events = re.findall(r"Method: (\w+), Path: (?:'([^']+)'|([^ ,}]+))", section)
    return {f"{method} {quoted or plain}" for method, quoted, plain in events}


def test_what_can_be_read_can_be_changed_by_version() -> None:
    readable = {route.path for route, _ in guarded() if "GET" in (route.methods or ())}
    unversioned = {
        route.path
        for route, gate in guarded()
        if {"PUT", "PATCH"} & set(route.methods or ()) and route.path in readable and not gate.versioned
    }
    assert readable
    assert unversioned == set()
