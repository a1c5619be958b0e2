"""Asking another function, whose failures are never the caller's fault."""

import pytest
from navplane.errors import DependencyUnavailable
from navplane.model.ids import new_id
from navplane.model.probe import Awaited
from navplane.model.usage import Endpoint
from navplane.queue.function_call import FunctionProbe

from tests.support.http_script import Answer, serving
from tests.support.moto_server import aws_environment

ANSWERS = {
    "throttled": Answer(status=429, body=b'{"Type": "User", "message": "Rate Exceeded."}'),
    "forbidden": Answer(status=403, body=b'{"Type": "User", "message": "no"}'),
    "failed": Answer(headers={"x-amz-function-error": "Unhandled"}, body=b'{"errorType": "X", "errorMessage": "secret"}'),
    "no JSON": Answer(body=b"<html>"),
}


@pytest.mark.parametrize("case", ANSWERS)
def test_a_function_that_does_not_answer_is_unavailable(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(lambda request: ANSWERS[case]) as server:
        for name, value in aws_environment(server.url).items():
            monkeypatch.setenv(name, value)
        with pytest.raises(DependencyUnavailable) as failed:
            FunctionProbe("probe").test(org_id=new_id(), provider_key_id=new_id())
    assert "secret" not in failed.value.message
    assert server.requests[0].path == "/2015-03-31/functions/probe/invocations"


@pytest.mark.parametrize("body", [b'{"result": null}', b"[]", b'{"state": "else", "reading": null}'])
def test_a_function_that_speaks_another_language_is_unavailable(body: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    awaited = Awaited(
        org_id=new_id(), provider_key_id=new_id(), provider="openai", endpoint=Endpoint.BATCHES, object_id="batch_1"
    )
    with serving(lambda request: Answer(body=body)) as server:
        for name, value in aws_environment(server.url).items():
            monkeypatch.setenv(name, value)
        with pytest.raises(DependencyUnavailable):
            FunctionProbe("probe").collect(awaited)
