"""The four functions' own handlers, driven with API Gateway's events under the database roles of the template."""

import asyncio
import importlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from navplane_local.issuer import Issuer

from tests.support.http_script import ScriptedServer
from tests.support.moto_server import aws_environment, moto_server
from tests.support.postgres import TestDatabase

EVENTS = Path(__file__).parents[2] / "events"
Handle = Callable[[dict[str, Any]], tuple[int, Any]]
ROLES = {
    "admin_tenancy": "navplane_admin",
    "admin_policies": "navplane_admin",
    "admin_provider_keys": "navplane_admin",
    "admin_analytics": "navplane_reader",
}


@pytest.fixture(scope="module")
def aws() -> Iterator[str]:
    with moto_server() as endpoint:
        yield endpoint


@pytest.fixture
def environment(
    aws: str, issuer: Issuer, provider: ScriptedServer, module_database: TestDatabase, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], None]:
    import boto3

    def enter(function: str) -> None:
        values = {
            **aws_environment(aws),
            **module_database.settings(ROLES[function]),
            "NAVPLANE_MODE": "local",
            "OIDC_ISSUER": issuer.url,
            "OIDC_AUDIENCE": "navplane",
            "PLATFORM_ADMIN_SUBJECTS": "local|admin",
            "API_KEY_PREFIXES": "lc_,np_",
            "ADMIN_READS_PER_MINUTE": "1000",
            "ADMIN_WRITES_PER_MINUTE": "1000",
            "KEK_PROVIDER": "aws_kms",
            "PROVIDER_PROBE_FUNCTION": "provider-probe",
            "NAVPLANE_UPSTREAM_OVERRIDE_OPENAI": provider.url,
        }
        for name, value in values.items():
            monkeypatch.setenv(name, value)
        session = boto3.session.Session()
        monkeypatch.setenv("KMS_KEY_ID", session.client("kms").create_key()["KeyMetadata"]["Arn"])
        monkeypatch.setenv("QUEUE_URL", session.client("sqs").create_queue(QueueName="usage")["QueueUrl"])

    return enter


@pytest.fixture
def loop() -> Iterator[None]:
    """Mangum uses the thread's event loop and never closes it: on Lambda the process is its only user."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield
    asyncio.set_event_loop(None)
    loop.close()


@pytest.fixture
def function(environment: Callable[[str], None], loop: None) -> Iterator[Callable[[str], Handle]]:
    loaded = []

    def load(name: str) -> Handle:
        environment(name)
        module = importlib.import_module(f"functions.{name}.handler")
        loaded.append(module)

        def handle(event: dict[str, Any]) -> tuple[int, Any]:
            answer = module.handler(event, None)
            assert answer["isBase64Encoded"] is False
            return answer["statusCode"], json.loads(answer["body"]) if answer["body"] else None

        return handle

    yield load
    for module in loaded:
        module.app.state.plane.database.close()
        del sys.modules[module.__name__]


def event(issuer: Issuer, method: str, path: str, body: object = None) -> dict[str, Any]:
    """HTTP API v2, as API Gateway sends it; the committed event gives everything that does not matter here."""
    made: dict[str, Any] = json.loads((EVENTS / "admin-orgs-list.json").read_text())
    made["rawPath"], made["rawQueryString"] = path, ""
    made["headers"] |= {"authorization": f"Bearer {issuer.mint('local|admin')}", "content-type": "application/json"}
    made["requestContext"]["http"] |= {"method": method, "path": path}
    made.pop("body", None)
    return made if body is None else {**made, "body": json.dumps(body), "isBase64Encoded": False}


def test_the_functions_serve_one_organization_together(function: Callable[[str], Handle], issuer: Issuer) -> None:
    tenancy = function("admin_tenancy")
    status, created = tenancy(event(issuer, "POST", "/admin/orgs", {"name": "Acme"}))
    assert status == 201
    assert created["api_key"].startswith("lc_")
    path = f"/admin/orgs/{created['id']}"
    keys = function("admin_provider_keys")
    new_key = {"provider": "openai", "label": "x", "api_key": "sk-live-12345678"}
    assert keys(event(issuer, "POST", f"{path}/provider-keys", new_key))[0] == 201
    policies = function("admin_policies")
    assert policies(event(issuer, "GET", f"{path}/provider-settings"))[0] == 200
    assert policies(event(issuer, "GET", "/providers"))[0] == 200
    analytics = function("admin_analytics")
    status, requests = analytics(event(issuer, "GET", f"{path}/requests"))
    assert (status, requests["items"]) == (200, [])
    assert tenancy(event(issuer, "DELETE", path)) == (204, None)
    assert tenancy(event(issuer, "GET", path))[0] == 404


def test_ready_asks_the_database_the_kek_and_the_queue(function: Callable[[str], Handle], issuer: Issuer) -> None:
    status, body = function("admin_provider_keys")(event(issuer, "GET", "/ready"))
    assert (status, body["dependencies"]) == (200, {"database": "up", "kek": "up", "queue": "up"})


def test_the_merged_description_comes_from_admin_tenancy(function: Callable[[str], Handle], issuer: Issuer) -> None:
    status, body = function("admin_tenancy")(event(issuer, "GET", "/admin/openapi.json"))
    assert status == 200
    assert "/admin/orgs/{org_id}/requests" in body["paths"]


@pytest.mark.parametrize("name", ROLES)
def test_a_path_of_another_function_is_a_404_problem(function: Callable[[str], Handle], issuer: Issuer, name: str) -> None:
    status, body = function(name)(event(issuer, "GET", "/admin/nowhere"))
    assert (status, body["code"]) == (404, "unknown_endpoint")
