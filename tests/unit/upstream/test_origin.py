"""Which addresses may be dialled."""

import pytest
from navplane.errors import ConfigurationError, UpstreamUnreachable
from navplane.upstream.origin import Origins
from navplane.upstream.provider import Origin
from navplane.upstream.providers import ANTHROPIC, OPENAI

DEMO = "http://127.0.0.1:9000"


def test_registry_is_the_default() -> None:
    origins = Origins(overrides={}, demo_url=None)
    assert origins.of(OPENAI, demo=False) == OPENAI.origin
    assert ANTHROPIC.origin is not None
    assert origins.admit(ANTHROPIC.origin)


def test_override_beats_the_registry_for_its_provider_only() -> None:
    origins = Origins(overrides={"openai": "http://127.0.0.1:9001/base/"}, demo_url=None)
    assert origins.of(OPENAI, demo=False) == Origin(scheme="http", host="127.0.0.1", port=9001, base_path="/base")
    assert origins.of(ANTHROPIC, demo=False) == ANTHROPIC.origin


def test_override_of_no_known_provider_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"'opneai'.*openai, anthropic"):
        Origins(overrides={"opneai": "http://127.0.0.1:9001"}, demo_url=None)


def test_demo_key_goes_to_the_demo_upstream_whatever_the_overrides_say() -> None:
    origins = Origins(overrides={"openai": "http://127.0.0.1:9001"}, demo_url=DEMO)
    assert origins.of(OPENAI, demo=True) == Origin.parse(DEMO)


def test_demo_key_goes_nowhere_without_a_demo_upstream() -> None:
    with pytest.raises(UpstreamUnreachable) as caught:
        Origins(overrides={"openai": DEMO}, demo_url=None).of(OPENAI, demo=True)
    assert not caught.value.billable


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example",
        "http://api.openai.com",
        "https://api.openai.com:444",
        "http://169.254.169.254",
        "http://127.0.0.1:9001",
    ],
)
def test_other_addresses_are_not_admitted(url: str) -> None:
    assert not Origins(overrides={}, demo_url=DEMO).admit(Origin.parse(url))
