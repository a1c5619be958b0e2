"""Which key the caller presents: a matter of text alone, no dependency is asked."""

from navplane.crypto.api_key import ApiKeyShape
from navplane.errors import AmbiguousCredentials, InvalidAPIKey
from navplane.gateway.asgi import RawHeaders

CREDENTIAL_HEADERS = frozenset({b"authorization", b"x-api-key", b"api-key"})
# One text for every key that doesn't sign in: unknown, malformed, revoked and expired look alike.
INVALID_KEY_MESSAGE = "Incorrect API key provided. Check that it is a NavPlane key which has not been rotated or revoked."


def presented_key(headers: RawHeaders, shape: ApiKeyShape) -> str:
    """The one key in `Authorization: Bearer`, `x-api-key` or `api-key`. Repeats of one key are fine.

    Raise AmbiguousCredentials for two different ones, InvalidAPIKey for none or for what is no key of ours.
    """
    presented = {_credential(name, value) for name, value in headers if name in CREDENTIAL_HEADERS} - {b""}
    if len(presented) > 1:
        raise AmbiguousCredentials("Two different credentials were sent. Send one, as Authorization: Bearer or x-api-key.")
    if not presented:
        raise InvalidAPIKey("No API key was sent. Send a NavPlane key as Authorization: Bearer or x-api-key.")
    key = presented.pop().decode("ascii", "replace")
    if not shape.accepts(key):
        raise InvalidAPIKey(INVALID_KEY_MESSAGE)
    return key


def _credential(name: bytes, value: bytes) -> bytes:
    """Another scheme than Bearer is a credential too, only none that signs in here."""
    value = value.strip()
    if name == b"authorization" and value[:6].lower() == b"bearer":
        return value[6:].strip()
    return value
