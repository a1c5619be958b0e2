"""Signatures of webhooks: the published test vector, and secrets that are none."""

from datetime import UTC, datetime

import pytest
from navplane.crypto.webhook_signature import new_secret, signed_headers
from navplane.errors import DecryptionError
from navplane.model.provider_key import Secret

# The vector of Standard Webhooks' own libraries.
SECRET = Secret(b"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
NOW = datetime.fromtimestamp(1614265330, UTC)


def test_signature_is_the_published_one() -> None:
    headers = signed_headers(SECRET, delivery_id="msg_p5jXN8AQM9LWM0D4loKWxJek", body=b'{"test": 2432232314}', now=NOW)
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_a_new_secret_is_another_one_every_time() -> None:
    made = [new_secret().reveal() for _ in range(2)]
    assert made[0] != made[1]
    assert all(secret.startswith(b"whsec_") and len(secret) == 6 + 44 for secret in made)


def test_what_is_no_secret_signs_nothing() -> None:
    with pytest.raises(DecryptionError):
        signed_headers(Secret(b"sk-live-123"), delivery_id="x", body=b"", now=NOW)
