"""From the real template to what runs locally, and what the local cloud refuses."""

from pathlib import Path

import pytest
from navplane.store.bootstrap import LOGIN_ROLES
from navplane_local import stack_builder, template
from navplane_local.cloud import ROOT
from navplane_local.local_values import LocalValues
from navplane_local.stack import Function, Schedule, SqsSource, Stack
from navplane_local.template import TemplateError

AWS = "http://127.0.0.1:4566"
VALUES = LocalValues(
    base_url="http://127.0.0.1:8787",
    database={"DATABASE_HOST": "/socket", "DATABASE_PORT": "5432", "DATABASE_NAME": "navplane"},
    aws={"AWS_ENDPOINT_URL": AWS},
    issuer_url="http://127.0.0.1:1",
    demo_upstream_url="http://127.0.0.1:2",
    lambda_url="http://127.0.0.1:5",
    kek_provider="local",
    mail_outbox="/state/mail",
    api_key_prefixes="np_",
    admin_calls_per_minute=100,
    overrides={"openai": "http://127.0.0.1:3"},
    passwords={role: f"{role.removeprefix('navplane_')}-password" for role in LOGIN_ROLES},
    kek="the-kek",
    console_session_key="the-console-session-key-of-this-test",
)


@pytest.fixture(scope="module")
def stack() -> Stack:
    document = template.load(ROOT / "template.yaml")
    return stack_builder.build(document, root=ROOT, aws_endpoint=AWS, parameters=VALUES.parameters())


def variables(function: Function) -> dict[str, str]:
    return {**function.environment, **VALUES.variables(function)}


def test_every_function_has_its_folder_and_layers_in_this_checkout(stack: Stack) -> None:
    for function in stack.functions.values():
        assert (function.folder / "handler.py").is_file()
        assert ROOT / "layers/navplane/python" in function.layers


def test_proxy_streams_and_the_others_do_not(stack: Stack) -> None:
    streaming = {name for name, function in stack.functions.items() if function.function_url_streams}
    assert streaming == {"ProxyFunction"}
    assert {route.streaming for route in stack.routes if route.function == "ProxyFunction"} == {True}


def test_event_sources_are_those_of_the_template(stack: Stack) -> None:
    assert stack.functions["RequestLogWriterFunction"].sources == (
        SqsSource(queue="UsageQueue", batch_size=500, window_seconds=1.0, reports_item_failures=True, concurrency=5),
    )
    assert stack.functions["MaintenanceFunction"].schedules == (Schedule(name="EveryMinute", every_seconds=60, input=None),)
    assert stack.queues["UsageQueue"].dead_letter_queue == "UsageDeadLetterQueue"


def test_a_function_knows_its_own_role_and_no_secret_it_has_no_use_for(stack: Stack) -> None:
    for function in stack.functions.values():
        seen = variables(function)
        assert ("the-console-session-key-of-this-test" in seen.values()) is (function.logical_id == "ConsoleFunction")
        if function.logical_id == "ConsoleFunction":
            assert not [name for name in seen if name.startswith("DATABASE_")]
            continue
        role = seen["DATABASE_USER"].removeprefix("navplane_")
        assert seen["DATABASE_PASSWORD"] == f"{role}-password"
        assert [value for value in seen.values() if value.endswith("-password")] == [f"{role}-password"]
        with_kek = function.logical_id in (
            "ProxyFunction",
            "AdminProviderKeysFunction",
            "AuditSignFunction",
            "ProviderProbeFunction",
            "NotifierFunction",
            "RewrapKeysFunction",
        )
        assert ("the-kek" in seen.values()) is with_kek
        with_upstream = function.logical_id in ("ProxyFunction", "AdminProviderKeysFunction", "ProviderProbeFunction")
        assert (seen.get("NAVPLANE_UPSTREAM_OVERRIDE_OPENAI") == "http://127.0.0.1:3") is with_upstream


def build(resources: str) -> Stack:
    return stack_builder.build(template.parse("Resources:\n" + resources), root=Path("/x"), aws_endpoint=AWS, parameters={})


FUNCTION = "  F:\n    Type: AWS::Serverless::Function\n    Properties: {CodeUri: f, Handler: h.h, "


@pytest.mark.parametrize(
    ("properties", "path"),
    [
        ("Environment: {Variables: {A: !Ref Nowhere}}}", "Resources.F.Properties.Environment.Variables.A.Ref"),
        ("Environment: {Variables: {A: [1]}}}", "Resources.F.Properties.Environment.Variables.A"),
        ("Layers: [!Ref Nowhere]}", "Resources.F.Properties.Layers[0].Ref"),
        ("Layers: ['arn:aws:lambda:x']}", "Resources.F.Properties.Layers"),
        ("Events: {E: {Type: Kinesis}}}", "Resources.F.Properties.Events.E.Type"),
        (
            "Events: {E: {Type: Schedule, Properties: {Schedule: cron(0 9 * * ? *)}}}}",
            "Resources.F.Properties.Events.E.Properties.Schedule",
        ),
        ("Events: {E: {Type: SQS, Properties: {Queue: 'arn:x'}}}}", "Resources.F.Properties.Events.E.Properties.Queue"),
    ],
)
def test_what_cannot_run_locally_is_an_error_that_names_its_path(properties: str, path: str) -> None:
    with pytest.raises(TemplateError) as raised:
        build(FUNCTION + properties)
    assert raised.value.path == path


def test_resource_whose_condition_does_not_hold_is_not_there() -> None:
    text = "  Q: {Type: AWS::SQS::Queue, Condition: Never}\nConditions: {Never: !Equals [a, b]}\n"
    assert build(text).queues == {}


def test_text_that_is_no_template_is_refused() -> None:
    for text in ("a: [", "[]", "a: 1"):
        with pytest.raises(TemplateError, match=r"^template\.yaml: "):
            template.parse(text)
