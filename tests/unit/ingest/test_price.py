"""The price of an event: by hand, to 1e-9 USD, and against genai-prices' own arithmetic."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from genai_prices import Usage as GenaiUsage
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import ConditionalPrice, TimeOfDateConstraint
from hypothesis import assume, given
from hypothesis import strategies as st
from navplane.ingest.price import price
from navplane.ingest.price_list import GENAI_NAMES
from navplane.ingest.rates import find
from navplane.model.price import NOTHING_TO_PAY, UNPRICED, PriceSource
from navplane.model.usage import Endpoint, Outcome, PriceQuality, Usage, UsageQuality

from tests.support.usage_events import usage_event

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def cost(provider: str, model: str, usage: Usage, **differing: Any) -> Decimal | None:
    return price(usage_event(now=NOW, provider=provider, model=model, usage=usage, **differing)).cost_usd


# Worked out by hand from the list's prices per million tokens (and per thousand searches).
BY_HAND = [
    # 11 × 1.25 + 7 × 10 = 13.75 + 70 µUSD
    ("openai", "gpt-5", Usage(input_tokens=11, output_tokens=7), "0.00008375"),
    # (1000 − 300) × 1.25 + 300 × 0.125 + 200 × 10: reasoning is a part of the output
    (
        "openai",
        "gpt-5",
        Usage(input_tokens=1000, cached_input_tokens=300, output_tokens=200, reasoning_tokens=150),
        "0.0029125",
    ),
    # 8 × 1.25 + 3 × 0.125 + 7 × 10 = 80.375 µUSD, to the nano-USD
    ("openai", "gpt-5", Usage(input_tokens=11, cached_input_tokens=3, output_tokens=7), "0.000080375"),
    # 1 × 0.125 µUSD = 125 nano-USD
    ("openai", "gpt-5", Usage(input_tokens=1, cached_input_tokens=1), "0.000000125"),
    # two searches at 10 USD per thousand
    ("openai", "gpt-5", Usage(input_tokens=100, output_tokens=10, web_searches=2), "0.020225"),
    # embeddings: 1,234,567 × 0.02
    ("openai", "text-embedding-3-small", Usage(input_tokens=1_234_567), "0.02469134"),
    # audio: 40 × 2.5 + 60 × 32 + 10 × 10 + 20 × 64
    (
        "openai",
        "gpt-audio",
        Usage(input_tokens=100, audio_input_tokens=60, output_tokens=30, audio_output_tokens=20),
        "0.0034",
    ),
    # (1000 − 100 − 50 − 20) × 3 + 100 × 0.3 + 50 × 3.75 + 20 × 6 + 200 × 15
    (
        "anthropic",
        "claude-sonnet-4-5-20250929",
        Usage(
            input_tokens=1000, cached_input_tokens=100, cache_write_5m_tokens=50, cache_write_1h_tokens=20, output_tokens=200
        ),
        "0.0058275",
    ),
    # 200,000 tokens are in the first tier, one more is in the second, with all of them
    ("anthropic", "claude-sonnet-4-5", Usage(input_tokens=200_000, output_tokens=1000), "0.615"),
    ("anthropic", "claude-sonnet-4-5", Usage(input_tokens=200_001, output_tokens=1000), "1.222506"),
    # three searches: 100 × 3 + 30,000 µUSD
    ("anthropic", "claude-sonnet-4-5", Usage(input_tokens=100, web_searches=3), "0.0303"),
    ("openrouter", "deepseek/deepseek-r1:free", Usage(input_tokens=10**6, output_tokens=10**6), "0"),
]


SUM = Usage(input_tokens=900_000, output_tokens=1000)


@pytest.mark.parametrize(
    ("largest", "usd"),
    [
        # Each request is within the first tier: 900,000 × 3 + 1,000 × 15, at the half that a batch costs.
        (200_000, "1.3575"),
        # One may be beyond it, and in the sum nobody can tell which.
        (200_001, None),
        (None, None),
    ],
)
def test_a_batch_is_priced_by_its_requests_and_not_by_their_sum(largest: int | None, usd: str | None) -> None:
    event = usage_event(
        provider="anthropic",
        model="claude-sonnet-4-5",
        endpoint=Endpoint.MESSAGE_BATCHES,
        service_tier="batch",
        usage=SUM,
        raw_usage={"largest_input_tokens": largest} if largest else None,
    )
    assert price(event).cost_usd == (Decimal(usd) if usd else None)


@pytest.mark.parametrize(
    "units", [Usage(audio_seconds=9), Usage(characters=5, input_tokens=4), Usage(images=1, input_tokens=4)]
)
def test_what_is_not_counted_in_tokens_has_no_list_price_and_may_have_an_agreed_one(units: Usage) -> None:
    priced = price(usage_event(model="gpt-5", usage=units))
    assert (priced.cost_usd, priced.quality, priced.negotiable) == (None, PriceQuality.UNPRICED, True)


@pytest.mark.parametrize(("provider", "model", "usage", "usd"), BY_HAND)
def test_by_hand(provider: str, model: str, usage: Usage, usd: str) -> None:
    assert cost(provider, model, usage) == Decimal(usd)


@pytest.mark.parametrize(
    ("tier", "usd"),
    [("default", "0.01125"), ("flex", "0.005625"), ("priority", "0.0225"), ("batch", "0.005625"), ("auto", "0.01125")],
)
def test_a_service_tier_has_its_price_and_an_unknown_one_has_the_standard_price(tier: str, usd: str) -> None:
    assert cost("openai", "gpt-5", Usage(input_tokens=1000, output_tokens=1000), service_tier=tier) == Decimal(usd)


def test_a_price_begins_on_its_day_in_utc() -> None:
    usage = Usage(input_tokens=300_000)
    before, since = datetime(2026, 3, 12, 23, 59, 59, tzinfo=UTC), datetime(2026, 3, 13, tzinfo=UTC)
    costs = [
        price(usage_event(now=now, provider="anthropic", model="claude-sonnet-4-6", usage=usage)).cost_usd
        for now in (before, since)
    ]
    assert costs == [Decimal("1.8"), Decimal("0.9")]


def test_the_model_that_answered_goes_before_the_one_that_was_asked_for() -> None:
    usage = Usage(input_tokens=1000)
    assert cost("openai", "my-deployment", usage, response_model="gpt-5-2025-08-07") == Decimal("0.00125")
    assert cost("openai", "gpt-5", usage, response_model="nobody-knows-it") == Decimal("0.00125")


def test_what_the_provider_says_goes_before_the_list() -> None:
    found = price(usage_event(now=NOW, provider="openrouter", model="openai/gpt-5", provider_cost_usd=Decimal("0.0123456785")))
    assert (found.cost_usd, found.quality, found.source) == (
        Decimal("0.012345679"),
        PriceQuality.PROVIDER_REPORTED,
        PriceSource.PROVIDER,
    )


@pytest.mark.parametrize(
    "differing",
    [
        {"outcome": Outcome.REFUSED, "usage": Usage()},
        {"outcome": Outcome.FAILED, "usage": Usage(), "status": 429},
        {"endpoint": Endpoint.COUNT_TOKENS, "usage": Usage()},
        {"endpoint": Endpoint.MODERATIONS, "usage": Usage()},
        {"endpoint": Endpoint.MODELS, "usage": Usage(), "provider": "nobody"},
    ],
)
def test_what_is_not_billed_costs_exactly_nothing(differing: dict[str, Any]) -> None:
    assert price(usage_event(now=NOW, **differing)) == NOTHING_TO_PAY
    assert NOTHING_TO_PAY.cost_usd == 0


@pytest.mark.parametrize(
    "differing",
    [
        {"demo": True},
        {"outcome": Outcome.LOST, "usage_quality": UsageQuality.LOST, "usage": Usage()},
        {"provider": "custom"},
        {"provider": None},
        {"model": "nobody-knows-it"},
        {"model": None},
        {"usage": Usage()},
        {"model": "whisper-1"},
        {"endpoint": Endpoint.IMAGES},
        {"endpoint": Endpoint.SPEECH, "usage": Usage()},
        {"model": "text-embedding-3-small", "usage": Usage(input_tokens=1, web_searches=1)},
        {"usage": Usage(input_tokens=1, cached_input_tokens=2)},
        {"usage": Usage(output_tokens=1, reasoning_tokens=2)},
        {"usage": Usage(input_tokens=10**18)},
        {"request_id": UUID(int=2**128 - 1), "usage": Usage(output_tokens=1, reasoning_tokens=2)},
    ],
)
def test_what_has_no_price_is_never_a_silent_zero(differing: dict[str, Any]) -> None:
    found = price(usage_event(now=NOW, **differing))
    assert (found.cost_usd, found.quality) == (UNPRICED.cost_usd, PriceQuality.UNPRICED)


# -- against genai-prices ------------------------------------------------------------------------------------------------

MODELS = [
    (name, model)
    for name, genai_name in GENAI_NAMES.items()
    for provider in get_snapshot().providers
    if provider.id == genai_name
    for model in provider.models
]
COUNT = st.integers(0, 400_000)


@given(
    offered=st.sampled_from(MODELS),
    kinds=st.tuples(COUNT, COUNT, COUNT, COUNT),
    outputs=st.tuples(COUNT, COUNT),
    audio=st.booleans(),
    searches=st.integers(0, 3),
    tier=st.sampled_from([None, "default", "flex", "priority", "batch"]),
    now=st.integers(1_735_689_600, 1_798_761_600).map(lambda seconds: datetime.fromtimestamp(seconds, UTC)),
)
def test_the_arithmetic_is_that_of_genai_prices(
    offered: tuple[str, Any],
    kinds: tuple[int, ...],
    outputs: tuple[int, int],
    audio: bool,
    searches: int,
    tier: str | None,
    now: datetime,
) -> None:
    name, model = offered
    _, cached, write_5m, write_1h = kinds
    heard = 1000 if audio else 0
    usage = Usage(
        input_tokens=sum(kinds) + heard,
        cached_input_tokens=cached,
        cache_write_5m_tokens=write_5m,
        cache_write_1h_tokens=write_1h,
        output_tokens=sum(outputs) + heard,
        reasoning_tokens=outputs[1],
        audio_input_tokens=heard,
        audio_output_tokens=heard,
        web_searches=searches,
    )
    rates = find(usage_event(now=now, provider=name, model=model.id, service_tier=tier, usage=usage))
    assume(rates is not None)
    assert rates is not None
    ours = rates.cost(usage)
    assume(ours is not None)
    theirs = GenaiUsage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=cached,
        cache_write_tokens=write_5m + write_1h,
        cache_write_1h_tokens=write_1h,
        input_audio_tokens=heard,
        output_audio_tokens=heard,
        cache_audio_read_tokens=0,
        cache_audio_write_tokens=0,
        output_reasoning_tokens=outputs[1],
        web_searches=searches,
    )
    context = {"processing": "batch"} if tier == "batch" else {"service_tier": tier} if tier else None
    chosen, found = get_snapshot().find_provider_model(model.id, None, GENAI_NAMES[name], None)
    assert ours == found.calc_price(theirs, chosen, genai_request_timestamp=now, price_context=context).total_price


def test_no_price_begins_within_a_minute() -> None:
    """Rates are remembered by the minute."""
    for _, model in MODELS:
        for conditional in model.prices if isinstance(model.prices, list) else ():
            assert isinstance(conditional, ConditionalPrice)
            if isinstance(conditional.constraint, TimeOfDateConstraint):
                assert conditional.constraint.start_time.second == conditional.constraint.end_time.second == 0
