"""Ed25519 (RFC 8032): what NavPlane signs, anybody can verify with the public key alone."""

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from navplane.model.provider_key import Secret


class SignatureInvalid(Exception):
    """It was not made by this key over this statement."""


def new_signing_key() -> Secret:
    """The 32 bytes of a private key."""
    return Secret(Ed25519PrivateKey.generate().private_bytes_raw())


def public_key_of(key: Secret) -> bytes:
    """32 bytes."""
    return Ed25519PrivateKey.from_private_bytes(key.reveal()).public_key().public_bytes_raw()


def sign(statement: bytes, *, key: Secret) -> bytes:
    """64 bytes."""
    return Ed25519PrivateKey.from_private_bytes(key.reveal()).sign(statement)


def verify(statement: bytes, signature: bytes, *, public_key: bytes) -> None:
    """Raise SignatureInvalid."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, statement)
    except (InvalidSignature, ValueError) as exc:
        raise SignatureInvalid from exc
