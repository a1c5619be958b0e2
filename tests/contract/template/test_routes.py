"""Which function answers which admin route, and that each route may invoke its function."""

from collections.abc import Iterator

from tests.contract.template.cloudformation import Template, functions, of_type

ORG = "/admin/orgs/{org_id}"
ROUTES = {
    "AdminTenancyFunction": {
        "get /admin/orgs", "post /admin/orgs", f"get {ORG}", f"put {ORG}", f"delete {ORG}",
        f"put {ORG}/enabled", f"post {ORG}/rotate-key", "get /admin/openapi.json", "any /admin/{proxy+}",
    },
    "AdminPoliciesFunction": {"get /providers", f"get {ORG}/provider-settings", f"put {ORG}/provider-settings"},
    "AdminProviderKeysFunction": {
        f"get {ORG}/provider-keys", f"post {ORG}/provider-keys", f"delete {ORG}/provider-keys/{{key_id}}",
        "get /health", "get /ready",
    },
    "AdminAnalyticsFunction": {f"get {ORG}/requests"},
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


def test_every_route_may_invoke_its_function(template: Template) -> None:
    granted = [
        permission["FunctionName"]["Ref"]
        for permission in of_type(template, "AWS::Lambda::Permission").values()
        if permission["Principal"] == "apigateway.amazonaws.com" and permission["FunctionName"]["Ref"] in ROUTES
    ]
    assert sorted(granted) == sorted(function for function, _ in routes(template))


def test_admin_functions_end_before_the_api_gives_up(template: Template) -> None:
    assert all(functions(template)[function]["Timeout"] < 30 for function in ROUTES)


def test_maintenance_runs_every_minute_and_ends_within_it(template: Template) -> None:
    (rule,) = of_type(template, "AWS::Events::Rule").values()
    assert rule["ScheduleExpression"] == "rate(1 minute)"
    assert rule["Targets"][0]["Arn"] == {"Fn::GetAtt": ["MaintenanceFunction", "Arn"]}
    assert functions(template)["MaintenanceFunction"]["Timeout"] < 60
