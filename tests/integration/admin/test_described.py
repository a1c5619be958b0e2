"""What the API's description says holds: Schemathesis calls operation after operation with what may be sent and what may not.

DESCRIBED_SECONDS bounds the run, DESCRIBED_EXAMPLES the calls of an operation in each of its turns, DESCRIBED_SEED is theirs.
"""

import json
import os
from dataclasses import replace
from typing import Any

import pytest
import schemathesis
from fastapi import FastAPI
from navplane.admin.access import Access
from navplane.admin.app import create
from navplane.admin.openapi import ROUTERS
from navplane.admin.plane import Plane
from navplane.crypto.token import TokenVerifier
from navplane_cli.serve_app import ANALYTICS, App, Receive, Scope, Send
from navplane_local.issuer import Issuer
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events, from_schema

from tests.support.postgres import TestDatabase

SECONDS = int(os.environ.get("DESCRIBED_SECONDS", "25"))
EXAMPLES = int(os.environ.get("DESCRIBED_EXAMPLES", "2"))
SEED = int(os.environ.get("DESCRIBED_SEED", "1"))
# A refusal of what the schema allows: a cursor that no list answered with, an end before its beginning, an idempotency key that
# was used for something else. No schema says such a thing, and the operations document these answers.
REFUSED_BY_MEANING = ["2xx", "3xx", "400", "401", "403", "404", "409", "410", "412", "422"]
# HTTP lets anybody send any further header, the ids below are put in whatever was meant to be sent, one organization is not the
# one that was made, and a member may be called `change`.
NO_VIOLATION = (
    "in header - object with unexpected properties",
    "Invalid component: parameter `org_id` in path",
    "Invalid component: parameter `user_id` in path",
    "DELETE /admin/orgs/{org_id}: ensure_resource_availability",
    "/members/change: unsupported_method: Wrong response to undeclared method: Unsupported method DELETE returned 404",
    "POST /admin/orgs/{org_id}/members/change: allow_header_conformance",
)
LEAST_CALLS = 100


@pytest.fixture
def whole(app: FastAPI, plane: Plane, issuer: Issuer, module_database: TestDatabase) -> App:
    """All operations, each under the database role that it has where it is deployed."""
    reader = module_database.as_role("navplane_reader")
    access = Access(
        TokenVerifier(issuer.url, "navplane"),
        database=reader,
        admin_subjects=frozenset({"local|admin"}),
        records_users=False,
    )
    analytics = create(title="test", routers=ROUTERS, plane=replace(plane, database=reader, access=access))

    async def chosen(scope: Scope, receive: Receive, send: Send) -> None:
        reads = scope["type"] == "http" and ANALYTICS.fullmatch(scope["path"])
        await (analytics if reads else app)(scope, receive, send)

    return chosen


def configured(issuer: Issuer, org_id: str, app: App) -> Any:
    config = SchemathesisConfig.from_dict(
        {
            "max-time": SECONDS,
            "seed": SEED,
            "continue-on-failure": True,
            "auth": {"openapi": {"access_token": {"bearer": issuer.mint("local|admin")}}},
            # All find the organization, but for what would take it away.
            "parameters": {"path.org_id": org_id},
            "operations": [
                {"include-name": "DELETE /admin/orgs/{org_id}", "parameters": NOWHERE},
                {"include-path": "/admin/orgs/{org_id}/shred", "parameters": NOWHERE},
                # Nor does anybody here lock themselves out.
                {"include-path-regex": "^/admin/users/{user_id}", "parameters": NOBODY},
            ],
            "generation": {"max-examples": EXAMPLES, "database": "none", "no-shrink": True},
            "checks": {"positive_data_acceptance": {"expected-statuses": REFUSED_BY_MEANING}},
        }
    )
    return schemathesis.openapi.from_asgi("/admin/openapi.json", app, config=config)


NOWHERE = {"path.org_id": "00000000-0000-4000-8000-000000000000"}
NOBODY = {"path.user_id": "00000000-0000-4000-8000-000000000000"}


def failures_of(event: events.ScenarioFinished) -> list[str]:
    """Which check failed, of which operation, and why."""
    found = []
    for case_id, checks in event.recorder.checks.items():
        for check in checks:
            if check.failure_info is not None:
                failure, operation = check.failure_info.failure, event.recorder.cases[case_id].value.operation.label
                found.append(f"{operation}: {check.name}: {failure.title}: {failure.message}")
    return [failure for failure in found if not any(text in failure for text in NO_VIOLATION)]


def test_every_operation_answers_as_it_is_described(
    whole: App, issuer: Issuer, organization: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    calls, failures, statuses, reached, broken = 0, set[str](), set[int](), set[str](), []
    schema = configured(issuer, organization["id"], whole)
    for event in from_schema(schema).execute():
        if isinstance(event, events.FatalError | events.NonFatalError):
            broken.append(event)
        if isinstance(event, events.ScenarioFinished):
            calls += len(event.recorder.interactions)
            answers = [interaction.response for interaction in event.recorder.interactions.values()]
            statuses |= {answer.status_code for answer in answers if answer is not None}
            failures |= set(failures_of(event))
            reached |= {case.value.operation.label for case in event.recorder.cases.values()}
    counts = {"calls": calls, "operations": len(reached), "statuses": sorted(statuses), "failed": len(failures)}
    with capsys.disabled():
        print(json.dumps({"harness": "described", "seed": SEED, **counts}))
    assert sorted(failures) == []
    assert broken == []
    assert calls >= LEAST_CALLS
    # It went beyond being refused: things were made, changed and taken away.
    assert {200, 201, 204, 401, 404, 422} <= statuses
