"""A KEK that is 32 bytes in this process: for a laptop, a container, or a stack without KMS.

It is symmetric: who holds it can wrap and unwrap (docs/security.md).
"""

import base64
import binascii
import hashlib
import json
import os
from collections.abc import Mapping
from typing import Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from navplane.errors import ConfigurationError, DecryptionError
from navplane.model.provider_key import Secret

KEY_BYTES = 32
NONCE_BYTES = 12

# Wrapped form v1: version (1 byte) | nonce (12) | ciphertext and tag. AAD: the label below, then the encryption context as
# canonical JSON. None of this may ever change for version 1: what is stored could not be unwrapped again.
EXAMPLE = "`openssl rand -base64 32` prints one."
VERSION = b"\x01"
AAD_LABEL = b"navplane local kek v1\x00"
FINGERPRINT_LABEL = b"navplane local kek id v1\x00"


class LocalKek:
    """Wraps with AES-256-GCM. `kek_id` is derived from the key itself, so two keys can't be mistaken for each other."""

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ConfigurationError(f"The encryption key has {len(key)} bytes; it must have {KEY_BYTES}. {EXAMPLE}")
        self._cipher = AESGCM(key)
        self.kek_id = "local:" + hashlib.sha256(FINGERPRINT_LABEL + key).hexdigest()[:32]

    @classmethod
    def from_base64(cls, key: Secret) -> Self:
        """`key` is 32 bytes in standard base64, as `openssl rand -base64 32` prints them."""
        try:
            return cls(base64.b64decode(key.reveal().strip(), validate=True))
        except (binascii.Error, ValueError):
            raise ConfigurationError(f"The encryption key is not base64. {EXAMPLE}") from None

    def wrap(self, dek: bytes, *, context: Mapping[str, str]) -> bytes:
        nonce = os.urandom(NONCE_BYTES)
        return VERSION + nonce + self._cipher.encrypt(nonce, dek, _aad(context))

    def unwrap(self, wrapped: bytes, *, kek_id: str, context: Mapping[str, str]) -> bytes:
        if kek_id != self.kek_id or wrapped[:1] != VERSION:
            raise DecryptionError
        nonce, ciphertext = wrapped[1 : 1 + NONCE_BYTES], wrapped[1 + NONCE_BYTES :]
        try:
            return self._cipher.decrypt(nonce, ciphertext, _aad(context))
        except (InvalidTag, ValueError):
            # `from None`: a traceback must not tell which check failed either.
            raise DecryptionError from None


def _aad(context: Mapping[str, str]) -> bytes:
    return AAD_LABEL + json.dumps(dict(context), sort_keys=True, separators=(",", ":")).encode()
