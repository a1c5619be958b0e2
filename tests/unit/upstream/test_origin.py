"""Which addresses may be dialled."""

import pytest
from navplane.errors import ConfigurationError, RegionMismatch, UpstreamUnreachable
from navplane.model.tenancy import Region
from navplane.upstream.origin import Origins
from navplane.upstream.provider import Origin
from navplane.upstream.providers import ANTHROPIC, MISTRAL, OPENAI, PROVIDERS

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


def test_a_stack_dials_no_host_of_another_region() -> None:
    us, eu = (Origins(overrides={}, demo_url=DEMO, region=region) for region in (Region.US, Region.EU))
    assert us.of(OPENAI, demo=False).host == "api.openai.com"
    assert eu.of(OPENAI, demo=False).host == "eu.api.openai.com"
    assert us.of(MISTRAL, demo=False) == eu.of(MISTRAL, demo=False)
    for origins, other in ((us, eu), (eu, us)):
        assert origins.admit(origins.of(OPENAI, demo=False))
        assert not origins.admit(other.of(OPENAI, demo=False))
    assert eu.of(ANTHROPIC, demo=True) == Origin.parse(DEMO), "nobody's data goes there"


@pytest.mark.parametrize("name", sorted(set(PROVIDERS) - {"openai", "mistral", "azure", "bedrock", "custom"}))
def test_a_provider_that_promises_nothing_of_europe_is_not_used_there(name: str) -> None:
    origins = Origins(overrides={}, demo_url=None, region=Region.EU)
    with pytest.raises(RegionMismatch):
        origins.of(PROVIDERS[name], demo=False)
    origin = PROVIDERS[name].origin
    assert origin is not None
    assert not origins.admit(origin)


@pytest.mark.parametrize(
    ("host", "region"),
    [
        ("bedrock-mantle.eu-central-1.api.aws", Region.EU),
        ("bedrock-mantle.us-east-1.api.aws", Region.US),
        ("bedrock-mantle.ap-south-1.api.aws", Region.US),
    ],
)
def test_an_address_that_says_where_it_is_is_used_there_alone(host: str, region: Region) -> None:
    other = Region.US if region is Region.EU else Region.EU
    here, there = (Origins(overrides={}, demo_url=None, region=one) for one in (region, other))
    origin = here.of(PROVIDERS["bedrock"], demo=False, base_url=f"https://{host}")
    assert here.admit(origin)
    assert not there.admit(origin)
    with pytest.raises(RegionMismatch):
        there.of(PROVIDERS["bedrock"], demo=False, base_url=f"https://{host}")
