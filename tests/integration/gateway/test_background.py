"""Responses in the background: made by one call, and counted by whichever later one shows what they used."""

import json
from datetime import timedelta
from uuid import uuid4

import pytest
from navplane.model.usage import Endpoint, Outcome, Usage, UsageQuality
from navplane.model.usage_event import UsageEvent

from tests.integration.gateway.conftest import Application
from tests.support.provider import FakeProvider, json_answer, stream

USAGE = {"input_tokens": 30, "output_tokens": 20, "output_tokens_details": {"reasoning_tokens": 5}}
BODY = b'{"model":"gpt-5","input":"Think","background":true}'
COUNTED = Usage(input_tokens=30, output_tokens=20, reasoning_tokens=5)


def response(object_id: str, status: str, **members: object) -> bytes:
    return json.dumps({"id": object_id, "object": "response", "status": status, "model": "gpt-5-2026", **members}).encode()


@pytest.fixture
def queued(application: Application, provider: FakeProvider) -> str:
    """The id of a response that runs in the background."""
    object_id = f"resp_{uuid4().hex}"
    provider.script(json_answer(response(object_id, "queued", usage=None)))
    assert application.post("/v1/responses", BODY).status_code == 200
    return object_id


def shown(application: Application, provider: FakeProvider, object_id: str, answer: bytes, action: str = "") -> None:
    provider.script(json_answer(answer))
    method = "POST" if action else "GET"
    path = f"/v1/responses/{object_id}{action}"
    assert application.http.request(method, path, headers=application.bearer).content == answer


def rows(application: Application, count: int) -> list[UsageEvent]:
    return application.server.log.wait_for(count, org_id=application.tenant.org_id)


def test_it_stays_reserved_until_its_usage_is_shown(application: Application, provider: FakeProvider, queued: str) -> None:
    gate = application.server.gate
    (ask,) = gate.asks
    assert ask.lease == timedelta(hours=24)
    shown(application, provider, queued, response(queued, "in_progress", usage=None))
    (looked,) = rows(application, 1)
    assert (looked.endpoint, looked.usage, looked.usage_quality) == (Endpoint.RESPONSE, Usage(), UsageQuality.EXACT)
    assert gate.open_reservations() == [ask.request_id]

    shown(application, provider, queued, response(queued, "completed", usage=USAGE))
    _, again, made = rows(application, 3)
    assert (again.endpoint, again.usage, again.raw_usage) == (Endpoint.RESPONSE, Usage(), None)
    assert (made.request_id, made.endpoint, made.model, made.response_model) == (
        ask.request_id, Endpoint.RESPONSES, "gpt-5", "gpt-5-2026",
    )  # fmt: skip
    assert (made.usage, made.usage_quality, made.raw_usage) == (COUNTED, UsageQuality.EXACT, USAGE)
    assert (made.outcome, made.status, made.finish_reason, made.request_bytes) == (Outcome.OK, 200, "completed", len(BODY))
    assert gate.open_reservations() == []


def test_shown_twice_it_is_the_same_event_of_the_same_request(
    application: Application, provider: FakeProvider, queued: str
) -> None:
    for _ in range(2):
        shown(application, provider, queued, response(queued, "completed", usage=USAGE))
    first, second = (event for event in rows(application, 4) if event.endpoint is Endpoint.RESPONSES)
    assert first == second


def test_a_cancelled_one_is_estimated_where_nobody_says_what_it_used(
    application: Application, provider: FakeProvider, queued: str
) -> None:
    shown(application, provider, queued, response(queued, "cancelled", usage=None), action="/cancel")
    made = rows(application, 2)[1]
    assert (made.endpoint, made.usage_quality, made.finish_reason) == (Endpoint.RESPONSES, UsageQuality.ESTIMATED, "cancelled")
    assert made.usage.input_tokens > 0


def test_one_that_failed_failed_and_asking_for_it_did_not(
    application: Application, provider: FakeProvider, queued: str
) -> None:
    failed = response(queued, "failed", error={"code": "server_error", "message": "no"}, usage=USAGE)
    shown(application, provider, queued, failed)
    asked, made = rows(application, 2)
    assert (asked.outcome, asked.error_code) == (Outcome.OK, None)
    assert (made.outcome, made.error_code, made.usage) == (Outcome.FAILED, "upstream_error", COUNTED)


def test_a_streamed_one_is_counted_by_its_stream(application: Application, provider: FakeProvider) -> None:
    object_id = f"resp_{uuid4().hex}"
    events = [
        {"type": "response.created", "response": {"id": object_id, "status": "queued"}},
        {"type": "response.completed", "response": {"id": object_id, "status": "completed", "usage": USAGE}},
    ]
    provider.script(stream([f"event: {e['type']}\ndata: {json.dumps(e)}\n\n".encode() for e in events]))
    application.post("/v1/responses", b'{"model":"gpt-5","input":"Hi","background":true,"stream":true}')
    assert (application.row().usage, application.row().usage_quality) == (COUNTED, UsageQuality.EXACT)
    assert application.server.gate.open_reservations() == []


def test_one_that_is_no_background_response_is_counted_once(application: Application, provider: FakeProvider) -> None:
    object_id = f"resp_{uuid4().hex}"
    provider.script(json_answer(response(object_id, "completed", usage=USAGE)))
    application.post("/v1/responses", b'{"model":"gpt-5","input":"Think","background":false}')
    shown(application, provider, object_id, response(object_id, "completed", usage=USAGE))
    assert [event.usage for event in rows(application, 2)] == [COUNTED, Usage()]


def test_one_that_could_not_be_bound_is_estimated_at_once(application: Application, provider: FakeProvider) -> None:
    provider.script(json_answer(response("x", "queued", usage=None)))
    application.post("/v1/responses", BODY)
    assert (application.row().usage_quality, application.row().endpoint) == (UsageQuality.ESTIMATED, Endpoint.RESPONSES)
    assert application.server.gate.open_reservations() == []


def test_background_that_is_said_twice_is_refused(application: Application, provider: FakeProvider) -> None:
    called = len(provider.requests)
    body = b'{"model":"gpt-5","input":"Think","background":true,"background":false}'
    assert application.post("/v1/responses", body).status_code == 400
    assert len(provider.requests) == called
