"""Which addresses a provider key may bring along."""

import pytest
from navplane.model.tenancy import Region
from navplane.upstream.address import NotPublic, is_public, own_origin, public_addresses
from navplane.upstream.origin import Origins
from navplane.upstream.provider import Origin, Provider
from navplane.upstream.providers import AZURE, BEDROCK, CUSTOM, OPENAI

TAKEN = [
    (AZURE, "https://my-resource.openai.azure.com"),
    (AZURE, "https://My-Resource.openai.azure.com/"),
    (AZURE, " https://x.cognitiveservices.azure.com "),
    (AZURE, "https://x.services.ai.azure.com:443"),
    (BEDROCK, "https://bedrock-mantle.eu-central-1.api.aws"),
    (BEDROCK, "https://bedrock-mantle.us-gov-west-1.api.aws"),
    (CUSTOM, "https://llm.example.com/v1/"),
    (CUSTOM, "https://llm.example.com:8443/api/openai/v1"),
]


@pytest.mark.parametrize(("provider", "base_url"), TAKEN)
def test_address_of_the_documented_form_is_taken_and_may_be_dialled(provider: Provider, base_url: str) -> None:
    origin = own_origin(provider, base_url)
    assert origin.scheme == "https"
    assert origin.guarded == (provider is CUSTOM)
    region = Region.EU if ".eu-" in base_url else Region.US
    assert Origins(overrides={}, demo_url=None, region=region).admit(origin)


REFUSED = [
    "",
    "my-resource.openai.azure.com",
    "http://my-resource.openai.azure.com",
    "ftp://my-resource.openai.azure.com",
    "https://",
    "https:///v1",
    "https://user:pass@my-resource.openai.azure.com",
    "https://my-resource.openai.azure.com@evil.example/",
    "https://my-resource.openai.azure.com:99999",
    "https://my-resource.openai.azure.com:x",
    "https://my-resource.openai.azure.com?x=1",
    "https://my-resource.openai.azure.com/?",
    "https://my-resource.openai.azure.com#x",
    "https://my-resource.openai.azure.com/../admin",
    "https://my-resource.openai.azure.com/v1/%2e%2e",
    "https://my-resource.openai.azure.com//evil",
    "https://my-resource.openai.azure.com\\evil",
    "https://my-resource.openai.azure.com\n",
    "https://my\tresource.openai.azure.com",
    "https://my-résource.openai.azure.com",
    "https://localhost/v1",
    "https://127.0.0.1/v1",
    "https://2130706433/v1",
    "https://0x7f.1/v1",
    "https://[::1]/v1",
    "https://169.254.169.254/latest",
    "https://my_resource.openai.azure.com",
    "https://-x.openai.azure.com",
    "https://openai.azure.com.",
]


@pytest.mark.parametrize("provider", [AZURE, BEDROCK, CUSTOM], ids=lambda provider: provider.name)
@pytest.mark.parametrize("base_url", [url for url in REFUSED if url != "https://my-resource.openai.azure.com\n"])
def test_anything_else_is_refused(provider: Provider, base_url: str) -> None:
    with pytest.raises(ValueError, match="base_url"):
        own_origin(provider, base_url)


@pytest.mark.parametrize(
    ("provider", "base_url"),
    [
        (AZURE, "https://evil.example"),
        (AZURE, "https://x.openai.azure.com.evil.example"),
        (AZURE, "https://a.b.openai.azure.com"),
        (AZURE, "https://openai.azure.com"),
        (AZURE, "https://x.openai.azure.com:8443"),
        (AZURE, "https://x.openai.azure.com/elsewhere"),
        (AZURE, "https://xopenai.azure.com"),
        (BEDROCK, "https://bedrock-mantle.us-east-1.api.aws.evil.example"),
        (BEDROCK, "https://bedrock-mantle.x.api.aws"),
        (BEDROCK, "https://evil.us-east-1.api.aws"),
        (OPENAI, "https://api.openai.com"),
    ],
)
def test_address_of_somebody_else_is_refused(provider: Provider, base_url: str) -> None:
    with pytest.raises(ValueError, match="base_url"):
        own_origin(provider, base_url)


def test_address_of_any_form_may_only_be_dialled_guarded() -> None:
    origins = Origins(overrides={}, demo_url=None)
    assert origins.admit(Origin(scheme="https", host="llm.example.com", port=443, guarded=True))
    assert not origins.admit(Origin(scheme="https", host="llm.example.com", port=443))
    assert not origins.admit(Origin(scheme="http", host="llm.example.com", port=80, guarded=True))
    assert not origins.admit(Origin(scheme="https", host="127.0.0.1", port=443, guarded=True))


def test_only_an_address_that_somebody_chose_may_lead_back() -> None:
    origins = Origins(overrides={"openai": "http://127.0.0.1:9001"}, demo_url=None)
    assert origins.may_lead_back(own_origin(CUSTOM, "https://llm.example.com/v1"))
    assert origins.may_lead_back(origins.of(OPENAI, demo=False))
    assert not origins.may_lead_back(own_origin(AZURE, "https://x.openai.azure.com"))


@pytest.mark.parametrize("address", ["8.8.8.8", "104.18.6.192", "2606:4700::6812:6c0", "::ffff:8.8.8.8"])
def test_public_addresses_are_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.9.9.9", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
        "224.0.0.1", "255.255.255.255", "192.0.2.1", "198.18.0.1", "240.0.0.1", "::", "::1", "fe80::1", "fc00::1",
        "fd00:ec2::254", "ff02::1", "2001:db8::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "2002:7f00:1::1", "2001:0:7f00:1::1", "", "localhost", "1",
    ],
)  # fmt: skip
def test_other_addresses_are_not(address: str) -> None:
    assert not is_public(address)


def test_name_of_this_machine_is_not_public() -> None:
    with pytest.raises(NotPublic):
        public_addresses("localhost", 443)
