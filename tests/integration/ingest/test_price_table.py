"""What providers say was used, in each shape in which they say it, against the ledger: worked out by hand, to 1e-9 USD.

The prices are those of the pinned list, per million tokens, as the comments spell them out; the sums are literals.
"""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from navplane.gate.gate import Caller
from navplane.ingest.recording import record_what_can_be
from navplane.model.ids import RequestId, new_id
from navplane.model.price import AgreedRates, PriceOverride
from navplane.model.usage import Endpoint, PriceQuality, Usage
from navplane.model.usage_event import UsageEvent
from navplane.store.database import Connection, Database
from navplane.store.migrate import ensure_partitions
from navplane.store.price_overrides import insert
from navplane.upstream.readers import READERS

from tests.support.postgres import TestDatabase
from tests.support.usage_events import usage_event

CHAT, RESPONSES, MESSAGES = Endpoint.CHAT_COMPLETIONS, Endpoint.RESPONSES, Endpoint.MESSAGES
NOON = datetime(2026, 11, 10, 12, tzinfo=UTC)
HALF = datetime(2026, 11, 16, tzinfo=UTC)
LIST, WORD, AGREED = "list", "provider", "override"
Body = dict[str, Any]


def chat(prompt: int, completion: int, **more: Any) -> Body:
    return {"choices": [], "usage": {"prompt_tokens": prompt, "completion_tokens": completion, **more}}


def messages(read: int, written: int, **more: Any) -> Body:
    return {"type": "message", "usage": {"input_tokens": read, "output_tokens": written, **more}}


# name: endpoint, provider, model, the answer's body, USD (None: no price), by whose word
TABLE: dict[str, tuple[Endpoint, str, str, Body, str | None, str | None]] = {
    # 11 × 1.25 + 7 × 10
    "chat": (CHAT, "openai", "gpt-5", chat(11, 7), "0.00008375", LIST),
    # 700 × 1.25 + 300 × 0.125 + 200 × 10, the reasoning within the 200
    "chat, cached and reasoning": (
        CHAT,
        "openai",
        "gpt-5",
        chat(1000, 200, prompt_tokens_details={"cached_tokens": 300}, completion_tokens_details={"reasoning_tokens": 150}),
        "0.0029125",
        LIST,
    ),
    # 40 × 2.5 + 60 × 32 + 10 × 10 + 20 × 64
    "chat, audio in and out": (
        CHAT,
        "openai",
        "gpt-audio",
        chat(100, 30, prompt_tokens_details={"audio_tokens": 60}, completion_tokens_details={"audio_tokens": 20}),
        "0.0034",
        LIST,
    ),
    # (1000 × 1.25 + 1000 × 10) ÷ 2, and × 2
    "chat, batch tier": (CHAT, "openai", "gpt-5", chat(1000, 1000) | {"service_tier": "batch"}, "0.005625", LIST),
    "chat, flex tier": (CHAT, "openai", "gpt-5", chat(1000, 1000) | {"service_tier": "flex"}, "0.005625", LIST),
    "chat, priority tier": (CHAT, "openai", "gpt-5", chat(1000, 1000) | {"service_tier": "priority"}, "0.0225", LIST),
    # 400 × 2 + 100 × 0.5 + 250 × 8
    "responses": (
        RESPONSES,
        "openai",
        "o3",
        {
            "status": "completed",
            "usage": {"input_tokens": 500, "output_tokens": 250, "input_tokens_details": {"cached_tokens": 100}},
        },
        "0.00285",
        LIST,
    ),
    # 100 × 1.25 + 10 × 10 and two searches at 10 USD per thousand
    "responses, web searches": (
        RESPONSES,
        "openai",
        "gpt-5",
        {
            "usage": {"input_tokens": 100, "output_tokens": 10},
            "output": [{"type": "web_search_call"}, {"type": "web_search_call"}],
        },
        "0.020225",
        LIST,
    ),
    # 1,234,567 × 0.02
    "embeddings": (
        Endpoint.EMBEDDINGS,
        "openai",
        "text-embedding-3-small",
        {"data": [], "usage": {"prompt_tokens": 1234567}},
        "0.02469134",
        LIST,
    ),
    # 100 × 3 + 50 × 15
    "messages": (MESSAGES, "anthropic", "claude-sonnet-4-5", messages(100, 50), "0.00105", LIST),
    # 830 × 3 + 100 × 0.3 + 50 × 3.75 + 20 × 6 + 200 × 15
    "messages, cache read and written for 5 minutes and for an hour": (
        MESSAGES,
        "anthropic",
        "claude-sonnet-4-5",
        messages(
            830,
            200,
            cache_read_input_tokens=100,
            cache_creation_input_tokens=70,
            cache_creation={"ephemeral_5m_input_tokens": 50, "ephemeral_1h_input_tokens": 20},
        ),
        "0.0058275",
        LIST,
    ),
    # 1,000 × 15 + 10 × 18.75 + 7 × 75
    "messages, cache written without a word for how long": (
        MESSAGES,
        "anthropic",
        "claude-opus-4-1",
        messages(1000, 7, cache_creation_input_tokens=10),
        "0.0157125",
        LIST,
    ),
    # (1000 × 1 + 100 × 5) ÷ 2
    "messages, batch tier": (
        MESSAGES,
        "anthropic",
        "claude-haiku-4-5",
        messages(1000, 100, service_tier="batch"),
        "0.00075",
        LIST,
    ),
    # 100 × 3, and three searches at 10 USD per thousand
    "messages, web searches": (
        MESSAGES,
        "anthropic",
        "claude-sonnet-4-5",
        messages(100, 0, server_tool_use={"web_search_requests": 3}),
        "0.0303",
        LIST,
    ),
    # 200,001 tokens: all of them in the second tier, at 6 and 22.5
    "messages, the dearer tier": (MESSAGES, "anthropic", "claude-sonnet-4-5", messages(200001, 1000), "1.222506", LIST),
    # 100 × 1.25 + 60 × 10: what is in the total only is reasoning
    "google, reasoning in the total": (CHAT, "google", "gemini-2.5-pro", chat(100, 20, total_tokens=160), "0.000725", LIST),
    # 900 × 0.27 + 100 × 0.07 + 10 × 1.1
    "deepseek, cache hits beside the details": (
        CHAT,
        "deepseek",
        "deepseek-chat",
        chat(1000, 10, prompt_cache_hit_tokens=100),
        "0.000261",
        LIST,
    ),
    # 321 × 0.59 + 7 × 0.79
    "groq": (
        CHAT,
        "groq",
        "llama-3.3-70b-versatile",
        {"x_groq": {"usage": {"prompt_tokens": 321, "completion_tokens": 7}}},
        "0.00019492",
        LIST,
    ),
    # 10 × 2.5 + 90 × 6 + 20 × 10
    "transcription in tokens": (
        Endpoint.TRANSCRIPTIONS,
        "openai",
        "gpt-4o-transcribe",
        {
            "text": "",
            "usage": {"type": "tokens", "input_tokens": 100, "output_tokens": 20, "input_token_details": {"audio_tokens": 90}},
        },
        "0.000765",
        LIST,
    ),
    "openrouter says what it cost": (CHAT, "openrouter", "openai/gpt-5", chat(10, 10, cost=0.000123457), "0.000123457", WORD),
    "openrouter, free": (CHAT, "openrouter", "deepseek/deepseek-r1:free", chat(10**6, 10**6), "0", None),
    "transcription in seconds": (
        Endpoint.TRANSCRIPTIONS,
        "openai",
        "whisper-1",
        {"text": "", "usage": {"type": "duration", "seconds": 61}},
        None,
        None,
    ),
    "images in tokens": (
        Endpoint.IMAGES,
        "openai",
        "gpt-image-1",
        {"data": [], "usage": {"input_tokens": 50, "output_tokens": 1000}},
        None,
        None,
    ),
    # A price was agreed for these: 50 × 5 + 1000 × 40, and 0.006 a request
    "images at an agreed price": (
        Endpoint.IMAGES,
        "openai",
        "gpt-image-agreed",
        {"data": [], "usage": {"input_tokens": 50, "output_tokens": 1000}},
        "0.04625",
        AGREED,
    ),
    # 10 × 2 + 20 × 0.5 + 30 × 4 + 40 × 5 + 50 × 3
    "messages at an agreed price, every kind of cache": (
        MESSAGES,
        "anthropic",
        "claude-agreed",
        messages(
            10, 50, cache_read_input_tokens=20, cache_creation_input_tokens=70, cache_creation={"ephemeral_1h_input_tokens": 40}
        ),
        "0.0005",
        AGREED,
    ),
    "an agreed price goes before the provider's word": (
        CHAT,
        "openrouter",
        "agreed/model",
        chat(1000, 0, cost=1),
        "0.003",
        AGREED,
    ),
}


@pytest.fixture(scope="module")
def priced(module_database: TestDatabase) -> Database:
    """November's partition, whenever this runs."""
    with module_database.superuser() as superuser:
        ensure_partitions(superuser, now=NOON, months_ahead=1)
    return module_database.as_role("navplane_writer")


def agree(module_database: TestDatabase, caller: Caller, **terms: Any) -> None:
    named = {name: terms.pop(name) for name in ("provider", "model")}
    since, until = terms.pop("effective_from", NOON - timedelta(days=1)), terms.pop("effective_to", None)
    rates = AgreedRates(**{name: Decimal(value) for name, value in terms.items()})
    override = PriceOverride(id=new_id(), effective_from=since, effective_to=until, rates=rates, created_at=NOON, **named)
    with module_database.as_role("navplane_admin").transaction(org_id=caller.org_id) as db:
        insert(db, override, org_id=caller.org_id)


def event_of(caller: Caller, endpoint: Endpoint, provider: str, model: str, body: Body, *, now: datetime = NOON) -> UsageEvent:
    """What the meter makes of the provider's answer."""
    reader = READERS[endpoint]()
    reader.body(json.dumps(body).encode())
    reading = reader.reading()
    return usage_event(
        now=now, key_id=caller.key_id, endpoint=endpoint, provider=provider, model=model, usage=reading.usage or Usage(),
        service_tier=reading.service_tier, raw_usage=reading.raw, provider_cost_usd=reading.cost_usd,
    )  # fmt: skip


def ledger_of(superuser: Connection, request_id: RequestId) -> list[list[Any]]:
    sql = "SELECT amount_usd, price_source FROM ledger_entries WHERE request_id = :id"
    return list(superuser.run(sql, id=request_id))


@pytest.mark.parametrize("name", TABLE)
def test_the_ledger_is_what_the_hand_worked_out(
    name: str, priced: Database, module_database: TestDatabase, superuser: Connection, caller: Caller
) -> None:
    endpoint, provider, model, body, usd, source = TABLE[name]
    agree(module_database, caller, provider="openai", model="gpt-image-agreed", input_usd="0.000005", output_usd="0.00004",
          request_usd="0.006")  # fmt: skip
    agree(module_database, caller, provider="anthropic", model="claude-agreed", input_usd="0.000002", output_usd="0.000003",
          cached_input_usd="0.0000005", cache_write_5m_usd="0.000004", cache_write_1h_usd="0.000005")  # fmt: skip
    agree(module_database, caller, provider="openrouter", model="agreed/model", input_usd="0.000003", output_usd="0")
    event = event_of(caller, endpoint, provider, model, body)
    [row] = record_what_can_be(priced, [event]).rows
    expected = Decimal(usd) if usd is not None else None
    assert row.cost_usd == expected
    assert ledger_of(superuser, event.request_id) == ([[expected, source]] if expected else [])


def test_an_agreed_price_that_begins_in_mid_month_divides_the_month(
    priced: Database, module_database: TestDatabase, superuser: Connection, caller: Caller
) -> None:
    """Until the 15th by the list, from the 16th at 1 and 8, from the 20th at 0.9 and 7.2: to the moment of each request."""
    agree(module_database, caller, provider="openai", model="gpt-5", input_usd="0.000001", output_usd="0.000008",
          effective_from=HALF, effective_to=HALF + timedelta(days=4))  # fmt: skip
    agree(module_database, caller, provider="openai", model="gpt-5", input_usd="0.0000009", output_usd="0.0000072",
          effective_from=HALF + timedelta(days=4))  # fmt: skip
    moments = {
        HALF - timedelta(milliseconds=1): "0.0225",
        HALF: "0.018",
        HALF + timedelta(days=4) - timedelta(milliseconds=1): "0.018",
        HALF + timedelta(days=4): "0.0162",
    }
    # 2000 × 1.25 + 2000 × 10; 2000 × 1 + 2000 × 8; 2000 × 0.9 + 2000 × 7.2
    events = [event_of(caller, CHAT, "openai", "gpt-5", chat(2000, 2000), now=now) for now in moments]
    rows = {row.request_id: row for row in record_what_can_be(priced, events).rows}
    assert [rows[event.request_id].cost_usd for event in events] == [Decimal(usd) for usd in moments.values()]
    [[total]] = superuser.run("SELECT sum(amount_usd) FROM ledger_entries WHERE org_id = :org", org=caller.org_id)
    [[summed]] = superuser.run("SELECT sum(cost_usd) FROM usage_daily WHERE org_id = :org", org=caller.org_id)
    assert total == summed == Decimal("0.0747")


def test_what_has_no_price_is_flagged_and_never_zero(priced: Database, superuser: Connection, caller: Caller) -> None:
    event = event_of(caller, CHAT, "openai", "nobody-knows-it", chat(10, 10))
    record_what_can_be(priced, [event])
    sql = "SELECT cost_usd, price_quality FROM request_logs WHERE request_id = :id"
    assert superuser.run(sql, id=event.request_id) == [[None, PriceQuality.UNPRICED.value]]


UNITS = [
    # 61 × 0.006 ÷ 60; 1,234 × 15 ÷ 1,000,000; 3 × 0.04; 0.02 a request and nothing else
    ({"audio_second_usd": "0.0001"}, Usage(audio_seconds=61), "0.0061"),
    ({"character_usd": "0.000015"}, Usage(characters=1234), "0.01851"),
    ({"image_usd": "0.04"}, Usage(images=3), "0.12"),
    ({"request_usd": "0.02"}, Usage(audio_seconds=61), "0.02"),
    # 50 × 5 + 1000 × 40: pictures whose tokens are counted, and for which nothing else was agreed
    ({"input_usd": "0.000005", "output_usd": "0.00004"}, Usage(input_tokens=50, output_tokens=1000, images=1), "0.04025"),
    # Nothing was agreed about any of these, so nothing is known, and nothing is free.
    ({}, Usage(audio_seconds=61), None),
    ({"image_usd": "0.04"}, Usage(characters=1234), None),
    ({"audio_second_usd": "0.0001"}, Usage(images=3), None),
]


@pytest.mark.parametrize(("terms", "usage", "usd"), UNITS)
def test_what_is_not_counted_in_tokens_costs_what_was_agreed_for_it(
    terms: dict[str, str], usage: Usage, usd: str | None, priced: Database, module_database: TestDatabase,
    superuser: Connection, caller: Caller,
) -> None:  # fmt: skip
    per_token = {"input_usd": "0", "output_usd": "0", **terms}
    agree(module_database, caller, provider="openai", model="a-model-of-units", **per_token)
    event = usage_event(now=NOON, key_id=caller.key_id, model="a-model-of-units", usage=usage)
    [row] = record_what_can_be(priced, [event]).rows
    assert row.cost_usd == (None if usd is None else Decimal(usd))
    assert ledger_of(superuser, event.request_id) == ([] if usd is None else [[Decimal(usd), AGREED]])
