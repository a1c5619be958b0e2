"""Stored responses belong to the organization whose call made them, and nobody else can so much as name them."""

import json
from collections.abc import Iterator
from datetime import datetime
from uuid import uuid4

import openai
import pytest
from navplane.errors import DependencyUnavailable
from navplane.gate.gate import Owner
from navplane.model.usage import Endpoint, Outcome, Usage, UsageQuality

from tests.integration.gateway.conftest import Application
from tests.support.gate_memory import MemoryGate
from tests.support.gateway import GatewayServer, add_tenant
from tests.support.provider import FakeProvider, Pause, answer, chunk, json_answer, stream

USAGE = {"input_tokens": 3, "output_tokens": 2}


def response(object_id: str) -> bytes:
    return json.dumps({"id": object_id, "object": "response", "status": "completed", "output": [], "usage": USAGE}).encode()


@pytest.fixture
def made(application: Application, provider: FakeProvider) -> str:
    """The id of a response that this application made."""
    object_id = f"resp_{uuid4().hex}"
    provider.script(json_answer(response(object_id)))
    assert application.post("/v1/responses", b'{"model":"gpt-5","input":"Hi"}').content == response(object_id)
    return object_id


@pytest.fixture
def other(server: GatewayServer) -> Iterator[Application]:
    with server.client() as http:
        yield Application(tenant=server.tenant(), server=server, http=http)


ACTIONS = [
    ("GET", "", Endpoint.RESPONSE),
    ("DELETE", "", Endpoint.RESPONSE_DELETE),
    ("POST", "/cancel", Endpoint.RESPONSE_CANCEL),
    ("GET", "/input_items", Endpoint.RESPONSE_INPUT_ITEMS),
]


@pytest.mark.parametrize("prefix", ["/v1", "", "/openai/v1"])
@pytest.mark.parametrize(("method", "action", "endpoint"), ACTIONS)
def test_who_made_it_may_use_it(
    application: Application, provider: FakeProvider, made: str, prefix: str, method: str, action: str, endpoint: Endpoint
) -> None:
    provider.script(json_answer(b'{"id":"x"}'))
    found = application.http.request(method, f"{prefix}/responses/{made}{action}?limit=2", headers=application.bearer)
    assert (found.status_code, found.content) == (200, b'{"id":"x"}')
    assert (provider.last.method, provider.last.target) == (method, f"/v1/responses/{made}{action}?limit=2")
    assert provider.last.body == b""
    row = application.server.log.wait_for(2, org_id=application.tenant.org_id)[1]
    assert (row.endpoint, row.outcome, row.usage, row.usage_quality) == (endpoint, Outcome.OK, Usage(), UsageQuality.EXACT)


@pytest.mark.parametrize(("method", "action", "endpoint"), ACTIONS)
def test_another_organizations_is_404_as_one_that_does_not_exist(
    other: Application, provider: FakeProvider, made: str, method: str, action: str, endpoint: Endpoint
) -> None:
    called, answers = len(provider.requests), []
    for object_id in (made, f"resp_{uuid4().hex}"):
        found = other.http.request(method, f"/v1/responses/{object_id}{action}", headers=other.bearer)
        answers.append((found.status_code, found.json()))
    assert answers[0] == answers[1]
    assert (answers[0][0], answers[0][1]["error"]["code"]) == (404, "not_found")
    assert len(provider.requests) == called
    for row in other.server.log.wait_for(2, org_id=other.tenant.org_id):
        assert (row.endpoint, row.outcome, row.usage) == (endpoint, Outcome.REFUSED, Usage())
    assert other.server.gate.open_reservations() == []


def test_another_organizations_can_not_be_continued(other: Application, provider: FakeProvider, made: str) -> None:
    called = len(provider.requests)
    body = json.dumps({"model": "gpt-5", "input": "What did they say?", "previous_response_id": made}).encode()
    assert other.post("/v1/responses", body).status_code == 404
    assert len(provider.requests) == called


def test_who_made_it_may_continue_it(application: Application, provider: FakeProvider, made: str) -> None:
    body = json.dumps({"model": "gpt-5", "input": "And?", "previous_response_id": made}).encode()
    assert application.post("/v1/responses", body).status_code == 200
    assert provider.last.body == body


def test_stream_binds_its_response_before_the_client_can_know_of_it(application: Application, provider: FakeProvider) -> None:
    object_id, pause = f"resp_{uuid4().hex}", Pause()
    created = {"type": "response.created", "response": {"id": object_id, "status": "in_progress"}}
    done = {"type": "response.completed", "response": {"id": object_id, "status": "completed", "usage": USAGE}}
    first, last = (f"event: {e['type']}\ndata: {json.dumps(e)}\n\n".encode() for e in (created, done))
    steps = stream([first, pause, last])
    provider.script([*steps[:1], chunk(first[:40]), chunk(first[40:]), *steps[2:]])
    asked = application.http.stream(
        "POST", "/v1/responses", json={"model": "gpt-5", "input": "Hi", "stream": True}, headers=application.bearer
    )
    with asked as answered:
        received = b""
        chunks = answered.iter_raw()
        while not received.endswith(first):
            received += next(chunks)
        owner = application.server.gate.owner_of("openai", object_id)
        assert owner is not None
        assert owner.org_id == application.tenant.org_id
        pause.release()
        received += b"".join(chunks)
    assert received == first + last
    assert application.row().usage == Usage(input_tokens=3, output_tokens=2)


def test_what_a_provider_says_it_made_binds_nothing_that_was_bound(
    application: Application, other: Application, provider: FakeProvider, made: str
) -> None:
    provider.script(json_answer(response(made)))
    other.post("/v1/responses", b'{"model":"gpt-5","input":"Hi"}')
    owner = application.server.gate.owner_of("openai", made)
    assert owner is not None
    assert owner.org_id == application.tenant.org_id


def test_refused_call_binds_nothing(application: Application, provider: FakeProvider) -> None:
    object_id = f"resp_{uuid4().hex}"
    provider.script(json_answer(response(object_id), "400 Bad Request"))
    application.post("/v1/responses", b'{"model":"gpt-5","input":"Hi"}')
    assert application.server.gate.owner_of("openai", object_id) is None


class GateThatCannotBind(MemoryGate):
    def bind_object(self, provider: str, object_id: str, owner: Owner, now: datetime) -> None:
        raise DependencyUnavailable("The gate is away.")


def test_answer_goes_out_though_its_id_could_not_be_bound(provider: FakeProvider) -> None:
    """It was paid for. What is not bound can't be asked for again."""
    object_id, gate = f"resp_{uuid4().hex}", GateThatCannotBind()
    tenant = add_tenant(gate)
    provider.script(json_answer(response(object_id)))
    with GatewayServer({"openai": provider.url}, gate=gate) as server, server.client() as http:
        application = Application(tenant=tenant, server=server, http=http)
        assert application.post("/v1/responses", b'{"model":"gpt-5","input":"Hi"}').content == response(object_id)
        assert http.get(f"/v1/responses/{object_id}", headers=application.bearer).status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("PUT", "/v1/responses/resp_123", 405),
        ("GET", "/v1/responses/resp_123/cancel", 405),
        ("GET", "/groq/v1/responses/resp_123", 404),
        ("GET", "/custom/v1/responses/resp_123", 404),
        ("GET", "/v1/responses/resp_123/other", 404),
        ("GET", "/v1/responses/" + "x" * 201, 404),
        ("GET", "/v1/responses/a%2f..%2fb", 400),
    ],
)
def test_other_paths_lead_nowhere(
    application: Application, provider: FakeProvider, method: str, path: str, status: int
) -> None:
    called = len(provider.requests)
    assert application.http.request(method, path, headers=application.bearer).status_code == status
    assert len(provider.requests) == called


def test_sdk_gets_and_deletes_what_it_made(application: Application, provider: FakeProvider, made: str) -> None:
    with openai.OpenAI(base_url=f"{application.server.url}/v1", api_key=application.tenant.key, max_retries=0) as sdk:
        provider.script(json_answer(response(made)))
        assert sdk.responses.retrieve(made).id == made
        provider.script(answer("200 OK"))
        sdk.responses.delete(made)
        with pytest.raises(openai.NotFoundError):
            sdk.responses.retrieve("resp_of_nobody")
