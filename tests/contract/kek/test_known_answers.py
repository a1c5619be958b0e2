"""Bytes that every release must still read and say. A test here is never changed to pass: stored keys depend on it."""

import base64
import json
from uuid import UUID

import pytest
from navplane.crypto.envelope import encryption_context, kek_id_of, open_sealed
from navplane.crypto.kek_aws_kms import AwsKmsKek
from navplane.crypto.kek_local import LocalKek
from navplane.model.provider_key import SealingContext, Secret

from tests.support.http_script import Answer, Request, serving
from tests.support.moto_server import aws_environment

KEY = bytes(range(32))
KEK_ID = "local:e52c14a89fcfc7eff29ffe578ecf63c7"
PLACE = SealingContext(org_id=UUID(int=1), provider_key_id=UUID(int=2), provider="openai", region="us")
CONTEXT = {
    "navplane": "provider_key",
    "version": "1",
    "organization": "00000000-0000-0000-0000-000000000001",
    "provider_key": "00000000-0000-0000-0000-000000000002",
    "provider": "openai",
    "region": "us",
}
DEK = bytes([0xD0] * 32)
WRAPPED = bytes.fromhex(
    "01b0b0b0b0b0b0b0b0b0b0b0b02a622c9a4e1a4e7ad54a1f7b0d67ba5fb05294e171541055837849e1fc9dde1123dd8b5385ae664b18ce7c8a04a3ae5c"
)
SEALED = bytes.fromhex(
    "01266c6f63616c3a6535326331346138396663666337656666323966666535373865636636336337003d"
    + WRAPPED.hex()
    + "a0a0a0a0a0a0a0a0a0a0a0a054123b4e2b9c803a4f23270c1318ecfcead9cd73f24bc765ead2e5e4a43b4e"
)
KMS_KEY = "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"


def test_the_local_kek_has_its_name_and_unwraps_what_was_wrapped_long_ago() -> None:
    kek = LocalKek.from_base64(Secret(base64.b64encode(KEY) + b"\n"))
    assert kek.kek_id == KEK_ID
    assert kek.unwrap(WRAPPED, kek_id=KEK_ID, context=CONTEXT) == DEK


def test_a_value_sealed_long_ago_opens() -> None:
    assert kek_id_of(SEALED) == KEK_ID
    assert open_sealed(SEALED, context=PLACE, kek=LocalKek(KEY)).reveal() == b"sk-known-answer"


def test_the_encryption_context_keeps_its_spelling() -> None:
    assert encryption_context(PLACE) == CONTEXT


def test_what_is_said_to_kms(monkeypatch: pytest.MonkeyPatch) -> None:
    def kms(request: Request) -> Answer:
        if request.headers["x-amz-target"] == "TrentService.Encrypt":
            answer = {"CiphertextBlob": base64.b64encode(b"blob").decode(), "KeyId": KMS_KEY}
        else:
            answer = {"Plaintext": base64.b64encode(DEK).decode(), "KeyId": KMS_KEY}
        return Answer(headers={"content-type": "application/x-amz-json-1.1"}, body=json.dumps(answer).encode())

    with serving(kms) as server:
        for name, value in aws_environment(server.url).items():
            monkeypatch.setenv(name, value)
        kek = AwsKmsKek(KMS_KEY)
        assert kek.kek_id == "aws_kms:1234abcd-12ab-34cd-56ef-1234567890ab"
        assert kek.wrap(DEK, context=CONTEXT) == b"blob"
        assert kek.unwrap(b"blob", kek_id=kek.kek_id, context=CONTEXT) == DEK
    said = [json.loads(request.body) for request in server.requests]
    assert said == [
        {"KeyId": KMS_KEY, "Plaintext": base64.b64encode(DEK).decode(), "EncryptionContext": CONTEXT},
        {"KeyId": KMS_KEY, "CiphertextBlob": base64.b64encode(b"blob").decode(), "EncryptionContext": CONTEXT},
    ]
