"""KMS throttled, denied, away or broken: the answers that THREATS and the Protocol ask for."""

import json
from collections.abc import Iterator

import pytest
from navplane.crypto.kek_aws_kms import AwsKmsKek
from navplane.errors import ConfigurationError, DecryptionError, DependencyUnavailable

from tests.support.http_script import Answer, ScriptedServer, serving
from tests.support.moto_server import aws_environment

KMS_KEY = "1234abcd-12ab-34cd-56ef-1234567890ab"
CONTEXT = {"organization": "a"}


def failing(code: str, status: int = 400) -> Answer:
    headers = {"content-type": "application/x-amz-json-1.1"}
    return Answer(status=status, headers=headers, body=json.dumps({"__type": code, "message": "no"}).encode())


@pytest.fixture
def kms(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedServer]:
    with serving(lambda request: failing("KMSInternalException", 500)) as server:
        for name, value in aws_environment(server.url).items():
            monkeypatch.setenv(name, value)
        yield server


def unwrap() -> bytes:
    kek = AwsKmsKek(KMS_KEY)
    return kek.unwrap(b"blob", kek_id=kek.kek_id, context=CONTEXT)


@pytest.mark.parametrize(
    ("answer", "tries"),
    [
        (failing("ThrottlingException"), 3),
        (failing("KMSInternalException", 500), 3),
        (Answer(status=503), 3),
        (failing("AccessDeniedException"), 1),
        (failing("DisabledException"), 1),
        (failing("NotFoundException"), 1),
        (failing("KMSInvalidStateException"), 1),
    ],
)
def test_a_kms_that_does_not_serve_us_is_unavailable(kms: ScriptedServer, answer: Answer, tries: int) -> None:
    kms.script = lambda request: answer
    with pytest.raises(DependencyUnavailable):
        unwrap()
    assert len(kms.requests) == tries


@pytest.mark.parametrize("code", ["InvalidCiphertextException", "IncorrectKeyException"])
def test_what_kms_cannot_authenticate_is_a_decryption_error_at_once(kms: ScriptedServer, code: str) -> None:
    kms.script = lambda request: failing(code)
    with pytest.raises(DecryptionError):
        unwrap()
    assert len(kms.requests) == 1


def test_wrapping_fails_as_unavailable_too(kms: ScriptedServer) -> None:
    kms.script = lambda request: failing("AccessDeniedException")
    with pytest.raises(DependencyUnavailable):
        AwsKmsKek(KMS_KEY).wrap(bytes(32), context=CONTEXT)


def test_a_kms_that_nobody_listens_for_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(lambda request: Answer()) as server:
        gone = server.url
    for name, value in aws_environment(gone).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(DependencyUnavailable):
        unwrap()


def test_an_alias_is_refused_because_it_can_be_moved() -> None:
    with pytest.raises(ConfigurationError):
        AwsKmsKek("alias/navplane")
