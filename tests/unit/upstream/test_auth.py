"""How a key is presented to its provider."""

import pytest
from navplane.model.provider_key import Secret
from navplane.upstream.auth import auth_header
from navplane.upstream.providers import ANTHROPIC, OPENAI

KEY = Secret(b"sk-1")
BEARER = (b"authorization", b"Bearer sk-1")
X_API_KEY = (b"x-api-key", b"sk-1")


@pytest.mark.parametrize(
    ("version", "header"),
    [
        (None, X_API_KEY),
        ("2023-06-01", X_API_KEY),
        ("2026-10-20", X_API_KEY),
        ("2026-10-21", BEARER),
        ("2027-01-01", BEARER),
        ("9", X_API_KEY),
        ("latest", X_API_KEY),
    ],
)
def test_anthropic_takes_bearer_from_its_version_on(version: str | None, header: tuple[bytes, bytes]) -> None:
    assert auth_header(ANTHROPIC, KEY, version=version) == header


def test_openai_takes_bearer() -> None:
    assert auth_header(OPENAI, KEY, version=None) == BEARER
