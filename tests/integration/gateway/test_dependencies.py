"""Our own dependencies away: always 503, never the caller's fault, and nothing is lost."""

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import pytest
from navplane.crypto.kek_local import LocalKek
from navplane.errors import DecryptionError, DependencyUnavailable, OutcomeUnknown
from navplane.gate.gate import Admission, Ask, Charge, Refusal
from navplane.gateway.limits import Limits
from navplane.gateway.threads import GATE_THREADS
from navplane.model.ids import RequestId
from navplane.model.provider_key import SealedProviderKey
from navplane.model.usage import Outcome, Usage, UsageQuality

from tests.support.gate_memory import MemoryGate
from tests.support.gateway import KEK, GatewayServer, Tenant, add_tenant, sealed_key
from tests.support.log_lines import captured_log
from tests.support.provider import FakeProvider, json_answer
from tests.support.request_log_memory import MemoryRequestLog

CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
SURFACES = [(CHAT, "gpt-5"), (MESSAGES, "claude-opus-5")]


class DeadGate(MemoryGate):
    def __init__(self, error: Exception) -> None:
        super().__init__()
        self._error = error

    def admit(self, ask: Ask, now: datetime) -> Admission | Refusal:
        raise self._error

    def ready(self) -> None:
        raise self._error


class StuckGate(MemoryGate):
    """Answers when the test lets it."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[Ask] = []
        self.released = threading.Event()

    def admit(self, ask: Ask, now: datetime) -> Admission | Refusal:
        self.asked.append(ask)
        assert self.released.wait(20)
        return super().admit(ask, now)


class DeadKek:
    kek_id = "dead"

    def __init__(self, error: Exception) -> None:
        self._error = error

    def unwrap(self, wrapped: bytes, *, kek_id: str, context: Mapping[str, str]) -> bytes:
        raise self._error


def call(server: GatewayServer, tenant: Tenant, path: str, model: str) -> Any:
    with server.client() as http:
        return http.post(path, json={"model": model}, headers={"authorization": f"Bearer {tenant.key}"})


def expect_503(path: str, response: Any, code: str) -> None:
    assert response.status_code == 503
    error = response.json()["error"]
    assert error.get("code", error["type"]) == (code if path == CHAT else "api_error")
    assert int(response.headers["retry-after"]) <= 2
    assert "x-should-retry" not in response.headers


@pytest.mark.parametrize(("path", "model"), SURFACES)
def test_gate_that_is_down_is_a_503_without_a_row(provider: FakeProvider, path: str, model: str) -> None:
    before = provider.connections
    gate = DeadGate(DependencyUnavailable("The gate is away."))
    with GatewayServer({"openai": provider.url, "anthropic": provider.url}, gate=gate) as server:
        expect_503(path, call(server, add_tenant(gate), path, model), "unavailable")
        assert server.log.events == []
    assert provider.connections == before


def test_admission_of_unknown_outcome_is_a_503_with_a_row_that_closes_it(provider: FakeProvider) -> None:
    gate = DeadGate(OutcomeUnknown("The gate went silent."))
    with GatewayServer({"openai": provider.url}, gate=gate) as server:
        response = call(server, add_tenant(gate), CHAT, "gpt-5")
        expect_503(CHAT, response, "unavailable")
        (row,) = server.log.wait_for(1)
    assert str(row.request_id) == response.headers["x-navplane-request-id"]
    assert (row.status, row.outcome, row.error_code, row.org_id) == (503, Outcome.FAILED, "unavailable", None)
    assert (row.usage, row.usage_quality, row.attempts) == (Usage(), UsageQuality.EXACT, 0)


def test_calls_do_not_wait_for_each_other_at_a_gate_that_is_stuck(provider: FakeProvider) -> None:
    before, gate = provider.connections, StuckGate()
    with GatewayServer({"openai": provider.url}, gate=gate, limits=Limits(gate=0.3)) as server:
        tenant = add_tenant(gate)
        with ThreadPoolExecutor(3 * GATE_THREADS) as callers:
            responses = list(callers.map(lambda _: call(server, tenant, CHAT, "gpt-5"), range(3 * GATE_THREADS)))
        for response in responses:
            expect_503(CHAT, response, "unavailable")
        # Who was never asked about was not admitted either; of the others nobody knows, so their rows close what may be open.
        rows = server.log.wait_for(GATE_THREADS)
        gate.released.set()
    assert {row.request_id for row in rows} == {ask.request_id for ask in gate.asked}
    assert len(gate.asked) == GATE_THREADS
    assert provider.connections == before


def test_bug_in_a_dependency_is_a_500_in_the_dialect_that_says_nothing(provider: FakeProvider) -> None:
    gate = DeadGate(KeyError("secret-detail"))
    with GatewayServer({"anthropic": provider.url}, gate=gate) as server, captured_log() as log:
        response = call(server, add_tenant(gate), MESSAGES, "claude-opus-5")
    assert (response.status_code, response.json()["error"]["type"]) == (500, "api_error")
    assert "secret-detail" not in response.text + log.getvalue()
    assert '"error":"KeyError"' in log.getvalue()


@pytest.mark.parametrize(("path", "model"), SURFACES)
@pytest.mark.parametrize("error", [DependencyUnavailable("KMS is away."), DecryptionError()])
def test_kek_that_does_not_open_is_a_503_and_the_provider_is_not_called(
    provider: FakeProvider, path: str, model: str, error: Exception
) -> None:
    before = provider.connections
    with GatewayServer({"openai": provider.url, "anthropic": provider.url}, kek=DeadKek(error)) as server:
        tenant = server.tenant()
        expect_503(path, call(server, tenant, path, model), "key_unavailable")
        (row,) = server.log.wait_for(1)
        assert server.gate.open_reservations() == []
    assert (row.outcome, row.error_code, row.org_id) == (Outcome.FAILED, "key_unavailable", tenant.org_id)
    assert (row.usage, row.usage_quality) == (Usage(), UsageQuality.EXACT)
    assert provider.connections == before


def test_sealed_key_of_another_organization_does_not_open(provider: FakeProvider) -> None:
    before = provider.connections
    with GatewayServer({"openai": provider.url}) as server, captured_log() as log:
        victim, thief = server.tenant(), server.tenant()
        stolen = sealed_key(victim.org_id, "openai")
        mine = sealed_key(thief.org_id, "openai")
        server.gate.remove_provider_keys(thief.org_id)
        moved = SealedProviderKey(context=mine.context, base_url=None, demo=False, sealed=stolen.sealed)
        server.gate.add_provider_key(moved)
        expect_503(CHAT, call(server, thief, CHAT, "gpt-5"), "key_unavailable")
    assert "provider_key.unavailable" in log.getvalue()
    assert provider.connections == before


def test_kek_is_asked_once_for_many_calls(provider: FakeProvider) -> None:
    kek = CountingKek(KEK)
    provider.script(json_answer(b"{}"))
    with GatewayServer({"openai": provider.url}, kek=kek) as server:
        tenant = server.tenant()
        for _ in range(5):
            assert call(server, tenant, CHAT, "gpt-5").status_code == 200
    assert kek.asked == 1


class CountingKek:
    def __init__(self, kek: LocalKek) -> None:
        self._kek, self.asked = kek, 0

    def unwrap(self, wrapped: bytes, *, kek_id: str, context: Mapping[str, str]) -> bytes:
        self.asked += 1
        return self._kek.unwrap(wrapped, kek_id=kek_id, context=context)


class GateThatCannotSettle(MemoryGate):
    def __init__(self, error: Exception) -> None:
        super().__init__()
        self._error = error

    def settle(self, request_id: RequestId, charge: Charge, now: datetime) -> None:
        raise self._error


@pytest.mark.parametrize("error", [DependencyUnavailable("The gate is away."), KeyError("a bug")])
def test_row_is_published_although_the_gate_can_not_settle(provider: FakeProvider, error: Exception) -> None:
    gate = GateThatCannotSettle(error)
    provider.script(json_answer(b'{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}'))
    with GatewayServer({"openai": provider.url}, gate=gate) as server, captured_log() as log:
        assert call(server, add_tenant(gate), CHAT, "gpt-5").status_code == 200
        (row,) = server.log.wait_for(1)
    assert row.usage == Usage(input_tokens=1, output_tokens=2)
    assert "settle.failed" in log.getvalue()


def test_key_with_an_address_of_its_own_is_sent_nowhere_else(provider: FakeProvider) -> None:
    before = provider.connections
    with GatewayServer({"openai": provider.url}) as server:
        tenant = server.tenant()
        server.gate.remove_provider_keys(tenant.org_id)
        key = sealed_key(tenant.org_id, "openai")
        elsewhere = SealedProviderKey(context=key.context, base_url="https://evil.example", demo=False, sealed=key.sealed)
        server.gate.add_provider_key(elsewhere)
        assert call(server, tenant, CHAT, "gpt-5").json()["error"]["code"] == "provider_key_missing"
        assert server.log.wait_for(1)[0].outcome is Outcome.REFUSED
    assert provider.connections == before


def test_demo_key_never_reaches_a_real_provider(provider: FakeProvider) -> None:
    before = provider.connections
    with GatewayServer({"openai": provider.url}) as server:
        tenant = server.tenant()
        server.gate.remove_provider_keys(tenant.org_id)
        server.gate.add_provider_key(sealed_key(tenant.org_id, "openai", "sk-demo-1", demo=True))
        assert call(server, tenant, CHAT, "gpt-5").status_code == 502
        assert server.log.wait_for(1)[0].demo
    assert provider.connections == before


# -- health ----------------------------------------------------------------------------------------------------------------


def test_ready_names_what_is_away_and_health_does_not_care(provider: FakeProvider) -> None:
    log = MemoryRequestLog()
    log.available = False
    gate = DeadGate(DependencyUnavailable("secret"))
    with (
        GatewayServer({}, gate=gate, request_log=log, kek=DeadKek(DependencyUnavailable("x"))) as server,
        server.client() as http,
    ):
        assert (http.get("/health").status_code, http.get("/health").json()) == (200, {"status": "ok"})
        response = http.get("/ready")
        assert response.status_code == 503
        states: Sequence[str] = list(response.json()["checks"].values())
        assert (list(response.json()["checks"]), set(states)) == (["gate", "kek", "queue"], {"unavailable"})


def test_ready_is_200_when_all_answer(provider: FakeProvider) -> None:
    with GatewayServer({}) as server, server.client() as http:
        assert http.get("/ready").json() == {"status": "ready", "checks": {"gate": "ok", "kek": "ok", "queue": "ok"}}
        assert http.post("/ready").status_code == 404
