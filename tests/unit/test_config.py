"""What the environment may say of where providers are."""

from pathlib import Path

import pytest
from navplane.config import MailSettings, OidcSettings, UpstreamSettings
from navplane.errors import ConfigurationError

NAME = "NAVPLANE_UPSTREAM_OVERRIDE_OPENAI"


@pytest.mark.parametrize("url", ["http://127.0.0.1:9000", "http://127.0.0.2", "http://[::1]:9000/base/"])
def test_in_local_mode_a_provider_may_be_at_a_loopback_address(url: str) -> None:
    assert UpstreamSettings.from_env({"NAVPLANE_MODE": "local", NAME: url}).overrides == {"openai": url}


@pytest.mark.parametrize(
    "url",
    [
        "",
        "127.0.0.1:9000",
        "https://127.0.0.1:9000",
        "http://localhost:9000",
        "http://10.0.0.1",
        "http://api.openai.com",
        "http://127.0.0.1.example.com",
        "http://127.0.0.1@example.com",
        "http://user@127.0.0.1:9000",
        "http://127.0.0.1:9000?to=example.com",
        "http://127.0.0.1:9000#there",
        "http://127.0.0.1:99999",
        "http://127.0.0.1:port",
        "http://[::1",
    ],
)
def test_any_other_place_ends_the_start_and_is_named(url: str) -> None:
    with pytest.raises(ConfigurationError, match=NAME):
        UpstreamSettings.from_env({"NAVPLANE_MODE": "local", NAME: url})


@pytest.mark.parametrize("mode", ["aws", "container", ""])
def test_outside_local_mode_an_override_ends_the_start(mode: str) -> None:
    with pytest.raises(ConfigurationError, match=NAME):
        UpstreamSettings.from_env({"NAVPLANE_MODE": mode, NAME: "http://127.0.0.1:9000"})


OIDC = {"OIDC_ISSUER": "https://one.example.com/", "OIDC_AUDIENCE": "navplane"}


def test_auth0_is_named_by_its_domain() -> None:
    settings = OidcSettings.from_env({"AUTH0_DOMAIN": "acme.eu.auth0.com", "AUTH0_AUDIENCE": "api", "OIDC_AUDIENCE": "x"})
    assert (settings.issuer, settings.audience, settings.others) == ("https://acme.eu.auth0.com", "api", {})


def test_further_issuers_have_audiences_of_their_own() -> None:
    others = "https://two.example.com/ api://two, https://three.example.com three"
    settings = OidcSettings.from_env({**OIDC, "OIDC_OTHER_ISSUERS": others})
    assert (settings.issuer, settings.audience) == ("https://one.example.com", "navplane")
    assert settings.others == {"https://two.example.com": "api://two", "https://three.example.com": "three"}


@pytest.mark.parametrize(
    "env",
    [
        {},
        {"OIDC_ISSUER": "https://one.example.com"},
        {"AUTH0_DOMAIN": "acme.eu.auth0.com"},
        {"AUTH0_DOMAIN": "https://acme.eu.auth0.com/", "AUTH0_AUDIENCE": "api"},
        {**OIDC, "AUTH0_DOMAIN": "acme.eu.auth0.com", "AUTH0_AUDIENCE": "api"},
        {**OIDC, "OIDC_OTHER_ISSUERS": "https://two.example.com"},
        {**OIDC, "OIDC_OTHER_ISSUERS": "two.example.com audience"},
        {**OIDC, "OIDC_OTHER_ISSUERS": "https://one.example.com other"},
        {**OIDC, "OIDC_OTHER_ISSUERS": "https://two.example.com a, https://two.example.com/ b"},
    ],
)
def test_issuers_that_cannot_be_told_end_the_start(env: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError):
        OidcSettings.from_env(env)


def test_mail_stays_on_this_machine_in_local_mode_only() -> None:
    assert MailSettings.from_env({"NAVPLANE_MODE": "local", "MAIL_OUTBOX": "/mail"}).outbox == Path("/mail")
    with pytest.raises(ConfigurationError):
        MailSettings.from_env({"NAVPLANE_MODE": "container", "MAIL_OUTBOX": "/mail"})
