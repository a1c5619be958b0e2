"""A sealed cookie opens for the key and the purpose that it was sealed with, and for nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from navplane.crypto.cookie import CookieSeal
from navplane.errors import ConfigurationError, DecryptionError
from navplane.model.provider_key import Secret

SEAL = CookieSeal(Secret(b"k" * 32))


@given(st.binary(max_size=300))
def test_what_was_sealed_opens_and_needs_no_quoting(value: bytes) -> None:
    text = SEAL.seal(value, purpose="session")
    assert SEAL.open(text, purpose="session") == value
    assert text.isascii()
    assert text.replace("-", "").replace("_", "").isalnum()


def test_two_seals_of_the_same_value_differ() -> None:
    assert SEAL.seal(b"same", purpose="session") != SEAL.seal(b"same", purpose="session")


def test_another_purpose_or_key_does_not_open_it() -> None:
    text = SEAL.seal(b"value", purpose="session")
    for seal, purpose in ((SEAL, "attempt"), (CookieSeal(Secret(b"o" * 32)), "session")):
        with pytest.raises(DecryptionError):
            seal.open(text, purpose=purpose)


def test_no_character_can_be_changed_and_none_left_out() -> None:
    text = SEAL.seal(b"value", purpose="session")
    others = [text[:i] + ("A" if text[i] != "A" else "B") + text[i + 1 :] for i in range(len(text) - 1)]
    for other in [*others, *(text[:length] for length in range(len(text)))]:
        with pytest.raises(DecryptionError):
            SEAL.open(other, purpose="session")


@given(st.text(max_size=100))
def test_whatever_else_a_browser_sends_is_refused_alike(text: str) -> None:
    with pytest.raises(DecryptionError):
        SEAL.open(text, purpose="session")


def test_a_short_key_is_refused_by_the_name_of_its_variable() -> None:
    with pytest.raises(ConfigurationError, match="CONSOLE_SESSION_KEY"):
        CookieSeal(Secret(b"k" * 31))
