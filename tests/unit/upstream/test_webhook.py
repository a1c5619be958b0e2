"""Which addresses a webhook may have, and what is shown of them."""

import pytest
from navplane.upstream.webhook import webhook_url

REFUSED = [
    "http://example.com/hook", "https://127.0.0.1/hook", "https://[::1]/hook", "https://169.254.169.254/latest", "https://10.0.0.1/",
    "https://localhost/hook", "https://user@example.com/", "https://user:pass@example.com/", "https://example.com/#x",
    "https://example.com\\@evil.example/", "https://exa mple.com/", "https:///hook", "ftp://example.com/", "file:///etc/passwd",
    "https://example.com:0x50/", "https://2130706433/", "https://0x7f.1/", "https://ex\u00e4mple.com/",
    "https://example.com/\r\nx: y", "", "https://example.com/" + "a" * 1000,
]  # fmt: skip


@pytest.mark.parametrize("url", REFUSED)
def test_what_is_no_public_https_address_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="address"):
        webhook_url(url, loopback=False)


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/hook", "http://[::1]:9/hook"])
def test_a_loopback_address_is_taken_in_local_mode_only(url: str) -> None:
    assert not webhook_url(url, loopback=True).guarded
    with pytest.raises(ValueError, match="address"):
        webhook_url(url, loopback=False)


@pytest.mark.parametrize("url", ["http://example.com/", "http://10.0.0.1/", "http://localhost/"])
def test_local_mode_opens_nothing_but_loopback(url: str) -> None:
    with pytest.raises(ValueError, match="address"):
        webhook_url(url, loopback=True)


def test_the_path_is_sent_and_not_shown() -> None:
    url = webhook_url("https://Hooks.Example.com:8443/t/SECRET?token=SECRET", loopback=False)
    assert url.origin == "https://hooks.example.com:8443"
    assert url.target == "/t/SECRET?token=SECRET"
    assert url.guarded
