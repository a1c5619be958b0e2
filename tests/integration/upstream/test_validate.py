"""Asking a provider about a key before it is stored."""

import pytest
from navplane.errors import DependencyUnavailable, ProviderKeyInvalid
from navplane.model.provider_key import Secret
from navplane.upstream.provider import Origin, Provider
from navplane.upstream.providers import ANTHROPIC, OPENAI
from navplane.upstream.validate import validate_key

from tests.support.provider import Close, FakeProvider, answer, json_answer

KEY = Secret(b"sk-validate-1")


@pytest.mark.parametrize(
    ("provider_row", "header", "value"),
    [(OPENAI, "authorization", "Bearer sk-validate-1"), (ANTHROPIC, "x-api-key", "sk-validate-1")],
)
def test_key_that_the_provider_takes_is_valid(provider_row: Provider, header: str, value: str) -> None:
    with FakeProvider() as provider:
        provider.script(json_answer(b'{"data":[]}'))
        validate_key(provider_row, KEY, origin=Origin.parse(provider.url))
        assert (provider.last.method, provider.last.target) == ("GET", "/v1/models")
        assert provider.last.all(header) == [value]
        assert provider.last.all("anthropic-version") == (["2023-06-01"] if provider_row is ANTHROPIC else [])


@pytest.mark.parametrize("status", ["401 Unauthorized", "403 Forbidden"])
def test_key_that_the_provider_refuses_is_invalid_and_not_shown(status: str) -> None:
    with FakeProvider() as provider:
        provider.script(json_answer(b'{"error":"bad key sk-validate-1"}', status))
        with pytest.raises(ProviderKeyInvalid) as caught:
            validate_key(OPENAI, KEY, origin=Origin.parse(provider.url))
        assert "sk-validate" not in caught.value.message


@pytest.mark.parametrize("status", ["302 Found", "404 Not Found", "429 Too Many Requests", "500 Oops", "529 Overloaded"])
def test_any_other_answer_says_nothing_about_the_key(status: str) -> None:
    with FakeProvider() as provider:
        provider.script(answer(status, headers=[("location", "http://127.0.0.1:1/")]))
        with pytest.raises(DependencyUnavailable):
            validate_key(OPENAI, KEY, origin=Origin.parse(provider.url))
        assert len(provider.requests) == 1


def test_provider_that_can_not_be_reached_says_nothing_about_the_key() -> None:
    with FakeProvider() as provider:
        provider.script([Close()])
        with pytest.raises(DependencyUnavailable):
            validate_key(OPENAI, KEY, origin=Origin.parse(provider.url))
    with pytest.raises(DependencyUnavailable):
        validate_key(OPENAI, KEY, origin=Origin.parse("http://127.0.0.1:9"))
