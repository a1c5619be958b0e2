"""Azure's own paths: a deployment in the path is the model."""

import json
from collections.abc import Iterator

import pytest

from tests.integration.gateway.conftest import Application
from tests.support.gateway import PROVIDER_SECRET, GatewayServer, sealed_key
from tests.support.provider import FakeProvider, json_answer, stream

DEPLOYMENT = "/azure/openai/deployments/my-gpt/chat/completions?api-version=2024-10-21"
ANSWER = {
    "model": "gpt-5-2026-01-01",
    "choices": [{"finish_reason": "stop"}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 2},
}


@pytest.fixture
def azure(provider: FakeProvider) -> Iterator[Application]:
    provider.script(json_answer(json.dumps(ANSWER).encode()))
    with GatewayServer({"azure": provider.url}) as server, server.client() as http:
        tenant = server.tenant()
        server.gate.add_provider_key(sealed_key(tenant.org_id, "azure", base_url="https://my-resource.openai.azure.com"))
        yield Application(tenant=tenant, server=server, http=http)


@pytest.mark.parametrize("body", [b'{"messages":[]}', b'{"model":"my-gpt","messages":[]}'])
def test_deployment_in_the_path_is_the_model(azure: Application, provider: FakeProvider, body: bytes) -> None:
    assert azure.post(DEPLOYMENT, body).status_code == 200
    assert provider.last.target == "/openai/deployments/my-gpt/chat/completions?api-version=2024-10-21"
    assert (provider.last.all("api-key"), provider.last.all("authorization")) == ([PROVIDER_SECRET], [])
    assert provider.last.body == body
    row = azure.row()
    assert (row.provider, row.model, row.response_model) == ("azure", "my-gpt", "gpt-5-2026-01-01")
    assert azure.server.gate.asks[-1].model == "my-gpt"


@pytest.mark.parametrize("body", [b'{"model":"gpt-5"}', b'{"model":null}', b'{"model":"my-gpt","model":"my-gpt"}'])
def test_path_and_body_that_disagree_are_refused(azure: Application, provider: FakeProvider, body: bytes) -> None:
    called = len(provider.requests)
    answer = azure.post(DEPLOYMENT, body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_model")
    assert len(provider.requests) == called


@pytest.mark.parametrize("path", ["/azure/v1/chat/completions", "/azure/openai/v1/chat/completions"])
def test_v1_path_takes_the_model_from_the_body(azure: Application, provider: FakeProvider, path: str) -> None:
    assert azure.post(path, b'{"model":"my-gpt"}').status_code == 200
    assert provider.last.target == "/openai/v1/chat/completions"
    assert azure.row().model == "my-gpt"


@pytest.mark.parametrize(("path", "asks"), [(DEPLOYMENT, False), ("/azure/v1/chat/completions", True)])
def test_dated_path_is_not_asked_for_what_its_version_may_not_know(
    azure: Application, provider: FakeProvider, path: str, asks: bool
) -> None:
    provider.script(stream([b"data: [DONE]\n\n"]))
    azure.post(path, b'{"model":"my-gpt","stream":true}')
    assert (b"include_usage" in provider.last.body) is asks


@pytest.mark.parametrize(
    "path",
    [
        "/azure/openai/deployments/my-gpt/responses",
        "/azure/openai/deployments//chat/completions",
        "/azure/openai/deployments/a/b/chat/completions",
        "/azure/openai/deployments/my~gpt/chat/completions",
        "/azure/openai/deployments/-x/chat/completions",
        "/openai/openai/deployments/my-gpt/chat/completions",
        "/azure/openai/deployments/" + "x" * 65 + "/chat/completions",
    ],
)
def test_other_spellings_lead_nowhere(azure: Application, provider: FakeProvider, path: str) -> None:
    called = len(provider.requests)
    assert azure.post(path, b'{"model":"my-gpt"}').status_code in (400, 404)
    assert len(provider.requests) == called
