"""Files and batches: off unless a policy allows them, read line by line before they are sent, counted when they are over."""

import json
from collections.abc import Iterator
from datetime import timedelta
from uuid import uuid4

import httpx2
import openai
import pytest
from navplane.model.ids import new_id
from navplane.model.limit import Limit, LimitKind, LimitScope
from navplane.model.policy import Policy
from navplane.model.usage import Endpoint, Outcome, Usage, UsageQuality
from navplane.model.usage_event import UsageEvent

from tests.integration.gateway.conftest import Application
from tests.support.gateway import GatewayServer
from tests.support.provider import FakeProvider, answer, json_answer

COUNTED = {"input_tokens": 30, "output_tokens": 12, "input_tokens_details": {"cached_tokens": 4}}


def line(n: int, *, model: str = "gpt-5", url: str = "/v1/chat/completions", **body: object) -> bytes:
    asked = {"model": model, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 100, **body}
    return json.dumps({"custom_id": f"r{n}", "method": "POST", "url": url, "body": asked}).encode()


def form(text: bytes, purpose: bytes = b"batch") -> bytes:
    part = b'--b\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n%s\r\n'
    return part % (b"purpose", b"", purpose) + part % (b"file", b'; filename="in.jsonl"', text) + b"--b--\r\n"


def upload(application: Application, text: bytes, purpose: bytes = b"batch") -> httpx2.Response:
    headers = {"content-type": "multipart/form-data; boundary=b"}
    return application.post("/v1/files", form(text, purpose), headers=headers)


@pytest.fixture
def allowed(server: GatewayServer) -> Iterator[Application]:
    tenant = server.tenant()
    server.gate.set_policy(tenant.org_id, Policy(allow_files=True))
    with server.client() as http:
        yield Application(tenant=tenant, server=server, http=http)


def made(application: Application, provider: FakeProvider, text: bytes = b"") -> tuple[str, str]:
    """The ids of an input file and of the batch that was made of it."""
    file_id, batch_id = f"file-{uuid4().hex}", f"batch_{uuid4().hex}"
    provider.script(json_answer(json.dumps({"id": file_id, "object": "file", "status": "processed"}).encode()))
    assert upload(application, text or line(1) + b"\n" + line(2) + b"\n").status_code == 200
    provider.script(json_answer(batch(batch_id, "validating")))
    created = application.post("/v1/batches", creation(file_id))
    assert (created.status_code, created.content) == (200, batch(batch_id, "validating"))
    return file_id, batch_id


def batch(batch_id: str, status: str, **members: object) -> bytes:
    return json.dumps({"id": batch_id, "object": "batch", "status": status, **members}).encode()


def creation(file_id: str) -> bytes:
    return json.dumps({"input_file_id": file_id, "endpoint": "/v1/chat/completions", "completion_window": "24h"}).encode()


def get(application: Application, path: str, provider: FakeProvider, said: bytes) -> None:
    provider.script(json_answer(said))
    assert application.http.get(path, headers=application.bearer).content == said


def batches_of(application: Application, count: int, endpoint: Endpoint = Endpoint.BATCHES) -> list[UsageEvent]:
    events = application.server.log.wait_for(count, org_id=application.tenant.org_id)
    return [event for event in events if event.endpoint is endpoint]


SIDE_DOORS = [
    ("POST", "/v1/files"), ("GET", "/v1/files/file-123"), ("DELETE", "/v1/files/file-123"),
    ("GET", "/v1/files/file-123/content"),
    ("POST", "/v1/batches"), ("GET", "/v1/batches/batch_123"), ("POST", "/v1/batches/batch_123/cancel"),
    ("POST", "/v1/messages/batches"), ("GET", "/v1/messages/batches/msgbatch_1"), ("DELETE", "/v1/messages/batches/msgbatch_1"),
    ("POST", "/v1/messages/batches/msgbatch_1/cancel"), ("GET", "/anthropic/v1/messages/batches/msgbatch_1/results"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path"), SIDE_DOORS)
def test_they_are_off_unless_a_policy_allows_them(
    application: Application, provider: FakeProvider, method: str, path: str
) -> None:
    called = len(provider.requests)
    bodies = {
        "/v1/files": form(line(1)),
        "/v1/batches": creation("file-123"),
        "/v1/messages/batches": b'{"requests":[{"custom_id":"a","params":{"model":"claude-opus-4","max_tokens":5}}]}',
    }
    kind = "multipart/form-data; boundary=b" if path == "/v1/files" else "application/json"
    refused = application.http.request(
        method, path, content=bodies.get(path, b""), headers={"content-type": kind, **application.bearer}
    )
    assert refused.status_code == 403
    assert "allow_files" in refused.json()["error"]["message"]
    assert len(provider.requests) == called
    assert (application.row().outcome, application.row().usage) == (Outcome.REFUSED, Usage())


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/files", 405),
        ("GET", "/v1/batches", 405),
        ("GET", "/v1/messages/batches", 405),
        ("POST", "/v1/files/file-123/content", 405),
        ("POST", "/v1/uploads", 404),
        ("GET", "/v1/batches/batch_123/content", 404),
        ("GET", "/groq/v1/files/file-123", 404),
        ("POST", "/anthropic/v1/files", 404),
        ("GET", "/openai/v1/messages/batches/msgbatch_1", 404),
    ],
)
def test_lists_and_all_else_lead_nowhere(
    allowed: Application, provider: FakeProvider, method: str, path: str, status: int
) -> None:
    called = len(provider.requests)
    assert allowed.http.request(method, path, headers=allowed.bearer).status_code == status
    assert len(provider.requests) == called


def test_a_file_goes_on_byte_for_byte_and_belongs_to_who_sent_it(
    allowed: Application, application: Application, provider: FakeProvider, server: GatewayServer
) -> None:
    text = line(1, note="\u00e9") + b"\r\n" + line(2)
    file_id, _ = made(allowed, provider, text)
    assert form(text) in [request.body for request in provider.requests]
    server.gate.set_policy(application.tenant.org_id, Policy(allow_files=True))
    called = len(provider.requests)
    for path in (f"/v1/files/{file_id}", f"/v1/files/{file_id}/content"):
        assert application.http.get(path, headers=application.bearer).status_code == 404
    assert application.post("/v1/batches", creation(file_id)).status_code == 404
    assert application.post("/v1/batches", creation("file-unknown")).status_code == 404
    assert len(provider.requests) == called
    get(allowed, f"/v1/files/{file_id}", provider, b'{"id":"x"}')


def test_who_may_not_use_the_model_learns_nothing_of_anothers_file(
    allowed: Application, application: Application, provider: FakeProvider, server: GatewayServer
) -> None:
    file_id, _ = made(allowed, provider)
    server.gate.set_policy(application.tenant.org_id, Policy(allow_files=True, block_models=("gpt-*",)))
    assert application.post("/v1/batches", creation(file_id)).status_code == 404


BAD_LINES = {
    "no json": b'{"custom_id":',
    "no url": b'{"custom_id":"a","method":"POST","body":{"model":"gpt-5"}}',
    "another url": line(2, url="/v1/files"),
    "another method": line(2).replace(b'"POST"', b'"DELETE"'),
    "no model": b'{"custom_id":"a","method":"POST","url":"/v1/responses","body":{}}',
    "a model twice": line(2).replace(b'"messages"', b'"model": "gpt-4", "messages"'),
    "a model in two cases": line(2).replace(b'"messages"', b'"Model": "gpt-4", "messages"'),
    "a url twice": line(2).replace(b'"method"', b'"url": "/v1/embeddings", "method"'),
    "another model": line(2, model="gpt-4"),
    "something else": line(2).replace(b'"method"', b'"extra": 1, "method"'),
}


@pytest.mark.parametrize("case", BAD_LINES)
def test_a_line_that_may_not_be_sent_is_named_and_nothing_is(allowed: Application, provider: FakeProvider, case: str) -> None:
    called = len(provider.requests)
    refused = upload(allowed, line(1) + b"\n" + BAD_LINES[case])
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "invalid_batch")
    assert "line 2" in refused.json()["error"]["message"]
    assert len(provider.requests) == called


def test_files_for_anything_else_and_empty_ones_are_refused(allowed: Application, provider: FakeProvider) -> None:
    called = len(provider.requests)
    assert upload(allowed, line(1), b"assistants").json()["error"]["code"] == "invalid_batch"
    assert upload(allowed, b"\n").json()["error"]["code"] == "invalid_batch"
    assert len(provider.requests) == called


def test_a_model_that_is_not_allowed_is_refused_at_upload_naming_the_line(
    allowed: Application, provider: FakeProvider, server: GatewayServer
) -> None:
    server.gate.set_policy(allowed.tenant.org_id, Policy(allow_files=True, block_models=("gpt-5",)))
    called = len(provider.requests)
    refused = upload(allowed, line(1))
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "model_not_allowed")
    assert "line 1" in refused.json()["error"]["message"]
    assert len(provider.requests) == called


def test_the_whole_batch_is_reserved_and_stays_so_until_it_is_over(
    allowed: Application, provider: FakeProvider, server: GatewayServer
) -> None:
    _, batch_id = made(allowed, provider)
    uploaded, asked = server.gate.asks[-2:]
    assert (uploaded.touches_files, asked.touches_files, asked.model) == (True, True, "gpt-5")
    assert uploaded.worst is not None
    assert uploaded.worst.is_nothing
    assert asked.worst is not None
    assert asked.worst.output_tokens == 200
    assert asked.worst.input_tokens > 2 * 60
    assert asked.lease == timedelta(hours=72)
    get(allowed, f"/v1/batches/{batch_id}", provider, batch(batch_id, "in_progress"))
    assert asked.request_id in server.gate.open_reservations()

    done = batch(batch_id, "completed", model="gpt-5-2025", usage=COUNTED, request_counts={"completed": 2})
    for _ in range(2):
        get(allowed, f"/v1/batches/{batch_id}", provider, done)
    first, second = batches_of(allowed, 6)
    assert first == second
    assert (first.request_id, first.usage_quality, first.service_tier) == (asked.request_id, UsageQuality.EXACT, "batch")
    assert first.usage == Usage(input_tokens=30, output_tokens=12, cached_input_tokens=4)
    assert (first.model, first.response_model, first.outcome) == ("gpt-5", "gpt-5-2025", Outcome.OK)
    assert first.raw_usage is not None
    assert first.raw_usage["largest_input_tokens"] < asked.worst.input_tokens
    assert asked.request_id not in server.gate.open_reservations()


def test_a_budget_that_the_whole_could_overspend_refuses_it(
    allowed: Application, provider: FakeProvider, server: GatewayServer
) -> None:
    file_id = f"file-{uuid4().hex}"
    provider.script(json_answer(json.dumps({"id": file_id}).encode()))
    upload(allowed, b"\n".join(line(n) for n in range(10)))
    tenant = allowed.tenant
    limit = Limit(id=new_id(), scope=LimitScope.ORGANIZATION, scope_id=tenant.org_id, kind=LimitKind.TOKENS_PER_DAY, amount=900)
    server.gate.set_limit(tenant.org_id, limit)
    called = len(provider.requests)
    refused = allowed.post("/v1/batches", creation(file_id))
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "budget_exceeded")
    assert len(provider.requests) == called


def test_without_a_count_the_output_tells_line_by_line(allowed: Application, provider: FakeProvider) -> None:
    _, batch_id = made(allowed, provider)
    files = {"output_file_id": "file-out" + batch_id[-20:], "error_file_id": "file-err" + batch_id[-20:]}
    get(allowed, f"/v1/batches/{batch_id}", provider, batch(batch_id, "completed", request_counts={"completed": 2}, **files))
    usages = [{"prompt_tokens": 10, "completion_tokens": 3}, {"prompt_tokens": 20, "completion_tokens": 4}]
    lines = [{"custom_id": f"r{n}", "response": {"status_code": 200, "body": {"model": "gpt-5-x", "usage": u}}}
             for n, u in enumerate(usages)]  # fmt: skip
    failed = {"custom_id": "r9", "response": {"status_code": 400, "body": {"error": {}}}}
    output = b"\n".join(json.dumps(each).encode() for each in [*lines, failed])
    get(allowed, f"/v1/files/{files['error_file_id']}/content", provider, json.dumps(failed).encode())
    get(allowed, f"/v1/files/{files['output_file_id']}", provider, b'{"id":"x"}')
    provider.script(answer("206 Partial Content", body=output[:60]))
    allowed.http.get(f"/v1/files/{files['output_file_id']}/content", headers={**allowed.bearer, "range": "bytes=0-59"})
    get(allowed, f"/v1/files/{files['output_file_id']}/content", provider, output)
    (counted,) = batches_of(allowed, 7)
    assert counted.usage == Usage(input_tokens=30, output_tokens=7)
    assert counted.raw_usage == {"answers": 2, "largest_input_tokens": 20}
    assert (counted.usage_quality, counted.response_model) == (UsageQuality.EXACT, "gpt-5-x")


@pytest.mark.parametrize("status", ["failed", "expired", "cancelled"])
def test_a_batch_without_one_answer_used_nothing(allowed: Application, provider: FakeProvider, status: str) -> None:
    _, batch_id = made(allowed, provider)
    get(allowed, f"/v1/batches/{batch_id}", provider, batch(batch_id, status, request_counts={"completed": 0, "failed": 2}))
    (counted,) = batches_of(allowed, 3)
    assert (counted.usage, counted.usage_quality) == (Usage(), UsageQuality.EXACT)


def test_a_creation_that_the_provider_refuses_costs_nothing(
    allowed: Application, provider: FakeProvider, server: GatewayServer
) -> None:
    file_id = f"file-{uuid4().hex}"
    provider.script(json_answer(json.dumps({"id": file_id}).encode()))
    upload(allowed, line(1))
    provider.script(json_answer(b'{"error":{"message":"no"}}', "400 Bad Request"))
    assert allowed.post("/v1/batches", creation(file_id)).status_code == 400
    (row,) = batches_of(allowed, 2)
    assert (row.usage, row.usage_quality, row.outcome) == (Usage(), UsageQuality.EXACT, Outcome.FAILED)
    assert server.gate.asks[-1].request_id not in server.gate.open_reservations()


# -- Anthropic -----------------------------------------------------------------------------------------------------------

MESSAGES = b"""{"requests":[
    {"custom_id":"a","params":{"model":"claude-opus-4","max_tokens":10,"messages":[{"role":"user","content":"Hi"}]}},
    {"custom_id":"b","params":{"model":"claude-opus-4","max_tokens":20,"messages":[{"role":"user","content":"Hi"}]}}]}"""


def message_batch(batch_id: str, status: str, **counts: int) -> bytes:
    return json.dumps({"id": batch_id, "processing_status": status, "request_counts": counts}).encode()


def test_anthropics_batch_is_counted_by_its_results(
    allowed: Application, provider: FakeProvider, server: GatewayServer
) -> None:
    batch_id = f"msgbatch_{uuid4().hex}"
    provider.script(json_answer(message_batch(batch_id, "in_progress", processing=2, succeeded=0)))
    assert allowed.post("/v1/messages/batches", MESSAGES).status_code == 200
    assert provider.last.body == MESSAGES
    ask = server.gate.asks[-1]
    assert ask.worst is not None
    assert (ask.model, ask.worst.output_tokens) == ("claude-opus-4", 30)
    path = f"/v1/messages/batches/{batch_id}"
    get(allowed, path, provider, message_batch(batch_id, "in_progress", processing=1, succeeded=0))
    get(allowed, path, provider, message_batch(batch_id, "ended", processing=0, succeeded=2))
    usage = {"input_tokens": 7, "output_tokens": 5, "cache_read_input_tokens": 3, "service_tier": "batch"}
    message = {"model": "claude-opus-4-1", "usage": usage}
    results = [{"custom_id": "a", "result": {"type": "succeeded", "message": message}},
               {"custom_id": "b", "result": {"type": "errored", "error": {}}}]  # fmt: skip
    get(allowed, path + "/results", provider, b"".join(json.dumps(each).encode() + b"\n" for each in results))
    (counted,) = batches_of(allowed, 4, Endpoint.MESSAGE_BATCHES)
    assert counted.usage == Usage(input_tokens=10, output_tokens=5, cached_input_tokens=3)
    assert (counted.service_tier, counted.response_model, counted.request_id) == ("batch", "claude-opus-4-1", ask.request_id)


def test_requests_of_anthropics_batch_are_read_one_by_one(allowed: Application, provider: FakeProvider) -> None:
    called = len(provider.requests)
    refused = allowed.post(
        "/v1/messages/batches", MESSAGES.replace(b'"claude-opus-4","max_tokens":20', b'"claude-3","max_tokens":20')
    )
    assert refused.status_code == 400
    assert "request 2" in refused.json()["error"]["message"]
    assert allowed.post("/v1/messages/batches", b'{"requests":[]}').status_code == 400
    assert allowed.post("/v1/messages/batches", b'{"requests":[{"custom_id":"a"}]}').status_code == 400
    assert len(provider.requests) == called


def test_the_sdk_makes_a_batch(allowed: Application, provider: FakeProvider) -> None:
    file_id, batch_id = f"file-{uuid4().hex}", f"batch_{uuid4().hex}"
    with openai.OpenAI(base_url=f"{allowed.server.url}/v1", api_key=allowed.tenant.key, max_retries=0) as sdk:
        provider.script(json_answer(json.dumps({"id": file_id, "object": "file"}).encode()))
        assert sdk.files.create(file=("in.jsonl", line(1)), purpose="batch").id == file_id
        provider.script(json_answer(batch(batch_id, "validating")))
        made = sdk.batches.create(input_file_id=file_id, endpoint="/v1/chat/completions", completion_window="24h")
        assert made.id == batch_id
        provider.script(json_answer(batch(batch_id, "cancelling")))
        assert sdk.batches.cancel(batch_id).status == "cancelling"


def test_a_batch_is_awaited_by_the_call_that_made_it_and_its_files_by_nobody(
    allowed: Application, provider: FakeProvider
) -> None:
    gate = allowed.server.gate
    file_id, batch_id = made(allowed, provider)
    creation_id = gate.asks[-1].request_id
    output = f"file-{uuid4().hex}"
    get(allowed, f"/v1/batches/{batch_id}", provider, batch(batch_id, "completed", output_file_id=output))
    owners = {each: gate.owner_of("openai", each) for each in (file_id, batch_id, output)}
    awaited = {each: owner.awaited_by for each, owner in owners.items() if owner is not None}
    assert awaited == {file_id: None, batch_id: creation_id, output: None}
