"""The description of the whole admin API, whichever function serves which part. `python -m` this module prints it."""

import json
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response
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
    organizations,
    platform_alerts,
    platform_limits,
    platform_requests,
    platform_usage,
    policies,
    price_overrides,
    problem,
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
from navplane.admin.access import Require
from navplane.admin.app import bare

router = APIRouter(tags=["description"])

IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "With the same key and the same request it happens once, and the first answer is repeated for 24 "
    "hours, with `Idempotent-Replayed: true`. The answer is sealed with the key: a UUID is best.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
}
IF_MATCH = {
    "name": "If-Match",
    "in": "header",
    "required": False,
    "description": "The `ETag` of what was read: the change is refused if somebody else changed it meanwhile.",
    "schema": {"type": "string"},
}

TITLE = "NavPlane admin API"
DESCRIPTION = """Everything but `/health`, `/ready` and this document needs an access token of the configured OIDC issuer; a
receipt needs an API key instead.
Errors are problem documents (RFC 9457); `code` is stable. Lists are newest first, `next_cursor` is null on the last page.
A body with a field that is not described here is refused."""


@router.get(
    "/admin/openapi.json",
    summary="This document",
    response_class=Response,
    responses={200: {"content": {"application/json": {}}}},
)
async def openapi_document() -> Response:
    return Response(rendered(), media_type="application/json")


ROUTERS = (
    organizations.router,
    shredding.router,
    workspaces.router,
    members.router,
    invitations.router,
    acceptance.router,
    service_keys.router,
    users.router,
    api_keys.router,
    provider_keys.router,
    provider_key_changes.router,
    provider_key_tests.router,
    provider_settings.router,
    policies.router,
    routes.router,
    workflows.router,
    workflow_review.router,
    workflow_history.router,
    workflow_simulation.router,
    limits.router,
    platform_limits.router,
    price_overrides.router,
    ledger_jobs.router,
    model_prices.router,
    data_mode.router,
    contents.router,
    requests.router,
    request_detail.router,
    usage.router,
    exports.router,
    export_jobs.router,
    export_parts.router,
    budgets.router,
    alerts.router,
    notifications.router,
    alert_destinations.router,
    platform_alerts.router,
    reconciliation.router,
    platform_usage.router,
    platform_requests.router,
    audit.router,
    receipts.router,
    providers.router,
    health.router,
    router,
)


@cache
def rendered() -> str:
    return json.dumps(document(), indent=2) + "\n"


def document() -> dict[str, Any]:
    """OpenAPI 3.1. Needs no settings and asks nothing."""
    app = bare(title=TITLE, routers=ROUTERS)
    app.description = DESCRIPTION
    described = app.openapi()
    schemas = described["components"]["schemas"]
    _drop_validation_errors(described["paths"], schemas)
    for route, gate in guarded():
        for method in route.methods or ():
            operation = described["paths"][route.path][method.lower()]
            operation["x-navplane-permission"] = gate.permission.value
            _describe_conduct(operation, method, versioned=gate.versioned)
    described_problem = problem.Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(described_problem.pop("$defs"), Problem=described_problem)
    return described


def guarded(routers: Sequence[APIRouter] = ROUTERS) -> Iterator[tuple[APIRoute, Require]]:
    """The operations that need a token, each with what it asks for. Asked of the routers: an application that includes them
    keeps them whole, and shows no routes of theirs."""
    for route in (route for router in routers for route in router.routes):
        if isinstance(route, APIRoute):
            for dependency in route.dependant.dependencies:
                if isinstance(dependency.call, Require):
                    yield route, dependency.call


def _describe_conduct(operation: dict[str, Any], method: str, *, versioned: bool) -> None:
    """The headers that hold for every operation of a kind, and the refusals that come with them."""
    if method == "POST":
        _add(operation, IDEMPOTENCY_KEY, statuses=(400, 409))
    if versioned:
        _add(operation, IF_MATCH, statuses=(400, 412))


def _add(operation: dict[str, Any], header: dict[str, Any], *, statuses: Sequence[int]) -> None:
    operation.setdefault("parameters", []).append(header)
    described = problem.responses(*statuses)
    for status in statuses:
        operation["responses"].setdefault(str(status), described[status])
    operation["responses"] = dict(sorted(operation["responses"].items()))


def _drop_validation_errors(paths: dict[str, Any], schemas: dict[str, Any]) -> None:
    """FastAPI describes a shape of its own for parameters that can't be parsed; we answer 404 or a problem in its place."""
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    for operation in (operation for methods in paths.values() for operation in methods.values()):
        if "application/json" in operation["responses"].get("422", {}).get("content", {}):
            del operation["responses"]["422"]


if __name__ == "__main__":
    sys.stdout.write(rendered())
