"""Envelope encryption: each secret under a data key (DEK) of its own, and the DEK wrapped by the KEK.

Sealed form v1, numbers big-endian:

    offset  bytes  what
    0       1      version, 0x01
    1       1      length of kek_id, n
    2       n      kek_id, ASCII: which KEK wrapped the DEK
    2+n     2      length of the wrapped DEK, m
    4+n     m      wrapped DEK, in its KEK's own form
    4+n+m   12     nonce
    16+n+m  ...    AES-256-GCM ciphertext of the secret, and its 16-byte tag

AAD: version (1 byte), organization (16), row id (16), then provider and region, and the kind of anything that is not a
provider key, each with its length (1) before it. The encryption context that the KEK binds says the same in names and text.

What may never change for version 1: the layout, the AAD, the context's names and their spelling. A change is version 2, and
version 1 stays readable until no row has it.
"""

import os
import struct
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from navplane.crypto.kek import Kek, KekUnwrapper, KekWrapper
from navplane.errors import DecryptionError
from navplane.model.provider_key import SealedFor, SealingContext, Secret

VERSION = 1
DEK_BYTES = 32
NONCE_BYTES = 12
TAG_BYTES = 16


def seal(secret: Secret, *, context: SealingContext, kek: KekWrapper) -> bytes:
    """Raise DependencyUnavailable when the KEK can't be reached."""
    dek, nonce = os.urandom(DEK_BYTES), os.urandom(NONCE_BYTES)
    wrapped = kek.wrap(dek, context=encryption_context(context))
    ciphertext = AESGCM(dek).encrypt(nonce, secret.reveal(), _aad(context))
    return _header(kek.kek_id, wrapped) + nonce + ciphertext


def open_sealed(sealed: bytes, *, context: SealingContext, kek: KekUnwrapper) -> Secret:
    """Raise DecryptionError for anything wrong with `sealed` or `context`, always the same; DependencyUnavailable when the
    KEK can't be reached, which says nothing of either."""
    parts = _parse(sealed)
    dek = kek.unwrap(parts.wrapped, kek_id=parts.kek_id, context=encryption_context(context))
    try:
        return Secret(AESGCM(dek).decrypt(parts.nonce, parts.ciphertext, _aad(context)))
    except (InvalidTag, ValueError):
        raise DecryptionError from None


def rewrap(sealed: bytes, *, context: SealingContext, old: KekUnwrapper, new: Kek) -> bytes:
    """The same under `new`: another header and another wrapped DEK before the same nonce and ciphertext. What comes back has
    been opened again. Raise DecryptionError when `sealed` does not open under `old` in its place."""
    parts, aad, named = _parse(sealed), _aad(context), encryption_context(context)
    dek = old.unwrap(parts.wrapped, kek_id=parts.kek_id, context=named)
    wrapped = new.wrap(dek, context=named)
    if new.unwrap(wrapped, kek_id=new.kek_id, context=named) != dek:
        raise DecryptionError
    try:
        AESGCM(dek).decrypt(parts.nonce, parts.ciphertext, aad)
    except (InvalidTag, ValueError):
        raise DecryptionError from None
    return _header(new.kek_id, wrapped) + parts.nonce + parts.ciphertext


def kek_id_of(sealed: bytes) -> str:
    """Which KEK is needed to open it. Raise DecryptionError when it isn't a sealed value."""
    return _parse(sealed).kek_id


def encryption_context(context: SealingContext) -> dict[str, str]:
    """What the KEK binds the DEK to. KMS writes it to CloudTrail in the clear: it holds no secret."""
    return {
        "navplane": context.kind.value,
        "version": str(VERSION),
        "organization": str(context.org_id),
        "provider_key": str(context.provider_key_id),
        "provider": context.provider,
        "region": context.region,
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parts:
    kek_id: str
    wrapped: bytes
    nonce: bytes
    ciphertext: bytes


def _header(kek_id: str, wrapped: bytes) -> bytes:
    name = kek_id.encode("ascii")
    return struct.pack(f">BB{len(name)}sH", VERSION, len(name), name, len(wrapped)) + wrapped


def _parse(sealed: bytes) -> _Parts:
    try:
        version, n = sealed[0], sealed[1]
        kek_id = sealed[2 : 2 + n].decode("ascii")
        (m,) = struct.unpack_from(">H", sealed, 2 + n)
    except (IndexError, UnicodeDecodeError, struct.error):
        raise DecryptionError from None
    nonce_at = 4 + n + m
    if version != VERSION or len(sealed) < nonce_at + NONCE_BYTES + TAG_BYTES:
        raise DecryptionError
    return _Parts(
        kek_id=kek_id,
        wrapped=sealed[4 + n : nonce_at],
        nonce=sealed[nonce_at : nonce_at + NONCE_BYTES],
        ciphertext=sealed[nonce_at + NONCE_BYTES :],
    )


def _aad(context: SealingContext) -> bytes:
    kind = [] if context.kind is SealedFor.PROVIDER_KEY else [context.kind.value]
    texts = [text.encode() for text in (context.provider, context.region, *kind)]
    return b"".join(
        [bytes([VERSION]), context.org_id.bytes, context.provider_key_id.bytes, *(bytes([len(t)]) + t for t in texts)]
    )
