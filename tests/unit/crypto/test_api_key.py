"""API keys: their shape, their digest, and how little of them is shown."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from navplane.crypto.api_key import ApiKeyShape, digest, hint, new_api_key

SHAPE = ApiKeyShape(("np_", "lc_"))
KEY = "np_0123abcd-4567-489a-8bcd-ef0123456789"


@pytest.mark.parametrize("prefix", ["np_", "lc_"])
def test_a_new_key_has_the_shape_of_its_prefix(prefix: str) -> None:
    key = new_api_key(prefix)
    assert key.startswith(prefix)
    assert SHAPE.accepts(key)
    assert new_api_key(prefix) != key


@pytest.mark.parametrize(
    "text",
    [
        "",
        "np_",
        KEY.upper(),
        KEY + "\n",
        " " + KEY,
        KEY[:-1],
        KEY + "0",
        KEY.replace("np_", "sk_"),
        KEY.replace("np_", "npx"),
        KEY.replace("-489a", "-189a"),
        KEY.replace("-8bcd", "-cbcd"),
        KEY.replace("0123abcd", "٠١٢٣abcd"),
        f"{KEY},{KEY}",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    assert not SHAPE.accepts(text)


@given(st.text())
def test_no_text_makes_the_shape_fail(text: str) -> None:
    assert not SHAPE.accepts(text)


def test_a_prefix_that_is_not_configured_is_refused() -> None:
    assert not ApiKeyShape(("lc_",)).accepts(KEY)


def test_what_is_stored_is_the_sha_256_of_the_whole_key() -> None:
    assert digest(KEY) == hashlib.sha256(KEY.encode()).digest()
    assert digest("np_known").hex() == "a5e2e61e795a51e0cc8f5eec74e886c8c5f846aa2970dbf6a84febc75942ab3e"


def test_the_hint_is_the_last_four_characters() -> None:
    assert hint(KEY) == "6789"
