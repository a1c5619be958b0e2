"""Answers leave the proxy as they are made, through the Function URL and through API Gateway alike."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.contract.template.cloudformation import SOURCE, Template, of_type, transform

ANY = "x-amazon-apigateway-any-method"


def integrations(template: Template) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in of_type(template, "AWS::ApiGateway::RestApi")["GatewayApi"]["Body"]["paths"].items():
        assert set(methods) == {ANY}
        yield path, methods[ANY]["x-amazon-apigateway-integration"]


def assert_streams(template: Template) -> None:
    for path, integration in integrations(template):
        assert integration.get("responseTransferMode") == "STREAM", path
        assert integration["uri"]["Fn::Sub"].endswith("${ProxyFunction.Arn}/response-streaming-invocations"), path


def test_every_route_of_the_gateway_is_a_streaming_integration_with_the_proxy(template: Template) -> None:
    assert {path for path, _ in integrations(template)} == {"/", "/{proxy+}"}
    assert_streams(template)


def test_the_gateway_waits_as_long_as_the_proxy_may_run(template: Template) -> None:
    for _, integration in integrations(template):
        assert integration["timeoutInMillis"] == of_type(template, "AWS::Lambda::Function")["ProxyFunction"]["Timeout"] * 1000


def test_the_gateway_is_regional_because_an_edge_endpoint_ends_idle_streams_after_30_seconds(template: Template) -> None:
    assert of_type(template, "AWS::ApiGateway::RestApi")["GatewayApi"]["EndpointConfiguration"] == {"Types": ["REGIONAL"]}


def test_the_function_url_streams_and_is_open_to_everybody(template: Template) -> None:
    (url,) = of_type(template, "AWS::Lambda::Url").values()
    assert url["TargetFunctionArn"] == {"Ref": "ProxyFunction"}
    assert (url["InvokeMode"], url["AuthType"]) == ("RESPONSE_STREAM", "NONE")
    public = [
        granted["Action"] for granted in of_type(template, "AWS::Lambda::Permission").values() if granted["Principal"] == "*"
    ]
    assert sorted(public) == ["lambda:InvokeFunction", "lambda:InvokeFunctionUrl"]


@pytest.mark.parametrize(
    "mutation",
    [("Mode: RESPONSE_STREAM\n            Timeout", "Mode: STREAM\n            Timeout"), ("ResponseTransferMode", "#")],
)
def test_the_assertion_notices_a_template_that_validates_but_buffers(mutation: tuple[str, str]) -> None:
    source = SOURCE.read_text(encoding="utf-8")
    assert source.count(mutation[0]) == 2
    with pytest.raises(AssertionError):
        assert_streams(transform(source.replace(*mutation)))
