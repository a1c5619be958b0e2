"""Content is kept of workspaces that opted in, and of no other; nothing of it delays or changes an answer."""

import json
from collections.abc import Iterator

import httpx2
import pytest
from navplane.errors import DependencyUnavailable
from navplane.gate.gate import Caller
from navplane.model.kept_content import KeptContent
from navplane.model.tenancy import DataMode

from tests.integration.gateway.conftest import Application
from tests.support.gate_memory import MemoryGate
from tests.support.gateway import PROVIDER_SECRET, GatewayServer, add_tenant
from tests.support.provider import FakeProvider, json_answer, stream

BODY = b'{"model":"gpt-5","messages":[{"role":"user","content":"a secret plan"}]}'
ANSWER = b'{"choices":[{"message":{"content":"fine"}}],"usage":{"prompt_tokens":3,"completion_tokens":1}}'


@pytest.fixture
def keeping(server: GatewayServer) -> Iterator[Application]:
    tenant = server.tenant()
    server.gate.set_data_mode(tenant.caller.workspace_id, DataMode.FULL)
    with server.client() as http:
        yield Application(tenant=tenant, server=server, http=http)


@pytest.fixture(autouse=True)
def nothing_kept(server: GatewayServer) -> None:
    server.log.contents.clear()


def test_a_workspace_that_did_not_ask_has_no_content_anywhere(application: Application, provider: FakeProvider) -> None:
    provider.script(json_answer(ANSWER))
    assert application.post("/v1/chat/completions", BODY).content == ANSWER
    assert "secret plan" not in application.row().to_json()
    assert application.server.log.contents == []


def test_one_that_asked_has_both_bodies_under_the_request_id(keeping: Application, provider: FakeProvider) -> None:
    provider.script(json_answer(ANSWER))
    assert keeping.post("/v1/chat/completions", BODY).content == ANSWER
    row, content = keeping.row(), kept(keeping)
    assert (content.request_id, content.key_id) == (row.request_id, keeping.tenant.caller.key_id)
    assert (content.request, content.response) == (BODY, ANSWER)
    assert "secret plan" not in row.to_json()


def test_of_a_stream_it_is_what_the_client_had(keeping: Application, provider: FakeProvider) -> None:
    text = b'data: {"choices":[{"delta":{"content":"fine"}}]}\n\n'
    usage = b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":1}}\n\n'
    provider.script(stream([text, usage, b"data: [DONE]\n\n"]))
    asked = json.dumps({**json.loads(BODY), "stream": True}).encode()
    answered = keeping.post("/v1/chat/completions", asked)
    assert keeping.row().stream
    assert kept(keeping).request == asked
    assert kept(keeping).response == answered.content == text + b"data: [DONE]\n\n"


def test_of_an_answer_that_repeats_the_providers_key_nothing_after_it_is_kept(
    keeping: Application, provider: FakeProvider
) -> None:
    provider.script(json_answer(json.dumps({"echo": PROVIDER_SECRET}).encode()))
    with pytest.raises(httpx2.RemoteProtocolError):
        keeping.post("/v1/chat/completions", BODY)
    assert keeping.row().status == 200
    assert PROVIDER_SECRET.encode() not in kept(keeping).response


def test_a_form_and_a_call_without_a_body_are_not_kept(keeping: Application, provider: FakeProvider) -> None:
    provider.script(json_answer(b'{"text":"Hello"}'))
    form = b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nwhisper-1\r\n--b--\r\n'
    keeping.post("/v1/audio/transcriptions", form, headers={"content-type": "multipart/form-data; boundary=b"})
    provider.script(json_answer(b'{"data":[]}'))
    keeping.http.get("/v1/models", headers=keeping.bearer)
    keeping.server.log.wait_for(2, org_id=keeping.tenant.org_id)
    assert keeping.server.log.contents == []


class GateThatDoesNotKnow(MemoryGate):
    def keeps_content(self, caller: Caller) -> bool:
        raise DependencyUnavailable("The gate is away.")


def test_where_it_can_not_be_told_nothing_is_kept_and_the_call_goes_on(provider: FakeProvider) -> None:
    gate = GateThatDoesNotKnow()
    tenant = add_tenant(gate)
    provider.script(json_answer(ANSWER))
    with GatewayServer({"openai": provider.url}, gate=gate) as server, server.client() as http:
        application = Application(tenant=tenant, server=server, http=http)
        assert application.post("/v1/chat/completions", BODY).content == ANSWER
        assert application.row().status == 200
        assert server.log.contents == []


def kept(application: Application) -> KeptContent:
    """The one content, which follows its usage event."""
    (content,) = application.server.log.wait_for_contents(1)
    return content
