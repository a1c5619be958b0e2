"""The console's settings: what is missing or dangerous is refused at the start, by the name of its variable."""

import pytest
from navplane.config import ConsoleSettings, console_url
from navplane.errors import ConfigurationError

GIVEN = {
    "OIDC_ISSUER": "https://login.example.com/",
    "OIDC_AUDIENCE": "navplane",
    "CONSOLE_CLIENT_ID": "navplane-console",
    "CONSOLE_SESSION_KEY": "k" * 32,
    "ADMIN_API_URL": "https://admin.example.com",
}


def test_a_public_client_behind_whatever_host_is_asked_for() -> None:
    settings = ConsoleSettings.from_env(GIVEN)
    assert (settings.issuer, settings.client_secret, settings.url) == ("https://login.example.com", None, None)
    assert "k" * 32 not in repr(settings)


@pytest.mark.parametrize("name", GIVEN)
def test_what_is_missing_is_named(name: str) -> None:
    with pytest.raises(ConfigurationError, match=name):
        ConsoleSettings.from_env({**GIVEN, name: ""})


def test_a_secret_may_be_one_of_secrets_manager() -> None:
    given = {**GIVEN, "CONSOLE_SESSION_KEY": "", "CONSOLE_SESSION_KEY_SECRET_ID": "arn:1", "CONSOLE_CLIENT_SECRET_ID": "arn:2"}
    settings = ConsoleSettings.from_env(given)
    assert settings.session_key.secret_id == "arn:1"
    assert settings.client_secret is not None
    assert settings.client_secret.secret_id == "arn:2"


@pytest.mark.parametrize(
    "url", ["https://navplane.example.com/console", "http://127.0.0.1:8787/console", "http://[::1]:1/console"]
)
def test_address_that_browsers_can_trust_is_taken(url: str) -> None:
    assert console_url({"CONSOLE_URL": url}) == url


@pytest.mark.parametrize(
    "url",
    [
        "http://navplane.example.com/console",
        "https://navplane.example.com",
        "https://navplane.example.com/console/",
        "https://navplane.example.com/console?x",
        "https://user@navplane.example.com/console",
        "https:///console",
        "navplane.example.com/console",
    ],
)
def test_any_other_address_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="CONSOLE_URL"):
        console_url({"CONSOLE_URL": url})
