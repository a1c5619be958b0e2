"""What the console keeps with a browser, sealed: nobody reads it, changes it, or puts it to another use."""

import base64
import binascii
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from navplane.errors import ConfigurationError, DecryptionError
from navplane.model.provider_key import Secret

# The first byte of every sealed value. A new form gets a new one.
VERSION = b"\x01"
NONCE_BYTES = 12
SHORTEST_KEY = 32


class CookieSeal:
    """AES-256-GCM under a key that is derived from `key`: at least 32 random characters, the same wherever the console runs."""

    def __init__(self, key: Secret) -> None:
        if len(key.reveal()) < SHORTEST_KEY:
            raise ConfigurationError(
                f"CONSOLE_SESSION_KEY is too short: it must have at least {SHORTEST_KEY} random characters."
            )
        derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"navplane console cookie v1").derive(key.reveal())
        self._cipher = AESGCM(derived)

    def seal(self, value: bytes, *, purpose: str) -> str:
        """Letters, digits, `-` and `_`: a third longer than `value`, and 39 more."""
        nonce = os.urandom(NONCE_BYTES)
        sealed = VERSION + nonce + self._cipher.encrypt(nonce, value, purpose.encode())
        return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()

    def open(self, text: str, *, purpose: str) -> bytes:
        """Raise DecryptionError for whatever was not sealed with this key, for this purpose."""
        try:
            sealed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
            if sealed[:1] != VERSION:
                raise DecryptionError
            nonce, rest = sealed[1 : 1 + NONCE_BYTES], sealed[1 + NONCE_BYTES :]
            return self._cipher.decrypt(nonce, rest, purpose.encode())
        except (InvalidTag, ValueError, binascii.Error):
            raise DecryptionError from None
