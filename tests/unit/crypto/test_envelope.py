"""The envelope under a local KEK: whatever is wrong, opening answers with one and the same error."""

import os
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from navplane.crypto.envelope import kek_id_of, open_sealed, seal
from navplane.crypto.kek_local import LocalKek
from navplane.errors import ConfigurationError, DecryptionError
from navplane.model.provider_key import SealedFor, SealingContext, Secret

KEK = LocalKek(bytes(32))
PLACE = SealingContext(org_id=UUID(int=1), provider_key_id=UUID(int=2), provider="openai", region="us")
SEALED = seal(Secret(b"sk-secret"), context=PLACE, kek=KEK)

places = st.builds(
    SealingContext,
    org_id=st.uuids(),
    provider_key_id=st.uuids(),
    provider=st.text(min_size=1, max_size=60),
    region=st.sampled_from(["us", "eu"]),
    kind=st.sampled_from(SealedFor),
)


@given(secret=st.binary(max_size=5000), place=places)
def test_what_was_sealed_opens_in_its_place(secret: bytes, place: SealingContext) -> None:
    sealed = seal(Secret(secret), context=place, kek=KEK)
    assert open_sealed(sealed, context=place, kek=KEK).reveal() == secret
    assert len(secret) < 8 or secret not in sealed


@given(here=places, there=places)
def test_it_opens_nowhere_else(here: SealingContext, there: SealingContext) -> None:
    sealed = seal(Secret(b"sk-secret"), context=here, kek=KEK)
    if here == there:
        return
    with pytest.raises(DecryptionError):
        open_sealed(sealed, context=there, kek=KEK)


@given(position=st.integers(0, len(SEALED) - 1), mask=st.integers(1, 255))
def test_every_changed_byte_is_noticed(position: int, mask: int) -> None:
    changed = bytearray(SEALED)
    changed[position] ^= mask
    with pytest.raises(DecryptionError):
        open_sealed(bytes(changed), context=PLACE, kek=KEK)


@given(length=st.integers(0, len(SEALED) - 1))
def test_every_truncation_is_noticed(length: int) -> None:
    with pytest.raises(DecryptionError):
        open_sealed(SEALED[:length], context=PLACE, kek=KEK)


@given(st.binary(max_size=400))
def test_arbitrary_bytes_are_refused_with_the_same_error(noise: bytes) -> None:
    with pytest.raises(DecryptionError) as refused:
        open_sealed(noise, context=PLACE, kek=KEK)
    assert str(refused.value) == "The sealed value could not be opened."


def test_the_error_has_no_cause_that_tells_which_check_failed() -> None:
    for sealed in (b"", SEALED[:-1], SEALED + b"x", seal(Secret(b""), context=PLACE, kek=LocalKek(os.urandom(32)))):
        with pytest.raises(DecryptionError) as refused:
            open_sealed(sealed, context=PLACE, kek=KEK)
        assert refused.value.__cause__ is None
        assert refused.value.__suppress_context__ or refused.value.__context__ is None


def test_two_seals_of_one_secret_share_nothing_but_the_header() -> None:
    again = seal(Secret(b"sk-secret"), context=PLACE, kek=KEK)
    header = 4 + len(KEK.kek_id)
    assert again[:header] == SEALED[:header]
    assert again[header + 1 :] != SEALED[header + 1 :]


def test_the_kek_that_is_needed_can_be_told_without_opening() -> None:
    assert kek_id_of(SEALED) == KEK.kek_id
    with pytest.raises(DecryptionError):
        kek_id_of(b"\x02" + SEALED[1:])


@pytest.mark.parametrize("text", [b"", b"not base64!", b"c2hvcnQ=", b"A" * 44])
def test_an_encryption_key_that_is_not_32_bytes_of_base64_is_refused_without_being_shown(text: bytes) -> None:
    with pytest.raises(ConfigurationError) as refused:
        LocalKek.from_base64(Secret(text))
    assert not text or text.decode() not in str(refused.value)


def test_different_keys_have_different_names_that_do_not_show_them() -> None:
    keys = [bytes([n]) * 32 for n in range(50)]
    names = {LocalKek(key).kek_id for key in keys}
    assert len(names) == len(keys)
    assert not any(key.hex()[:8] in name for key in keys for name in names)
