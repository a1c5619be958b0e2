"""The gate fails to answer: organizations that chose cached admission go on for a while, everybody else is told at once."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import httpx2
import pytest
from navplane.errors import DependencyUnavailable
from navplane.gate.gate import Admission, Ask, Caller, Charge, Refusal, RefusalReason
from navplane.gateway.limits import Limits
from navplane.model.ids import RequestId, new_id
from navplane.model.limit import Limit, LimitKind, LimitMode, LimitScope
from navplane.model.usage import Outcome

from tests.support.gate_memory import MemoryGate
from tests.support.gateway import GatewayServer, Tenant, add_tenant
from tests.support.provider import FakeProvider, Pause, json_answer, stream

CHAT = "/v1/chat/completions"
ANSWER = b'{"model":"gpt-5","choices":[],"usage":{"prompt_tokens":11,"completion_tokens":3,"total_tokens":14}}'
EVENT = b'data: {"choices":[]}\n\n'


class FailingGate(MemoryGate):
    """As long as `away`, it can't answer; `silent`, it takes its time over that."""

    def __init__(self, *, silent: float = 0.0) -> None:
        super().__init__()
        self.away, self._silent = False, silent
        self.tried = 0

    def _fail(self) -> None:
        if self.away:
            self.tried += 1
            time.sleep(self._silent)
            raise DependencyUnavailable("The gate is away.")

    def admit(self, ask: Ask, now: datetime) -> Admission | Refusal:
        self._fail()
        return super().admit(ask, now)

    def standing(self, callers: Sequence[Caller], now: datetime) -> Sequence[RefusalReason | None]:
        self._fail()
        return super().standing(callers, now)

    def settle(self, request_id: RequestId, charge: Charge, now: datetime) -> None:
        self._fail()
        super().settle(request_id, charge, now)

    def keeps_content(self, caller: Caller) -> bool:
        self._fail()
        return super().keeps_content(caller)


def ask(server: GatewayServer, tenant: Tenant, *, path: str = CHAT, **changes: Any) -> httpx2.Response:
    with server.client() as http:
        return http.post(path, json={"model": "gpt-5", **changes}, headers={"authorization": f"Bearer {tenant.key}"})


def choosing(gate: MemoryGate) -> Tenant:
    tenant = add_tenant(gate)
    gate.set_cached_admission(tenant.org_id, True)
    return tenant


@pytest.mark.parametrize("silent", [0.0, 0.5])
def test_who_chose_it_is_served_and_every_call_has_its_row(provider: FakeProvider, silent: float) -> None:
    gate = FailingGate(silent=silent)
    with GatewayServer({"openai": provider.url}, gate=gate, limits=Limits(gate=0.3)) as server:
        tenant = choosing(gate)
        provider.script(json_answer(ANSWER))
        answers = [ask(server, tenant)]
        gate.away = True
        answers += [ask(server, tenant) for _ in range(3)]
        assert [answer.content for answer in answers] == [ANSWER] * 4
        rows = server.log.wait_for(4)
    assert {str(row.request_id) for row in rows} == {answer.headers["x-navplane-request-id"] for answer in answers}
    assert {(row.org_id, row.outcome, row.usage.total_tokens) for row in rows} == {(tenant.org_id, Outcome.OK, 14)}


def test_nobody_else_is_and_nothing_but_what_was_let_through_before(provider: FakeProvider) -> None:
    gate = FailingGate()
    with GatewayServer({"openai": provider.url, "anthropic": provider.url}, gate=gate) as server:
        chose, other = choosing(gate), add_tenant(gate)
        provider.script(json_answer(ANSWER))
        for tenant in (chose, other):
            assert ask(server, tenant).status_code == 200
        gate.away, before = True, len(provider.requests)
        refused = [
            ask(server, other),
            ask(server, chose, model="gpt-5-mini"),
            ask(server, chose, stream=True),
            ask(server, chose, path="/v1/responses"),
            ask(server, choosing(gate)),
        ]
        assert [answer.status_code for answer in refused] == [503] * 5
        assert len(provider.requests) == before


def test_what_makes_objects_needs_the_gate_and_is_not_remembered(provider: FakeProvider) -> None:
    gate = FailingGate()
    with GatewayServer({"openai": provider.url}, gate=gate) as server:
        tenant = choosing(gate)
        provider.script(json_answer(b'{"id":"resp_0123456789","object":"response","usage":null}'))
        assert ask(server, tenant, path="/v1/responses", input="Hello").status_code == 200
        gate.away = True
        assert ask(server, tenant, path="/v1/responses", input="Hello").status_code == 503


def test_a_limit_ends_it_with_the_next_answer_of_the_gate(provider: FakeProvider) -> None:
    gate = FailingGate()
    with GatewayServer({"openai": provider.url}, gate=gate) as server:
        tenant = choosing(gate)
        provider.script(json_answer(ANSWER))
        assert ask(server, tenant).status_code == 200
        gate.set_limit(
            tenant.org_id,
            Limit(
                id=new_id(), scope=LimitScope.ORGANIZATION, scope_id=tenant.org_id, kind=LimitKind.REQUESTS_PER_HOUR,
                amount=100, mode=LimitMode.NORMAL, allow_unpriced=False,
            ),
        )  # fmt: skip
        assert ask(server, tenant).status_code == 200
        gate.away = True
        assert ask(server, tenant).status_code == 503


@pytest.mark.parametrize("kill", ["revoke", "disable"])
def test_a_refusal_that_was_seen_is_never_forgotten_for_what_came_before(provider: FakeProvider, kill: str) -> None:
    gate = FailingGate()
    with GatewayServer({"openai": provider.url}, gate=gate) as server:
        tenant = choosing(gate)
        provider.script(json_answer(ANSWER))
        assert ask(server, tenant).status_code == 200
        gate.revoke(tenant.caller.key_id) if kill == "revoke" else gate.set_enabled(tenant.org_id, False)
        assert ask(server, tenant).status_code in (401, 403)
        gate.away = True
        assert ask(server, tenant).status_code == 503


def test_it_ends_in_time_whatever_is_served_meanwhile(provider: FakeProvider) -> None:
    gate = FailingGate()
    with GatewayServer({"openai": provider.url}, gate=gate, limits=Limits(outage_memory=0.6)) as server:
        tenant = choosing(gate)
        provider.script(json_answer(ANSWER))
        assert ask(server, tenant).status_code == 200
        asked_at, gate.away = time.monotonic(), True
        while (status := ask(server, tenant).status_code) == 200:
            assert time.monotonic() - asked_at < 20
        assert status == 503
        assert time.monotonic() - asked_at >= 0.5


def test_many_calls_ask_a_failing_gate_about_one_key_once_in_a_while(provider: FakeProvider) -> None:
    gate = FailingGate()
    with GatewayServer({"openai": provider.url}, gate=gate) as server:
        tenant = choosing(gate)
        provider.script(json_answer(ANSWER))
        assert ask(server, tenant).status_code == 200
        gate.away = True
        assert ask(server, tenant).status_code == 200
        began, gate.tried = time.monotonic(), 0
        with ThreadPoolExecutor(8) as callers:
            answers = list(callers.map(lambda _: ask(server, tenant), range(40)))
        assert {answer.status_code for answer in answers} == {200}
        assert gate.tried <= 1 + (time.monotonic() - began)


def test_the_gate_that_is_back_is_asked_again(provider: FakeProvider) -> None:
    gate = FailingGate()
    with GatewayServer({"openai": provider.url}, gate=gate) as server:
        tenant = choosing(gate)
        provider.script(json_answer(ANSWER))
        assert ask(server, tenant).status_code == 200
        gate.away = True
        assert ask(server, tenant).status_code == 200
        gate.away = False
        gate.set_enabled(tenant.org_id, False)
        given_up = time.monotonic() + 20
        while ask(server, tenant).status_code == 200:
            assert time.monotonic() < given_up
        assert len(server.log.wait_for(2)) >= 2


@pytest.mark.parametrize("chose", [True, False])
def test_an_open_stream_goes_on_only_for_who_chose_it(provider: FakeProvider, chose: bool) -> None:
    gate, pause = FailingGate(), Pause()
    limits = Limits(standing_interval=0.1, standing_limit=0.4)
    with GatewayServer({"openai": provider.url}, gate=gate, limits=limits) as server, server.client() as http:
        tenant = choosing(gate) if chose else add_tenant(gate)
        steps = stream([EVENT, EVENT, b"data: [DONE]\n\n"])
        provider.script([*steps[:2], pause, *steps[2:]])
        headers = {"authorization": f"Bearer {tenant.key}"}
        with http.stream("POST", CHAT, json={"model": "gpt-5", "stream": True}, headers=headers) as answer:
            content = answer.iter_raw()
            received = next(content)
            gate.away = True
            if chose:
                while gate.tried < 8:
                    time.sleep(0.02)
                pause.release()
            received += b"".join(content)
        pause.release()
        (row,) = server.log.wait_for(1)
    assert (b"[DONE]" in received) is chose
    assert row.outcome is (Outcome.OK if chose else Outcome.TERMINATED)
