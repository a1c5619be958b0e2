"""Answers kept for whoever asks again with the same idempotency key. They may hold a secret that is shown once, so they are
sealed with a key made of the idempotency key itself, which is not kept: without the caller nobody reads them."""

import os
from hashlib import sha256

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from navplane.errors import DecryptionError

NONCE_BYTES = 12
FOR_SEALING, FOR_FINDING = b"navplane admin answer v1", b"navplane idempotency key v1"


def digest(key: str, *, principal: str) -> bytes:
    """What the key is found by. Says nothing of the key that seals."""
    return sha256(_derived(key, principal, FOR_FINDING)).digest()


def seal(answer: bytes, *, key: str, principal: str) -> bytes:
    """A nonce and an AES-256-GCM ciphertext."""
    nonce = os.urandom(NONCE_BYTES)
    return nonce + AESGCM(_derived(key, principal, FOR_SEALING)).encrypt(nonce, answer, principal.encode())


def open_sealed(sealed: bytes, *, key: str, principal: str) -> bytes:
    """Raise DecryptionError for what this key and principal did not seal."""
    cipher = AESGCM(_derived(key, principal, FOR_SEALING))
    try:
        return cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], principal.encode())
    except (InvalidTag, ValueError):
        raise DecryptionError from None


def _derived(key: str, principal: str, purpose: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=sha256(principal.encode()).digest(), info=purpose).derive(key.encode())
