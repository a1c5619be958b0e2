"""Every function of the template as it is built, on the emulator, with an interpreter that has nothing but its layers."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
from navplane.model.ids import new_id
from navplane_local import invoke
from navplane_local.emulator import Result, binary, emulated
from navplane_local.invoke import ROOT

from tests.support.moto_server import aws_environment, moto_server
from tests.support.oidc import issuing
from tests.support.postgres import TestDatabase

EVENTS = ROOT / "tests" / "events"
AUDIENCE = "navplane"
FUNCTIONS = invoke.functions()
Invoke = Callable[[str, Mapping[str, Any]], Result]

# Which event shows that a function works, and by which status; the rest of what it does is tested elsewhere.
HTTP_CASES = [
    ("proxy", "proxy-health.json", 200),
    ("proxy", "proxy-chat.json", 401),
    ("proxy", "proxy-rest-v1.json", 401),
    ("admin_tenancy", "admin-orgs-list.json", 200),
    ("admin_tenancy", "admin-openapi.json", 200),
    ("admin_policies", "admin-providers.json", 200),
    ("admin_provider_keys", "admin-health.json", 200),
    ("admin_provider_keys", "admin-ready.json", 200),
    ("admin_analytics", "admin-requests.json", 404),
    ("console", "console-home.json", 200),
    ("console", "console-sign-in.json", 303),
]
OTHERS = {"request_log_writer", "maintenance", "migrate", "audit_sign", "rewrap_keys", "provider_probe", "notifier"}


def event(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((EVENTS / name).read_text())
    return document


class Cloud:
    """What the functions find around them: a database, queues and an issuer."""

    def __init__(self, database: TestDatabase, endpoint: str, issuer: str, log: Path) -> None:
        self.sqs = boto3.Session("x", "x", region_name="us-east-1").client("sqs", endpoint_url=endpoint)
        self.queue_url = self.sqs.create_queue(QueueName="usage")["QueueUrl"]
        self.dead_letters_url = self.sqs.create_queue(QueueName="dead-letters")["QueueUrl"]
        self._database = database
        self._log = log
        self._given = {
            **aws_environment(endpoint),
            "QUEUE_URL": self.queue_url,
            "DEAD_LETTER_QUEUE_URL": self.dead_letters_url,
            "OIDC_ISSUER": issuer,
            "OIDC_AUDIENCE": AUDIENCE,
            "PLATFORM_ADMIN_SUBJECTS": "local|admin",
        }

    def invoke(self, name: str, document: Mapping[str, Any]) -> Result:
        function = FUNCTIONS[name]
        user = function.environment.get("DATABASE_USER")
        given = self._given | (self._database.settings(user) if user else {})
        return run(name, document, given, self._log)


def run(name: str, document: Mapping[str, Any], given: Mapping[str, str], log: Path) -> Result:
    function = FUNCTIONS[name]
    variables = invoke.variables_of(function, ROOT / ".build" / "host", given)
    with (
        log.open("ab") as output,
        emulated(binary(ROOT), bootstrap=invoke.runtime(), variables=variables, timeout_seconds=20, log=output) as emulator,
    ):
        return emulator.invoke(json.dumps(document).encode())


@contextmanager
def cloud_with(database: TestDatabase, log: Path) -> Iterator[tuple[Cloud, str]]:
    with moto_server() as endpoint, issuing() as (issuer, server):
        token = issuer.mint("local|admin", audience=AUDIENCE)
        yield Cloud(database, endpoint, server.url, log), token


@pytest.fixture(scope="module")
def cloud(
    module_database: TestDatabase, host_build: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Cloud, str]]:
    with cloud_with(module_database, tmp_path_factory.mktemp("log") / "log") as made:
        yield made


def test_every_function_of_the_template_has_a_case() -> None:
    assert {name for name, _, _ in HTTP_CASES} | OTHERS == FUNCTIONS.keys()


@pytest.mark.parametrize(("name", "file", "status"), HTTP_CASES)
def test_function_answers_its_event(cloud: tuple[Cloud, str], name: str, file: str, status: int) -> None:
    around, token = cloud
    document = event(file)
    if name.startswith("admin_"):
        document["headers"]["authorization"] = f"Bearer {token}"
    result = around.invoke(name, document)
    assert result.error is None, result.error
    assert result.document["statusCode"] == status, invoke.show(result)


def test_console_sends_to_the_issuer_with_a_cookie_that_only_its_host_can_set(cloud: tuple[Cloud, str]) -> None:
    around, _ = cloud
    result = around.invoke("console", event("console-sign-in.json"))
    assert "client_id=navplane-console" in result.document["headers"]["location"]
    (cookie,) = result.document["cookies"]
    assert cookie.startswith("__Host-navplane-attempt=")
    assert {"HttpOnly", "Secure", "Path=/", "SameSite=lax"} <= set(cookie.split("; "))


def test_proxy_refuses_an_unknown_key_in_the_callers_dialect(cloud: tuple[Cloud, str]) -> None:
    around, _ = cloud
    openai = json.loads(invoke.body_of(around.invoke("proxy", event("proxy-chat.json"))))
    anthropic = json.loads(invoke.body_of(around.invoke("proxy", event("proxy-rest-v1.json"))))
    assert openai["error"]["code"] == "invalid_api_key"
    assert anthropic["type"] == "error"
    assert anthropic["error"]["type"] == "authentication_error"


def test_proxy_blames_a_missing_database_on_nobody(host_build: Path, tmp_path: Path) -> None:
    result = run("proxy", event("proxy-chat.json"), {}, tmp_path / "log")
    assert result.document["statusCode"] == 503


def test_writer_records_what_it_can_and_buries_the_rest(cloud: tuple[Cloud, str]) -> None:
    around, _ = cloud
    document = event("sqs-usage-events.json")
    sound = document["Records"][0]
    sound["body"] = json.dumps(json.loads(sound["body"]) | {"request_id": str(new_id())})
    result = around.invoke("request_log_writer", document)
    assert result.document == {"batchItemFailures": []}
    received = around.sqs.receive_message(QueueUrl=around.dead_letters_url, MaxNumberOfMessages=10)["Messages"]
    assert document["Records"][1]["body"] in [message["Body"] for message in received]


def test_maintenance_says_what_it_did(cloud: tuple[Cloud, str]) -> None:
    around, _ = cloud
    result = around.invoke("maintenance", event("maintenance-schedule.json"))
    assert result.error is None, result.error
    assert all(isinstance(count, int) for count in result.document.values())


def test_migrate_has_nothing_to_do_on_a_migrated_database(cloud: tuple[Cloud, str]) -> None:
    around, _ = cloud
    result = around.invoke("migrate", event("migrate.json"))
    assert result.error is None, result.error
    assert result.document["applied"] == []
    assert result.document["schema_version"]


def test_audit_sign_signs_what_there_is(cloud: tuple[Cloud, str]) -> None:
    around, _ = cloud
    result = around.invoke("audit_sign", event("maintenance-schedule.json"))
    assert result.error is None, result.error
    assert result.document == {"certificates_signed": 0, "heads_signed": 0}


def test_rewrap_keys_refuses_to_begin_without_a_new_key(cloud: tuple[Cloud, str]) -> None:
    around, _ = cloud
    result = around.invoke("rewrap_keys", event("maintenance-schedule.json"))
    assert result.error is not None
    assert "ENCRYPTION_KEY_NEW" in str(result.error)


def test_provider_probe_knows_no_key_that_is_not_there(cloud: tuple[Cloud, str]) -> None:
    around, _ = cloud
    result = around.invoke("provider_probe", event("provider-probe-test.json"))
    assert result.error is None, result.error
    assert result.document == {"result": None}


def test_notifier_has_nothing_to_send(cloud: tuple[Cloud, str]) -> None:
    around, _ = cloud
    result = around.invoke("notifier", event("maintenance-schedule.json"))
    assert result.error is None, result.error
    assert result.document == {"deliveries_tried": 0, "deliveries_forgotten": 0}
