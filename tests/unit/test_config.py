"""What the environment may say of where providers are."""

import pytest
from navplane.config import UpstreamSettings
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
