"""Money: what other gateways charged wrong, or not at all. From the provider's bytes to the ledger, on a real Postgres.

The prices are those of the pinned list; the sums are worked out by hand in the comments, per million tokens.
"""

import json
from decimal import Decimal

from navplane.model.ids import new_id
from navplane.model.limit import Limit, LimitKind, LimitScope
from navplane.model.tenancy import StreamUsage
from navplane.model.usage import Usage
from navplane.store.database import Connection, Database

from tests.regressions.conftest import Application, entered, new_tenant
from tests.support.gate_seed_postgres import PostgresSeed
from tests.support.gateway import GatewayServer
from tests.support.provider import FakeProvider, json_answer, stream

CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
CLAUDE = b'{"model":"claude-sonnet-4-5","max_tokens":500,"messages":[]}'
TEXT = b'data: {"model":"gpt-5","choices":[{"delta":{"content":"some words here"},"finish_reason":"stop"}]}\n\n'
USAGE = b'data: {"model":"gpt-5","choices":[],"usage":{"prompt_tokens":11,"completion_tokens":7}}\n\n'
DONE = b"data: [DONE]\n\n"


def test_cache_reads_billed_as_fresh_input(
    tenant: Application, provider: FakeProvider, superuser: Connection, writer: Database
) -> None:
    usage = {"input_tokens": 100, "cache_read_input_tokens": 100_000, "output_tokens": 10}
    provider.script(json_answer(json.dumps({"type": "message", "model": "claude-sonnet-4-5", "usage": usage}).encode()))
    assert tenant.post(MESSAGES, CLAUDE).status_code == 200
    row, ledger = entered(superuser, writer, tenant.row(), "input_tokens", "cached_input_tokens", "cost_usd")
    # 100 × 3 + 100,000 × 0.3 + 10 × 15; as fresh input it would be 0.30045
    assert (row, ledger) == ([100_100, 100_000, Decimal("0.03045")], [Decimal("0.03045")])


def test_cache_write_tokens_dropped(
    tenant: Application, provider: FakeProvider, superuser: Connection, writer: Database
) -> None:
    written = {"ephemeral_5m_input_tokens": 50, "ephemeral_1h_input_tokens": 20}
    usage = {"input_tokens": 830, "cache_read_input_tokens": 100, "cache_creation_input_tokens": 70, "cache_creation": written}
    message = {"type": "message", "model": "claude-sonnet-4-5", "usage": usage | {"output_tokens": 200}}
    provider.script(json_answer(json.dumps(message).encode()))
    assert tenant.post(MESSAGES, CLAUDE).status_code == 200
    columns = ("input_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens")
    row, ledger = entered(superuser, writer, tenant.row(), *columns)
    # 830 × 3 + 100 × 0.3 + 50 × 3.75 + 20 × 6 + 200 × 15; without what was written it would be 0.00552
    assert (row, ledger) == ([1000, 50, 20], [Decimal("0.0058275")])


def test_cache_write_tokens_of_a_chat_dropped(tenant: Application, provider: FakeProvider) -> None:
    usage = {
        "prompt_tokens": 90,
        "completion_tokens": 5,
        "prompt_tokens_details": {"cached_tokens": 10, "cache_write_tokens": 64},
    }
    provider.script(json_answer(json.dumps({"model": "gpt-5", "choices": [], "usage": usage}).encode()))
    assert tenant.post(CHAT, b'{"model":"gpt-5","messages":[]}').status_code == 200
    row = tenant.row()
    assert row.usage == Usage(input_tokens=90, output_tokens=5, cached_input_tokens=10, cache_write_5m_tokens=64)
    assert row.raw_usage == usage


def test_streamed_spend_logged_as_zero(
    tenant: Application, provider: FakeProvider, superuser: Connection, writer: Database
) -> None:
    provider.script(stream([TEXT, USAGE, DONE]))
    assert tenant.post(CHAT, b'{"model":"gpt-5","stream":true,"messages":[]}').content == TEXT + DONE
    row, ledger = entered(superuser, writer, tenant.row(), "usage_quality", "input_tokens", "output_tokens")
    # 11 × 1.25 + 7 × 10
    assert (row, ledger) == (["exact", 11, 7], [Decimal("0.00008375")])


def test_streamed_spend_without_any_usage_logged_as_zero(
    deployed: GatewayServer, seed: PostgresSeed, provider: FakeProvider, superuser: Connection, writer: Database
) -> None:
    body = b'{"model":"gpt-5","stream":true,"messages":[]}'
    provider.script(stream([TEXT, DONE]))
    with deployed.client() as http:
        observer = new_tenant(deployed, seed, http, stream_usage=StreamUsage.OBSERVE)
        assert observer.post(CHAT, body).content == TEXT + DONE
        row, ledger = entered(superuser, writer, observer.row(), "usage_quality", "input_tokens", "output_tokens")
    # A token for every 4 bytes of the 45 that were asked, and of the 15 that were written: 12 × 1.25 + 4 × 10
    assert (len(body), row, ledger) == (45, ["estimated", 12, 4], [Decimal("0.000055")])


def test_unknown_model_priced_at_zero(
    tenant: Application, seed: PostgresSeed, provider: FakeProvider, superuser: Connection, writer: Database
) -> None:
    body = b'{"model":"gpt-unheard-of","max_tokens":5,"messages":[]}'
    provider.script(
        json_answer(b'{"model":"gpt-unheard-of","choices":[],"usage":{"prompt_tokens":1000,"completion_tokens":1000}}')
    )
    assert tenant.post(CHAT, body).status_code == 200
    row, ledger = entered(superuser, writer, tenant.row(), "cost_usd", "price_quality")
    assert (row, ledger) == ([None, "unpriced"], [])
    # And under a budget in money it is not let through as if it cost nothing.
    limit = Limit(id=new_id(), scope=LimitScope.KEY, scope_id=tenant.caller.key_id, kind=LimitKind.USD_PER_DAY, amount=10**12)
    seed.set_limit(tenant.org_id, limit)
    called, refused = len(provider.requests), tenant.post(CHAT, body)
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "model_unpriced")
    assert len(provider.requests) == called
