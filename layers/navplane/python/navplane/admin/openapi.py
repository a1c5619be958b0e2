"""The description of the whole admin API, whichever function serves which part. `python -m` this module prints it."""

import json
import sys
from functools import cache
from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response

from navplane.admin import (
    api_keys,
    audit,
    contents,
    data_mode,
    health,
    ledger_jobs,
    limits,
    model_prices,
    organizations,
    price_overrides,
    problem,
    provider_keys,
    provider_settings,
    providers,
    receipts,
    requests,
    usage,
)
from navplane.admin.app import bare

router = APIRouter(tags=["description"])

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
    api_keys.router,
    provider_keys.router,
    provider_settings.router,
    limits.router,
    price_overrides.router,
    ledger_jobs.router,
    model_prices.router,
    data_mode.router,
    contents.router,
    requests.router,
    usage.router,
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
    described_problem = problem.Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(described_problem.pop("$defs"), Problem=described_problem)
    return described


def _drop_validation_errors(paths: dict[str, Any], schemas: dict[str, Any]) -> None:
    """FastAPI describes a shape of its own for parameters that can't be parsed; we answer 404 or a problem in its place."""
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    for operation in (operation for methods in paths.values() for operation in methods.values()):
        if "application/json" in operation["responses"].get("422", {}).get("content", {}):
            del operation["responses"]["422"]


if __name__ == "__main__":
    sys.stdout.write(rendered())
