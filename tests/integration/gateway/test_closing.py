"""Where gate and queue are one database, a call is settled and its event queued in one step; else, or if that fails, in two."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

import httpx2
import pytest
from navplane.errors import DependencyUnavailable
from navplane.gate.gate import Charge
from navplane.model.usage_event import UsageEvent

from tests.support.gate_memory import State
from tests.support.gateway import GatewayServer, Tenant
from tests.support.provider import FakeProvider, json_answer

ANSWER = json.dumps({"choices": [], "usage": {"prompt_tokens": 11, "completion_tokens": 7}}).encode()


class OneStep:
    """Settles in the server's gate and publishes to its log; or fails."""

    def __init__(self) -> None:
        self.server: GatewayServer | None = None
        self.available = True
        self.charges: list[Charge] = []

    def settle_and_send(self, event: UsageEvent, *, tokens: int, nano_usd: int | None, now: datetime) -> None:
        if not self.available:
            raise DependencyUnavailable("away")
        assert self.server is not None
        charge = Charge(tokens=tokens, nano_usd=nano_usd)
        self.charges.append(charge)
        self.server.gate.settle(event.request_id, charge, now)
        self.server.log.publish(event)


@contextmanager
def served(closing: OneStep, provider: FakeProvider) -> Iterator[tuple[GatewayServer, Tenant]]:
    with GatewayServer({"openai": provider.url}, closing=closing) as server:
        closing.server = server
        yield server, server.tenant()


def call(server: GatewayServer, key: str, provider: FakeProvider) -> httpx2.Response:
    provider.script(json_answer(ANSWER))
    with server.client() as http:
        return http.post(
            "/v1/chat/completions", json={"model": "gpt-5", "messages": []}, headers={"authorization": f"Bearer {key}"}
        )


@pytest.mark.parametrize("available", [True, False])
def test_one_event_and_a_settled_reservation_come_of_a_call(provider: FakeProvider, available: bool) -> None:
    closing = OneStep()
    closing.available = available
    with served(closing, provider) as (server, tenant):
        assert call(server, tenant.key, provider).status_code == 200
        [event] = server.log.wait_for(1, org_id=tenant.org_id)
        assert event.usage.total_tokens == 18
        assert [charge.tokens for charge in closing.charges] == ([18] if available else [])
        assert server.gate.state_of(event.request_id) is State.SETTLED
    assert len(server.log.of(tenant.org_id)) == 1


def test_what_was_refused_has_nothing_to_settle_and_is_published(provider: FakeProvider) -> None:
    closing = OneStep()
    with served(closing, provider) as (server, tenant):
        server.gate.set_enabled(tenant.org_id, False)
        assert call(server, tenant.key, provider).status_code == 403
        server.log.wait_for(1, org_id=tenant.org_id)
    assert closing.charges == []
