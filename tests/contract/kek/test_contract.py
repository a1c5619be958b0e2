"""What every KEK provider promises (crypto/kek.py), and what the envelope makes of it."""

import os
from dataclasses import replace
from uuid import uuid4

import pytest
from navplane.crypto.envelope import kek_id_of, open_sealed, seal
from navplane.crypto.kek import Kek
from navplane.crypto.kek_cache import CachingKek
from navplane.errors import DecryptionError, DependencyUnavailable
from navplane.model.provider_key import SealedFor, SealingContext, Secret

from tests.contract.kek.conftest import NewKek

CONTEXT = {"navplane": "provider_key", "organization": "a", "region": "us"}


def test_a_wrapped_data_key_is_unwrapped_again(kek: Kek) -> None:
    dek = os.urandom(32)
    wrapped = kek.wrap(dek, context=CONTEXT)
    assert kek.unwrap(wrapped, kek_id=kek.kek_id, context=CONTEXT) == dek


def test_the_order_of_the_context_does_not_matter(kek: Kek) -> None:
    wrapped = kek.wrap(bytes(32), context=CONTEXT)
    assert kek.unwrap(wrapped, kek_id=kek.kek_id, context=dict(reversed(CONTEXT.items()))) == bytes(32)


def test_wrapping_twice_gives_different_bytes_and_never_shows_the_data_key(kek: Kek) -> None:
    dek = os.urandom(32)
    first, second = kek.wrap(dek, context=CONTEXT), kek.wrap(dek, context=CONTEXT)
    assert first != second
    assert dek not in first


@pytest.mark.parametrize(
    "context",
    [
        {**CONTEXT, "organization": "b"},
        {**CONTEXT, "extra": "x"},
        {name: value for name, value in CONTEXT.items() if name != "region"},
        {},
    ],
)
def test_another_context_does_not_unwrap(kek: Kek, context: dict[str, str]) -> None:
    wrapped = kek.wrap(bytes(32), context=CONTEXT)
    with pytest.raises(DecryptionError):
        kek.unwrap(wrapped, kek_id=kek.kek_id, context=context)


def test_every_changed_byte_is_noticed(kek: Kek) -> None:
    wrapped = kek.wrap(bytes(32), context=CONTEXT)
    # The first bytes of a KMS blob name its key: there a change means another key, which the last bytes don't.
    for position in range(len(wrapped) - 60, len(wrapped)):
        changed = bytearray(wrapped)
        changed[position] ^= 1
        with pytest.raises(DecryptionError):
            kek.unwrap(bytes(changed), kek_id=kek.kek_id, context=CONTEXT)


@pytest.mark.parametrize("wrapped", [b"", b"\x01", b"no wrapped key", bytes(7000)])
def test_what_was_never_wrapped_does_not_unwrap(kek: Kek, wrapped: bytes) -> None:
    with pytest.raises(DecryptionError):
        kek.unwrap(wrapped, kek_id=kek.kek_id, context=CONTEXT)


def test_another_key_does_not_unwrap(new_kek: NewKek) -> None:
    ours, other = new_kek(), new_kek()
    wrapped = ours.wrap(bytes(32), context=CONTEXT)
    assert ours.kek_id != other.kek_id
    with pytest.raises(DecryptionError):
        other.unwrap(wrapped, kek_id=ours.kek_id, context=CONTEXT)
    # Under a false name it fails too; moto denies access where AWS says IncorrectKeyException.
    with pytest.raises((DecryptionError, DependencyUnavailable)):
        other.unwrap(wrapped, kek_id=other.kek_id, context=CONTEXT)


def test_the_kek_is_named_in_at_most_255_bytes_of_ascii(kek: Kek) -> None:
    assert 0 < len(kek.kek_id.encode("ascii")) <= 255


def test_a_provider_key_sealed_under_it_opens_in_its_own_place_only(kek: Kek) -> None:
    here = SealingContext(org_id=uuid4(), provider_key_id=uuid4(), provider="openai", region="us")
    sealed = seal(Secret(b"sk-secret"), context=here, kek=kek)
    assert kek_id_of(sealed) == kek.kek_id
    assert open_sealed(sealed, context=here, kek=CachingKek(kek)).reveal() == b"sk-secret"
    elsewhere = [
        replace(here, org_id=uuid4()),
        replace(here, provider_key_id=uuid4()),
        replace(here, provider="anthropic"),
        replace(here, region="eu"),
        replace(here, kind=SealedFor.WEBHOOK_SECRET),
    ]
    for place in elsewhere:
        with pytest.raises(DecryptionError):
            open_sealed(sealed, context=place, kek=CachingKek(kek))
