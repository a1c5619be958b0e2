"""Which key a caller presents."""

import pytest
from navplane.crypto.api_key import ApiKeyShape
from navplane.errors import AmbiguousCredentials, InvalidAPIKey
from navplane.gateway.authenticate import presented_key

KEY = "np_01234567-89ab-4cde-8f01-23456789abcd"
OTHER = "lc_01234567-89ab-4cde-8f01-23456789abcd"
SHAPE = ApiKeyShape(("np_", "lc_"))


def present(*headers: tuple[str, str]) -> str:
    return presented_key(tuple((name.encode(), value.encode("latin-1")) for name, value in headers), SHAPE)


@pytest.mark.parametrize(
    "headers",
    [
        [("authorization", f"Bearer {KEY}")],
        [("authorization", f"bearer   {KEY} ")],
        [("authorization", KEY)],
        [("x-api-key", KEY)],
        [("api-key", KEY)],
        [("authorization", f"Bearer {KEY}"), ("x-api-key", KEY), ("api-key", KEY)],
        [("authorization", f"Bearer {KEY}"), ("authorization", f"Bearer {KEY}")],
        [("authorization", "Bearer "), ("x-api-key", KEY)],
        [("x-api-key", ""), ("authorization", f"Bearer {KEY}")],
    ],
)
def test_one_key_however_often_it_is_sent(headers: list[tuple[str, str]]) -> None:
    assert present(*headers) == KEY


def test_every_configured_prefix_signs_in() -> None:
    assert present(("x-api-key", OTHER)) == OTHER


@pytest.mark.parametrize(
    "headers",
    [
        [("authorization", f"Bearer {KEY}"), ("x-api-key", OTHER)],
        [("x-api-key", KEY), ("x-api-key", OTHER)],
        [("authorization", f"Bearer {KEY}"), ("api-key", "sk-something")],
        [("authorization", "Basic dXNlcjpwYXNz"), ("x-api-key", KEY)],
    ],
)
def test_two_different_credentials_are_ambiguous(headers: list[tuple[str, str]]) -> None:
    with pytest.raises(AmbiguousCredentials):
        present(*headers)


@pytest.mark.parametrize(
    "value",
    ["", "Bearer", "Bearer ", "Basic x", "Bearer sk-live-1", f"Bearer {KEY}x", f"Bearer x{KEY}", f"Bearer {KEY.upper()}",
     "Bearer np_", f"Bearer {KEY}\n{KEY}", f"Bearer {KEY},{KEY}", "Bearer np_01234567-89ab-1cde-8f01-23456789abcd",
     "Bearer ' OR 1=1 --", "Bearer np_\xe9"],
)  # fmt: skip
def test_what_is_no_key_of_ours_is_refused(value: str) -> None:
    with pytest.raises(InvalidAPIKey) as caught:
        present(("authorization", value))
    assert "np_" not in caught.value.message
    assert "sk-live" not in caught.value.message


def test_no_credential_is_refused() -> None:
    with pytest.raises(InvalidAPIKey):
        present(("content-type", "application/json"))
