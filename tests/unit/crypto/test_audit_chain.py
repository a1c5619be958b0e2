"""What is hashed and signed of the audit, held to known answers: stored hashes can't be computed again."""

import hashlib
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

import pytest
from navplane.crypto.audit_chain import FIRST_PREVIOUS, Head, SignedHead, canonical, entry_hash
from navplane.crypto.signing import SignatureInvalid, public_key_of, sign, verify
from navplane.model.provider_key import Secret

ORG = UUID("0b0f6f2e-7c0e-4c58-8f0b-0e4a5a1f9f1e")
KEY = Secret(bytes(range(32)))
HEAD = Head(org_id=ORG, sequence=7, hash=bytes(32), signed_at=datetime(2026, 11, 21, tzinfo=UTC), key_id=UUID(int=3))


def test_canonical_json_never_changes() -> None:
    value = {"b": [1, None, True], "a": "Ä\n", "id": ORG, "cost": Decimal("1.50"), "rate": 0.1}
    expected = '{"a":"\\u00c4\\n","b":[1,null,true],"cost":"1.50","id":"0b0f6f2e-7c0e-4c58-8f0b-0e4a5a1f9f1e","rate":0.1}'
    assert canonical(value) == expected
    with pytest.raises(ValueError, match="JSON"):
        canonical(float("nan"))


def test_the_hash_of_an_entry_never_changes() -> None:
    first = entry_hash(org_id=ORG, sequence=1, previous=FIRST_PREVIOUS, entry="{}")
    assert first == hashlib.sha256(b"\x01" + ORG.bytes + b"\0\0\0\0\0\0\0\1" + bytes(32) + b"{}").digest()
    assert first.hex() == "870cda2009feea503e41c26d61d40e54c7ea284766b68893ac4cb5a6ad4a9a7c"


def test_the_statement_of_a_head_and_its_signature_never_change() -> None:
    assert HEAD.statement() == (
        b"navplane audit head v1\x00"
        b'{"hash":"' + b"0" * 64 + b'","key_id":"00000000-0000-0000-0000-000000000003",'
        b'"organization":"0b0f6f2e-7c0e-4c58-8f0b-0e4a5a1f9f1e","sequence":7,"signed_at":"2026-11-21T00:00:00+00:00"}'
    )
    signed = SignedHead(head=HEAD, signature=sign(HEAD.statement(), key=KEY))
    assert signed.signature.hex() == (
        "78a8d9ba842e86a58edcbb45b62c47d29ed592711399249e80d0a471c761e9ee"
        "b9ccc5ab5df1fba94859a32bc05ee3b7c2507650feb646b374e813d234d9ec04"
    )
    assert SignedHead.parse(signed.document(), org_id=ORG) == signed


@pytest.mark.parametrize(
    "other",
    [replace(HEAD, sequence=8), replace(HEAD, org_id=UUID(int=1)), replace(HEAD, hash=bytes(31) + b"\1"),
     replace(HEAD, key_id=UUID(int=4)), replace(HEAD, signed_at=datetime(2026, 11, 22, tzinfo=UTC))],
)  # fmt: skip
def test_a_signature_holds_for_its_own_head_only(other: Head) -> None:
    signature, public_key = sign(HEAD.statement(), key=KEY), public_key_of(KEY)
    verify(HEAD.statement(), signature, public_key=public_key)
    for statement, by in ((other.statement(), public_key), (HEAD.statement(), public_key_of(Secret(bytes(32))))):
        with pytest.raises(SignatureInvalid):
            verify(statement, signature, public_key=by)
    with pytest.raises(SignatureInvalid):
        verify(HEAD.statement(), signature[:-1], public_key=public_key)
