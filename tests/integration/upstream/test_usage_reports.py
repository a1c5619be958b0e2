"""Providers' reports in their documented shapes, over HTTP: pages, errors, and nothing that is believed blindly."""

import json
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from navplane.errors import DependencyUnavailable, NavPlaneError, ProviderKeyInvalid
from navplane.model.provider_key import Secret
from navplane.model.reconciliation import Figures, Report
from navplane.upstream.provider import Origin
from navplane.upstream.usage_reports import UsageReports

from tests.support.http_script import Answer, Request, ScriptedServer, serving
from tests.support.usage_reports import ANTHROPIC_PAGES, OPENAI_PAGES, reporting

FIRST = date(2026, 11, 19)
KEY = Secret(b"sk-admin-CANARY")


@pytest.fixture
def provider() -> Iterator[ScriptedServer]:
    with serving(reporting({**OPENAI_PAGES, **ANTHROPIC_PAGES})) as server:
        yield server


def read(server: ScriptedServer, name: str) -> Report:
    origin = Origin.parse(server.url)
    return UsageReports({"openai": origin, "anthropic": origin}).read(name, KEY, first=FIRST, days=2)


def test_openai_s_pages_add_up_per_day_and_model(provider: ScriptedServer) -> None:
    assert read(provider, "openai") == {
        (date(2026, 11, 19), "gpt-5"): Figures(requests=15, input_tokens=3000, output_tokens=700, usd=Decimal("0.75")),
        (date(2026, 11, 20), "gpt-5"): Figures(requests=1, input_tokens=10, output_tokens=1, usd=Decimal("0.01")),
        (date(2026, 11, 20), "text-embedding-3-small"): Figures(requests=2, input_tokens=40),
    }
    assert {request.headers["authorization"] for request in provider.requests} == {"Bearer sk-admin-CANARY"}
    first = parse_qs(urlsplit(provider.requests[0].path).query)
    assert (first["start_time"], first["end_time"], first["bucket_width"]) == (["1795046400"], ["1795219200"], ["1d"])


def test_anthropic_s_cents_and_cached_tokens_are_in_the_sums_and_requests_are_not_counted(provider: ScriptedServer) -> None:
    assert read(provider, "anthropic") == {
        (date(2026, 11, 19), "claude-sonnet-4"): Figures(
            requests=None, input_tokens=1500 + 200 + 1000 + 500, output_tokens=500, usd=Decimal("1.2345")
        )
    }
    assert {request.headers["x-api-key"] for request in provider.requests} == {"sk-admin-CANARY"}
    assert all(request.headers["anthropic-version"] == "2023-06-01" for request in provider.requests)


ALWAYS_MORE = {"data": [], "has_more": True, "next_page": "again"}


@pytest.mark.parametrize("name", ["openai", "anthropic"])
@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Answer(status=401, body=b"you sent sk-admin-CANARY"), ProviderKeyInvalid),
        (Answer(status=403), ProviderKeyInvalid),
        (Answer(status=429), DependencyUnavailable),
        (Answer(status=500, body=b"sk-admin-CANARY"), DependencyUnavailable),
        (Answer(status=302, headers={"location": "http://127.0.0.1:1/"}), DependencyUnavailable),
        (Answer(body=b"not json"), DependencyUnavailable),
        (Answer(body=b"[]"), DependencyUnavailable),
        (Answer(body=b'{"data": [{"results": [{}]}]}'), DependencyUnavailable),
        (Answer(body=json.dumps(ALWAYS_MORE).encode()), DependencyUnavailable),
    ],
)
def test_whatever_goes_wrong_is_one_of_two_errors_and_repeats_nothing(
    name: str, answer: Answer, error: type[NavPlaneError]
) -> None:
    with serving(lambda _: answer) as server, pytest.raises(error) as raised:
        read(server, name)
    assert "CANARY" not in str(raised.value)


def test_a_provider_that_nobody_listens_for_is_away() -> None:
    def gone(_: Request) -> Any:
        raise AssertionError

    with serving(gone) as server:
        pass
    with pytest.raises(DependencyUnavailable):
        read(server, "openai")


def test_a_provider_without_an_address_is_not_asked() -> None:
    with pytest.raises(DependencyUnavailable, match="no address in this region"):
        UsageReports({}).read("anthropic", KEY, first=FIRST, days=2)
