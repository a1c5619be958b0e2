"""A KEK in AWS KMS. The encryption context is bound by KMS itself, and each call is in CloudTrail with it."""

import random
import time
from collections.abc import Callable, Mapping
from threading import Lock
from typing import TYPE_CHECKING, TypeVar

from navplane.errors import ConfigurationError, DecryptionError, DependencyUnavailable

if TYPE_CHECKING:
    from mypy_boto3_kms import KMSClient

TRIES = 3
TOTAL_SECONDS = 2.0
CONNECT_SECONDS, READ_SECONDS = 0.4, 0.6
LONGEST_TRY = CONNECT_SECONDS + READ_SECONDS
# KMS's own limit on a CiphertextBlob (API reference, Decrypt): more than that was never a wrapped key.
MAX_CIPHERTEXT_BYTES = 6144

# What can pass by itself. KMS answers throttling with HTTP 400, so the code decides, not the status.
TRANSIENT = frozenset(
    {"ThrottlingException", "Throttling", "TooManyRequestsException", "KMSInternalException", "DependencyTimeoutException"}
    | {"RequestTimeout", "InternalFailure", "ServiceUnavailable", "500", "502", "503", "504"}
)
NOT_OURS = frozenset({"InvalidCiphertextException", "IncorrectKeyException"})
Result = TypeVar("Result")


class AwsKmsKek:
    """`key_id` is a key's ARN or id. An alias is refused: it can be pointed at another key, and then nothing opens any more.

    Safe to share between threads. Fails closed: denied, throttled or unreachable is DependencyUnavailable after at most 3
    tries and 2 seconds. A timeout uses up the time of a further try; quick failures get all three.
    """

    def __init__(self, key_id: str) -> None:
        if "alias/" in key_id:
            raise ConfigurationError("KMS_KEY_ID is an alias; set the key's ARN or id.")
        self._key_id = key_id
        # The last part is the same in the id and the ARN, and in every region of a multi-region key.
        self.kek_id = "aws_kms:" + key_id.rpartition("/")[2]
        self._lock = Lock()
        self._client: KMSClient | None = None

    def wrap(self, dek: bytes, *, context: Mapping[str, str]) -> bytes:
        answer = _within_deadline(
            lambda: self._kms().encrypt(KeyId=self._key_id, Plaintext=dek, EncryptionContext=dict(context))
        )
        return answer["CiphertextBlob"]

    def unwrap(self, wrapped: bytes, *, kek_id: str, context: Mapping[str, str]) -> bytes:
        if kek_id != self.kek_id or not 0 < len(wrapped) <= MAX_CIPHERTEXT_BYTES:
            raise DecryptionError
        answer = _within_deadline(
            lambda: self._kms().decrypt(KeyId=self._key_id, CiphertextBlob=wrapped, EncryptionContext=dict(context))
        )
        return answer["Plaintext"]

    def _kms(self) -> "KMSClient":
        # Clients are safe to share between threads, making one is not.
        with self._lock:
            if self._client is None:
                self._client = _new_client()
            return self._client


def _new_client() -> "KMSClient":
    import boto3
    from botocore.config import Config

    config = Config(
        connect_timeout=CONNECT_SECONDS, read_timeout=READ_SECONDS, retries={"total_max_attempts": 1, "mode": "standard"}
    )
    return boto3.session.Session().client("kms", config=config)


def _within_deadline(call: Callable[[], Result]) -> Result:
    last_start = time.monotonic() + TOTAL_SECONDS - LONGEST_TRY
    for tried in range(1, TRIES + 1):
        try:
            return _translated(call)
        except _Transient as exc:
            if tried == TRIES or time.monotonic() > last_start:
                raise DependencyUnavailable("The key management service does not answer.") from exc.__cause__
            time.sleep(random.uniform(0, 0.05 * 2**tried))  # noqa: S311 - jitter, not a secret
    raise AssertionError("the last try returns or raises")


class _Transient(Exception):
    """Another try may help; its cause says why."""


def _translated(call: Callable[[], Result]) -> Result:
    from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

    try:
        return call()
    except ClientError as exc:
        code = exc.response.get("Error", {}).get("Code", "")
        if code in NOT_OURS:
            raise DecryptionError from None
        if code in TRANSIENT:
            raise _Transient from exc
        raise DependencyUnavailable("The key management service refused the call.") from exc
    except HTTPClientError as exc:
        raise _Transient from exc
    except BotoCoreError as exc:
        raise DependencyUnavailable("The key management service could not be asked.") from exc
