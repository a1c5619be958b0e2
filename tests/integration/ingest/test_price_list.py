"""model_prices on a real Postgres: the row that SQL finds for a model's name is the model that genai-prices finds."""

import random
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import ClauseRegex, ModelInfo
from hypothesis import given
from hypothesis import strategies as st
from navplane.ingest import price_list
from navplane.store import model_prices
from navplane.store.database import Connection, Database

from tests.support.postgres import TestDatabase

NOW = datetime(2026, 11, 21, tzinfo=UTC)
FOUND = """
SELECT asked.n, (SELECT p.model FROM public.model_prices AS p WHERE p.provider = :provider AND asked.name ~ p.pattern
                  ORDER BY p.position LIMIT 1)
  FROM unnest(CAST(:names AS text[])) WITH ORDINALITY AS asked (name, n) ORDER BY asked.n
"""


@pytest.fixture(scope="module")
def writer(module_database: TestDatabase) -> Database:
    return module_database.as_role("navplane_writer")


@pytest.fixture(scope="module")
def reader(module_database: TestDatabase, writer: Database) -> Iterator[Connection]:
    with writer.transaction() as db:
        price_list.load(db, now=NOW)
    # Thousands of names against as many expressions take a busy machine a while.
    with module_database.as_role("navplane_reader", timeout_seconds=120).connection() as connection:
        yield connection


def found(reader: Connection, provider: str, names: Sequence[str]) -> list[str | None]:
    return [row[1] for row in reader.run(FOUND, provider=provider, names=list(names))]


def chosen(provider: str, name: str) -> str | None:
    """What genai-prices itself chooses, where that model has a price that tokens bound."""
    try:
        _, model = get_snapshot().find_provider_model(name, None, price_list.GENAI_NAMES[provider], None)
    except LookupError:
        return None
    return model.id if price_list._ceilings(model, NOW) is not None else None


def literals(clause: Any) -> Iterator[str]:
    for inner in (*getattr(clause, "or_", ()), *getattr(clause, "and_", ())):
        yield from literals(inner)
    yield from (value for value in vars(clause).values() if isinstance(value, str))


def names_of(model: ModelInfo) -> Iterator[str]:
    """Every name that the model's clauses mention, and names a little beside them."""
    for text in {model.id, *literals(model.match)}:
        plain = text.strip("^$").replace("\\d{8}", "20260807").replace("\\d{4}-\\d{2}-\\d{2}", "2026-08-07").replace("\\", "")
        yield from (plain, plain.upper(), f"{plain}-x", f"x{plain}", f"{plain}-20260807", f"{plain}-2026-08-07")
        yield from (plain.replace("-2025-", "-2025").replace("-2024-", "-2024"), plain[:-1], f"{plain}:free", f"{plain}-tts")
        if plain[-10:-8] == "20" and plain[-3] == "-":
            yield f"{plain[:-10]}{plain[-10:].replace('-', '')}"


@pytest.mark.parametrize("provider", price_list.GENAI_NAMES)
def test_the_row_that_is_found_is_the_model_that_genai_prices_finds(reader: Connection, provider: str) -> None:
    snapshot = {each.id: each for each in get_snapshot().providers}
    models = list(price_list._models(snapshot[price_list.GENAI_NAMES[provider]], snapshot))
    names = sorted({name for model in models for name in names_of(model) if name})
    # Postgres compiles every expression for every name: a provider with many models gets fewer names.
    names = random.Random(1).sample(names, min(len(names), 400, 60_000 // len(models)))
    wrong = {
        name: (row, chosen(provider, name))
        for name, row in zip(names, found(reader, provider, names), strict=True)
        if row != chosen(provider, name)
    }
    assert not wrong
    assert sum(chosen(provider, name) is not None for name in names) > len(names) // 10


PARTS = (
    "gpt-", "4o", "5", "5.6", "-mini", "-sol", "-luna", "claude-", "sonnet", "opus", "-", "4", "4.5", "-20250929",
    "-2025-09-29", "-latest", "@", ":", "gemini-", "2.5", "-flash", "-tts", "grok-4.3", "o3", "o1", "mistral", "-large",
    "deepseek", "chat", "openai/", "anthropic/", ":free", "-audio", "-preview", ".", "\\", "(", "$", "^", "*",
)  # fmt: skip


@given(
    provider=st.sampled_from(list(price_list.GENAI_NAMES)),
    names=st.lists(st.lists(st.sampled_from(PARTS), max_size=7).map("".join), max_size=9),
)
def test_whatever_is_asked_for(reader: Connection, provider: str, names: list[str]) -> None:
    assert found(reader, provider, names) == [chosen(provider, name) for name in names]


def test_every_expression_of_genai_prices_is_one_that_is_known_how_to_translate() -> None:
    """A search with alternatives at its top would lose its beginning."""

    def regexes(clause: Any) -> Iterator[str]:
        for inner in (*getattr(clause, "or_", ()), *getattr(clause, "and_", ())):
            yield from regexes(inner)
        if isinstance(clause, ClauseRegex):
            yield clause.regex

    for provider in get_snapshot().providers:
        for model in provider.models:
            assert not [regex for regex in regexes(model.match) if regex.startswith("^") and "|" in regex.split("(")[0]]


def test_ceilings_are_the_dearest_way_that_a_token_can_be_charged(reader: Connection) -> None:
    rows = reader.run(
        "SELECT DISTINCT ON (model) model, input_nano_usd, output_nano_usd, context_tokens FROM public.model_prices"
        " WHERE provider = 'openai' AND model IN ('gpt-5', 'gpt-6-sol') ORDER BY model, position"
    )
    # gpt-5: priority is twice 1.25 and 10. gpt-6-sol: cache writes of priority above 272,000 tokens, and its output.
    assert rows == [["gpt-5", 2500, 20000, 400000], ["gpt-6-sol", 10000, 30000, 1050000]]


def test_the_list_is_written_once_per_version(writer: Database, reader: Connection) -> None:
    loaded = "SELECT count(*), min(loaded_at), min(source_version) FROM public.model_prices"
    before = reader.run(loaded)
    assert before[0][1:] == [NOW, f"{price_list.list_version()}/{price_list.TRANSLATION}"]
    with writer.transaction() as db:
        assert price_list.load(db, now=datetime.now(UTC)) == 0
    assert reader.run(loaded) == before


def test_another_version_replaces_the_whole_list_in_one_step(module_database: TestDatabase, writer: Database) -> None:
    other = model_prices.ModelPrice(
        provider="gone", position=0, pattern="^x$", model="x", input_nano_usd=1, output_nano_usd=1, request_nano_usd=0,
        context_tokens=None,
    )  # fmt: skip
    with writer.transaction() as db:
        model_prices.replace(db, [other], version="genai-prices 0.0.1/1", now=NOW)
    with writer.transaction() as db:
        written = price_list.load(db, now=NOW)
        with module_database.as_role("navplane_admin").connection() as admin:
            assert admin.run("SELECT provider FROM public.model_prices") == [["gone"]]
    with writer.connection() as db:
        assert db.run("SELECT count(*), count(*) FILTER (WHERE provider = 'gone') FROM public.model_prices") == [[written, 0]]


def test_nothing_is_fetched() -> None:
    """The package can update itself from the network; the prices are those that were installed."""
    assert not get_snapshot().from_auto_update
