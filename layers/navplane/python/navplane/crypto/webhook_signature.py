"""Signatures of webhooks, as Standard Webhooks has them: the receiver can tell who sent what, and when."""

import base64
import hashlib
import hmac
import os
from collections.abc import Mapping
from datetime import datetime

from navplane.errors import DecryptionError
from navplane.model.provider_key import Secret

PREFIX = "whsec_"
SECRET_BYTES = 32


def new_secret() -> Secret:
    """`whsec_` and 32 random bytes in base64."""
    return Secret(PREFIX.encode() + base64.b64encode(os.urandom(SECRET_BYTES)))


def signed_headers(secret: Secret, *, delivery_id: str, body: bytes, now: datetime) -> Mapping[str, str]:
    """HMAC-SHA256 of `id.timestamp.body` under the bytes that the secret says in base64. A receiver compares in constant time
    and refuses a timestamp that is minutes off. Raise DecryptionError for a secret that is none of ours."""
    timestamp = str(int(now.timestamp()))
    signed = b".".join((delivery_id.encode(), timestamp.encode(), body))
    signature = base64.b64encode(hmac.digest(_key(secret), signed, hashlib.sha256)).decode()
    return {"webhook-id": delivery_id, "webhook-timestamp": timestamp, "webhook-signature": f"v1,{signature}"}


def _key(secret: Secret) -> bytes:
    text = secret.reveal()
    if not text.startswith(PREFIX.encode()):
        raise DecryptionError
    return base64.b64decode(text[len(PREFIX) :])
