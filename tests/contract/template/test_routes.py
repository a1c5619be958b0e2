"""Which function answers which admin route, and that each route may invoke its function."""

import ast
import json
from collections.abc import Iterator
from importlib import import_module

import pytest
from fastapi.routing import APIRoute

from tests.contract.template.cloudformation import FUNCTIONS, ROOT, Template, functions, of_type

ORG = "/admin/orgs/{org_id}"
ROUTES = {
    "AdminTenancyFunction": {
        "get /admin/orgs", "post /admin/orgs", f"get {ORG}", f"put {ORG}", f"delete {ORG}",
        f"put {ORG}/enabled", f"post {ORG}/rotate-key", f"post {ORG}/shred", f"get {ORG}/shredding-certificate",
        "get /admin/openapi.json", "any /admin/{proxy+}",
        f"get {ORG}/api-keys", f"post {ORG}/api-keys", f"get {ORG}/api-keys/{{key_id}}", f"put {ORG}/api-keys/{{key_id}}",
        f"delete {ORG}/api-keys/{{key_id}}", f"post {ORG}/api-keys/{{key_id}}/rotate",
        f"get {ORG}/workspaces",
        f"post {ORG}/workspaces",
        f"get {ORG}/workspaces/{{workspace_id}}",
        f"put {ORG}/workspaces/{{workspace_id}}",
        f"delete {ORG}/workspaces/{{workspace_id}}",
        f"get {ORG}/members",
        f"post {ORG}/members/change",
        f"delete {ORG}/members/{{user_id}}",
        f"get {ORG}/members/{{user_id}}/roles",
        f"put {ORG}/members/{{user_id}}/roles",
        f"get {ORG}/service-keys",
        f"post {ORG}/service-keys",
        f"delete {ORG}/service-keys/{{key_id}}",
        "get /admin/users",
        "put /admin/users/{user_id}/active",
        "post /admin/users/{user_id}/revoke-tokens",
        f"get {ORG}/invitations",
        f"post {ORG}/invitations",
        f"delete {ORG}/invitations/{{invitation_id}}",
        f"post {ORG}/invitations/{{invitation_id}}/resend",
        "post /admin/invitations/accept",
        f"get {ORG}/requests/{{request_id}}/content",
        f"get {ORG}/workspaces/{{workspace_id}}/data-mode", f"put {ORG}/workspaces/{{workspace_id}}/data-mode",
    },
    "AdminPoliciesFunction": {
        "get /providers", f"get {ORG}/provider-settings", f"put {ORG}/provider-settings",
        f"get {ORG}/limits", f"post {ORG}/limits", f"get {ORG}/limits/{{limit_id}}", f"put {ORG}/limits/{{limit_id}}",
        f"delete {ORG}/limits/{{limit_id}}",
        f"get {ORG}/policies", f"post {ORG}/policies", f"get {ORG}/policies/{{policy_id}}", f"put {ORG}/policies/{{policy_id}}",
        f"delete {ORG}/policies/{{policy_id}}",
        f"get {ORG}/workflows",
        f"post {ORG}/workflows",
        f"get {ORG}/workflows/{{workflow_id}}",
        f"post {ORG}/workflows/{{workflow_id}}/withdraw",
        f"get {ORG}/workflows/{{workflow_id}}/versions",
        f"post {ORG}/workflows/{{workflow_id}}/versions",
        f"get {ORG}/workflows/{{workflow_id}}/versions/{{number}}",
        f"put {ORG}/workflows/{{workflow_id}}/versions/{{number}}",
        f"post {ORG}/workflows/{{workflow_id}}/versions/{{number}}/submit",
        f"post {ORG}/workflows/{{workflow_id}}/versions/{{number}}/approve",
        f"post {ORG}/workflows/{{workflow_id}}/versions/{{number}}/reject",
        f"post {ORG}/workflows/{{workflow_id}}/versions/{{number}}/publish",
        f"get {ORG}/workflows/{{workflow_id}}/diff",
        f"get {ORG}/workflows/{{workflow_id}}/versions/{{number}}/runs",
        f"post {ORG}/workflows/{{workflow_id}}/versions/{{number}}/rollback",
        f"post {ORG}/workflows/{{workflow_id}}/versions/{{number}}/simulate",
        f"get {ORG}/routes", f"post {ORG}/routes", f"get {ORG}/routes/{{route_id}}", f"put {ORG}/routes/{{route_id}}",
        f"delete {ORG}/routes/{{route_id}}",
        f"get {ORG}/alerts",
        f"post {ORG}/alerts",
        f"get {ORG}/alerts/{{alert_id}}",
        f"put {ORG}/alerts/{{alert_id}}",
        f"delete {ORG}/alerts/{{alert_id}}",
        f"get {ORG}/notifications",
        f"post {ORG}/notifications/{{notification_id}}/read",
        "get /admin/limits", "post /admin/limits", "put /admin/limits/{limit_id}", "delete /admin/limits/{limit_id}",
        "get /admin/model-prices", f"get {ORG}/ledger-jobs", f"post {ORG}/ledger-jobs", f"get {ORG}/ledger-jobs/{{job_id}}",
        f"get {ORG}/export-jobs", f"post {ORG}/export-jobs", f"get {ORG}/export-jobs/{{job_id}}",
        f"delete {ORG}/export-jobs/{{job_id}}",
        f"get {ORG}/price-overrides", f"post {ORG}/price-overrides", f"get {ORG}/price-overrides/{{override_id}}",
        f"put {ORG}/price-overrides/{{override_id}}", f"delete {ORG}/price-overrides/{{override_id}}",
    },
    "AdminProviderKeysFunction": {
        f"get {ORG}/provider-keys", f"post {ORG}/provider-keys", f"delete {ORG}/provider-keys/{{key_id}}",
        f"get {ORG}/provider-keys/{{key_id}}", f"put {ORG}/provider-keys/{{key_id}}",
        f"post {ORG}/provider-keys/{{key_id}}/rotate",
        f"post {ORG}/provider-keys/{{key_id}}/test",
        f"get {ORG}/alert-destinations",
        f"post {ORG}/alert-destinations",
        f"get {ORG}/alert-destinations/{{destination_id}}",
        f"put {ORG}/alert-destinations/{{destination_id}}",
        f"delete {ORG}/alert-destinations/{{destination_id}}",
        f"post {ORG}/alert-destinations/{{destination_id}}/test",
        f"get {ORG}/alert-destinations/{{destination_id}}/deliveries",
        "get /admin/alert-destinations",
        "post /admin/alert-destinations",
        "get /admin/alert-destinations/{destination_id}",
        "put /admin/alert-destinations/{destination_id}",
        "delete /admin/alert-destinations/{destination_id}",
        "post /admin/alert-destinations/{destination_id}/test",
        "get /admin/alert-destinations/{destination_id}/deliveries",
        "get /admin/notifications",
        f"get {ORG}/reconciliation",
        f"get {ORG}/reconciliation/keys",
        f"post {ORG}/reconciliation/keys",
        f"delete {ORG}/reconciliation/keys/{{provider}}",
        f"post {ORG}/reconciliation/runs",
        "get /health", "get /ready",
    },
    "AdminAnalyticsFunction": {
        f"get {ORG}/requests", f"get {ORG}/usage/summary", f"get {ORG}/usage/breakdown", f"get {ORG}/usage/timeseries",
        f"get {ORG}/requests/{{request_id}}",
        f"get {ORG}/exports/requests", f"get {ORG}/exports/usage", f"get {ORG}/exports/focus",
        f"get {ORG}/export-jobs/{{job_id}}/parts/{{number}}",
        "get /admin/usage/requests", "get /admin/usage/budgets", "get /admin/usage/exports/requests",
        "get /admin/usage/exports/usage", "get /admin/usage/exports/focus",
        f"get {ORG}/usage/top", "get /admin/usage/summary", "get /admin/usage/breakdown", "get /admin/usage/timeseries",
        "get /admin/usage/top", f"get {ORG}/budgets",
        f"get {ORG}/audit", f"get {ORG}/audit/export", "get /admin/audit/recent", "get /admin/audit/keys",
        "get /admin/audit/export",
        "get /v1/receipts/{request_id}",
    },
}  # fmt: skip


def routes(template: Template) -> Iterator[tuple[str, str]]:
    """(function, "method path") of every route of the admin API."""
    for path, methods in of_type(template, "AWS::ApiGatewayV2::Api")["AdminApi"]["Body"]["paths"].items():
        for method, operation in methods.items():
            integration = operation["x-amazon-apigateway-integration"]
            assert integration["payloadFormatVersion"] == "2.0"
            function = integration["uri"]["Fn::Sub"].rpartition("${")[2].removesuffix(".Arn}/invocations")
            yield function, f"{method.removeprefix('x-amazon-apigateway-').removesuffix('-method')} {path}"


def test_the_admin_api_has_exactly_the_documented_routes(template: Template) -> None:
    found: dict[str, set[str]] = {}
    for function, route in routes(template):
        found.setdefault(function, set()).add(route)
    assert found == ROUTES


def served(folder: str) -> Iterator[str]:
    """What the routers that a handler names can answer."""
    for node in ast.walk(ast.parse((ROOT / "functions" / folder / "handler.py").read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and node.attr == "router" and isinstance(node.value, ast.Name):
            for route in import_module(f"navplane.admin.{node.value.id}").router.routes:
                assert isinstance(route, APIRoute)
                yield from (f"{method.lower()} {route.path}" for method in route.methods or ())


@pytest.mark.parametrize("function", ROUTES)
def test_every_route_leads_to_the_function_whose_code_answers_it(function: str) -> None:
    assert set(served(FUNCTIONS[function])) == {route for route in ROUTES[function] if not route.startswith("any ")}


def test_the_console_has_an_api_of_its_own(template: Template) -> None:
    paths = of_type(template, "AWS::ApiGatewayV2::Api")["ConsoleApi"]["Body"]["paths"]
    assert {path: list(methods) for path, methods in paths.items()} == {
        "/console": ["get"],
        "/console/{proxy+}": ["x-amazon-apigateway-any-method"],
    }
    assert "ConsoleFunction" in json.dumps(paths)
    assert functions(template)["ConsoleFunction"]["Timeout"] < 30


def test_every_route_may_invoke_its_function(template: Template) -> None:
    granted = [
        permission["FunctionName"]["Ref"]
        for permission in of_type(template, "AWS::Lambda::Permission").values()
        if permission["Principal"] == "apigateway.amazonaws.com" and permission["FunctionName"]["Ref"] in ROUTES
    ]
    assert sorted(granted) == sorted(function for function, _ in routes(template))


def test_admin_functions_end_before_the_api_gives_up(template: Template) -> None:
    assert all(functions(template)[function]["Timeout"] < 30 for function in ROUTES)


def test_what_runs_every_minute_ends_within_it(template: Template) -> None:
    scheduled = {
        rule["Targets"][0]["Arn"]["Fn::GetAtt"][0]: rule["ScheduleExpression"]
        for rule in of_type(template, "AWS::Events::Rule").values()
    }
    every_minute = {function for function, rate in scheduled.items() if rate == "rate(1 minute)"}
    assert {"MaintenanceFunction", "AuditSignFunction"} <= every_minute
    assert all(functions(template)[function]["Timeout"] < 60 for function in every_minute)
