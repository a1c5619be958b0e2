"""What ends a call that is under way: the kill switch, a revoked key, a client that leaves, the clock."""

import asyncio
import json
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from navplane.errors import DependencyUnavailable
from navplane.gate.gate import Admission, Ask, Caller, Refusal, RefusalReason
from navplane.gateway.app import Gateway
from navplane.gateway.asgi import Message
from navplane.gateway.limits import Limits
from navplane.model.usage import Outcome, Usage, UsageQuality

from tests.integration.gateway.conftest import Application
from tests.support.gate_memory import MemoryGate, State
from tests.support.gateway import GatewayServer, Tenant, add_tenant
from tests.support.provider import FakeProvider, Hang, Pause, json_answer, stream

CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
FIRST = {
    CHAT: b'data: {"choices":[{"delta":{"content":"Hello"}}]}\n\n',
    MESSAGES: b'event: message_start\ndata: {"type":"message_start","message":{"usage":{"input_tokens":77}}}\n\n',
}
MODELS = {CHAT: "gpt-5", MESSAGES: "claude-opus-5"}
USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":11,"completion_tokens":7}}\n\n'
DONE = b"data: [DONE]\n\n"


def body_of(path: str, *, streamed: bool = True) -> bytes:
    return json.dumps({"model": MODELS[path], "stream": streamed}).encode()


def disable(application: Application) -> None:
    application.server.gate.set_enabled(application.tenant.org_id, False)


def revoke(application: Application) -> None:
    application.server.gate.revoke(application.tenant.caller.key_id)


@pytest.mark.parametrize("path", [CHAT, MESSAGES])
@pytest.mark.parametrize(
    ("stop", "code", "anthropic"),
    [(disable, "organization_disabled", "permission_error"), (revoke, "invalid_api_key", "authentication_error")],
)
def test_open_stream_ends_with_an_error_event_when_its_caller_is_stopped(
    application: Application,
    provider: FakeProvider,
    path: str,
    stop: Callable[[Application], None],
    code: str,
    anthropic: str,
) -> None:
    closed = provider.closed_by_peer
    provider.script(stream([FIRST[path], Hang()], end=False))
    headers = {"content-type": "application/json", **application.bearer}
    with application.http.stream("POST", path, content=body_of(path), headers=headers) as response:
        chunks = response.iter_raw()
        assert next(chunks) == FIRST[path]
        stop(application)
        event = b"".join(chunks)
    provider.wait_until_closed_by_peer(closed + 1)
    assert event.startswith(b"data: " if path == CHAT else b"event: error\ndata: ")
    error = json.loads(event.partition(b"data: ")[2])["error"]
    assert error.get("code", error["type"]) == (code if path == CHAT else anthropic)
    assert b"[DONE]" not in event
    row = application.row()
    assert (row.outcome, row.error_code, row.status) == (Outcome.TERMINATED, code, 200)
    assert row.usage_quality is UsageQuality.ESTIMATED
    assert application.server.gate.state_of(row.request_id) is State.SETTLED


def test_unstreamed_call_of_a_stopped_caller_ends_too(application: Application, provider: FakeProvider) -> None:
    provider.script([Hang()])
    expected = len(provider.requests) + 1

    def stop_once_called() -> None:
        provider.wait_for_requests(expected)
        disable(application)

    stopping = threading.Thread(target=stop_once_called)
    stopping.start()
    response = application.post(CHAT, body_of(CHAT, streamed=False))
    stopping.join()
    assert (response.status_code, response.json()["error"]["code"]) == (403, "organization_disabled")
    assert application.row().outcome is Outcome.TERMINATED


def test_other_callers_streams_go_on(application: Application, observer: Application, provider: FakeProvider) -> None:
    pause = Pause()
    provider.script(stream([FIRST[CHAT], pause, DONE]))
    headers = {"content-type": "application/json"}
    with (
        application.http.stream("POST", CHAT, content=body_of(CHAT), headers={**headers, **application.bearer}) as stopped,
        observer.http.stream("POST", CHAT, content=body_of(CHAT), headers={**headers, **observer.bearer}) as going,
    ):
        disable(application)
        assert b"organization_disabled" in stopped.read()
        pause.release()
        assert going.read() == FIRST[CHAT] + DONE


def test_client_that_leaves_closes_the_provider_and_is_estimated(application: Application, provider: FakeProvider) -> None:
    closed = provider.closed_by_peer
    provider.script(stream([FIRST[MESSAGES], Hang()], end=False))
    headers = {"content-type": "application/json", **application.bearer}
    with application.http.stream("POST", MESSAGES, content=body_of(MESSAGES), headers=headers) as response:
        assert next(response.iter_raw()) == FIRST[MESSAGES]
    provider.wait_until_closed_by_peer(closed + 1)
    row = application.row()
    assert (row.outcome, row.usage_quality, row.usage.input_tokens) == (Outcome.ABORTED, UsageQuality.ESTIMATED, 77)
    assert application.server.gate.state_of(row.request_id) is State.SETTLED


def test_client_that_leaves_before_the_answer_closes_the_provider(application: Application, provider: FakeProvider) -> None:
    closed = provider.closed_by_peer
    provider.script([Hang()])
    with application.server.client() as http, pytest.raises(Exception, match="timed out"):
        http.post(CHAT, content=body_of(CHAT), headers={"content-type": "application/json", **application.bearer}, timeout=0.3)
    provider.wait_until_closed_by_peer(closed + 1)
    row = application.row()
    assert (row.outcome, row.status) == (Outcome.ABORTED, 499)


# -- with a deadline, as on Lambda -----------------------------------------------------------------------------------------


class Invocation:
    """One call of the app as the Lambda runtime makes it: no word of clients that leave, and a deadline."""

    def __init__(
        self, app: Gateway, tenant: Tenant, body: bytes, *, path: str = CHAT, seconds: float, refuse_after: int = 1000
    ):
        self.sent: list[Message] = []
        self._app, self._body, self._refuse_after = app, body, refuse_after
        self.scope: dict[str, Any] = {
            "type": "http",
            "method": "POST",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "headers": [(b"authorization", f"Bearer {tenant.key}".encode()), (b"content-type", b"application/json")],
            "extensions": {"navplane.deadline": time.monotonic() + seconds},
        }

    async def run(self) -> bytes:
        await self._app(self.scope, self._receive, self._send)
        return b"".join(message.get("body", b"") for message in self.sent)

    async def _receive(self) -> Message:
        if self._body is not None:
            body, self._body = self._body, None  # type: ignore[assignment]
            return {"type": "http.request", "body": body, "more_body": False}
        raise AssertionError("the runtime was asked whether the client left")

    async def _send(self, message: Message) -> None:
        if len(self.sent) >= self._refuse_after:
            raise ConnectionResetError("the response was refused")
        self.sent.append(message)


@pytest.fixture
def lambdas(provider: FakeProvider) -> GatewayServer:
    """A gateway that is called directly; its limits leave a tenth of a second before a deadline."""
    limits = Limits(margin=0.1, standing_interval=0.05)
    return GatewayServer({"openai": provider.url, "anthropic": provider.url}, limits=limits)


@pytest.mark.parametrize("path", [CHAT, MESSAGES])
def test_stream_ends_before_the_deadline_with_an_error_event(lambdas: GatewayServer, provider: FakeProvider, path: str) -> None:
    provider.script(stream([FIRST[path], Hang()], end=False))
    received = run(lambdas, Invocation(lambdas.app, lambdas.tenant(), body_of(path), path=path, seconds=0.6))
    assert received.startswith(FIRST[path])
    assert b"upstream_timeout" in received or b"timeout_error" in received
    (row,) = lambdas.log.events
    assert (row.outcome, row.error_code, row.status) == (Outcome.TERMINATED, "upstream_timeout", 200)


def test_answer_that_does_not_begin_before_the_deadline_is_a_504(lambdas: GatewayServer, provider: FakeProvider) -> None:
    provider.script([Hang()])
    invocation = Invocation(lambdas.app, lambdas.tenant(), body_of(CHAT, streamed=False), seconds=0.4)
    assert b"upstream_timeout" in run(lambdas, invocation)
    assert invocation.sent[0]["status"] == 504
    assert lambdas.log.events[0].outcome is Outcome.TERMINATED


@pytest.mark.parametrize("refuse_after", [0, 1, 2])
def test_refused_response_is_drained_for_its_usage(lambdas: GatewayServer, provider: FakeProvider, refuse_after: int) -> None:
    # More than is ever read at once, so that something is left to refuse.
    provider.script(stream([FIRST[CHAT] * 10_000, USAGE, DONE]))
    run(lambdas, Invocation(lambdas.app, lambdas.tenant(), body_of(CHAT), seconds=30, refuse_after=refuse_after))
    (row,) = lambdas.log.events
    assert (row.outcome, row.usage_quality) == (Outcome.ABORTED, UsageQuality.EXACT)
    assert row.usage == Usage(input_tokens=11, output_tokens=7)


def test_row_is_published_and_settled_before_the_app_returns(lambdas: GatewayServer, provider: FakeProvider) -> None:
    provider.script(stream([FIRST[CHAT], USAGE, DONE]))
    invocation = Invocation(lambdas.app, lambdas.tenant(), body_of(CHAT), seconds=30)
    assert run(lambdas, invocation) == FIRST[CHAT] + DONE
    (row,) = lambdas.log.events
    assert lambdas.gate.state_of(row.request_id) is State.SETTLED
    assert lambdas.gate.charge_of(row.request_id).tokens == 18


def test_nothing_runs_on_after_a_call(lambdas: GatewayServer, provider: FakeProvider) -> None:
    pause = Pause()
    provider.script(stream([FIRST[CHAT], pause, DONE]))

    async def call() -> set[asyncio.Task[Any]]:
        invocation = Invocation(lambdas.app, lambdas.tenant(), body_of(CHAT), seconds=30)
        calling = asyncio.ensure_future(invocation.run())
        await asyncio.to_thread(lambdas.gate.wait_for_standings, 2)
        pause.release()
        await calling
        await asyncio.sleep(0)
        left = asyncio.all_tasks() - {asyncio.current_task()}
        await lambdas.app.aclose()
        return left

    assert asyncio.run(call()) == set()


def run(server: GatewayServer, invocation: Invocation) -> bytes:
    async def call() -> bytes:
        try:
            return await invocation.run()
        finally:
            await server.app.aclose()

    return asyncio.run(call())


# -- between admission and the first byte ----------------------------------------------------------------------------------


class SlowlyKilledGate(MemoryGate):
    """The organization is disabled right after it was admitted."""

    def admit(self, ask: Ask, now: Any) -> Admission | Refusal:
        answer = super().admit(ask, now)
        if isinstance(answer, Admission):
            self.set_enabled(answer.caller.org_id, False)
        return answer


@pytest.mark.parametrize(("age", "asked"), [(-1.0, True), (10.0, False)])
def test_old_admission_is_confirmed_before_anything_is_written_upstream(
    provider: FakeProvider, age: float, asked: bool
) -> None:
    gate = SlowlyKilledGate()
    provider.script(json_answer(b"{}"))
    before = len(provider.requests)
    limits = Limits(admission_age=age)
    with GatewayServer({"openai": provider.url}, gate=gate, limits=limits) as server, server.client() as http:
        tenant = add_tenant(gate)
        headers = {"authorization": f"Bearer {tenant.key}"}
        response = http.post(CHAT, json={"model": "gpt-5"}, headers=headers)
        (row,) = server.log.wait_for(1)
    assert response.status_code == (403 if asked else 200)
    assert len(provider.requests) - before == (0 if asked else 1)
    if asked:
        assert (row.outcome, row.error_code, row.usage) == (Outcome.REFUSED, "organization_disabled", Usage())


# -- a gate that falls silent while calls are open ---------------------------------------------------------------------------


class GateThatDies(MemoryGate):
    def __init__(self, error: Exception) -> None:
        super().__init__()
        self._error = error
        self.alive = True

    def standing(self, callers: Sequence[Caller], now: Any) -> Sequence[RefusalReason | None]:
        if not self.alive:
            raise self._error
        return super().standing(callers, now)


@pytest.mark.parametrize("error", [DependencyUnavailable("The gate is away."), KeyError("a bug")])
def test_call_whose_standing_nobody_can_confirm_is_ended(provider: FakeProvider, error: Exception) -> None:
    gate = GateThatDies(error)
    provider.script(stream([FIRST[CHAT], Hang()], end=False))
    limits = Limits(standing_interval=0.05, standing_limit=0.2)
    with GatewayServer({"openai": provider.url}, gate=gate, limits=limits) as server, server.client() as http:
        tenant = add_tenant(gate)
        headers = {"authorization": f"Bearer {tenant.key}", "content-type": "application/json"}
        with http.stream("POST", CHAT, content=body_of(CHAT), headers=headers) as response:
            chunks = response.iter_raw()
            assert next(chunks) == FIRST[CHAT]
            gate.alive = False
            assert b'"unavailable"' in b"".join(chunks)
        (row,) = server.log.wait_for(1)
    assert (row.outcome, row.error_code) == (Outcome.TERMINATED, "unavailable")
