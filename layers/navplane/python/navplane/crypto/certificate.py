"""Certificates of shredding: what is signed, and how anybody verifies one offline.

Certificate v1: Ed25519 over a label and the statement, a JSON text that is kept and passed on as it was written.
"""

import base64
import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from navplane.crypto.signing import SignatureInvalid, verify

FORMAT = "navplane shredding certificate v1"
LABEL = FORMAT.encode() + b"\x00"


def signed_bytes(statement: str) -> bytes:
    return LABEL + statement.encode()


def verify_certificate(document: Mapping[str, Any], *, public_keys: Mapping[UUID, bytes]) -> dict[str, Any]:
    """What the certificate states, once its signature is found to be that of one of the keys. Raise SignatureInvalid."""
    try:
        statement, key_id = str(document["statement"]), UUID(document["key_id"])
        signature = base64.b64decode(document["signature"], validate=True)
        said: dict[str, Any] = json.loads(statement)
        if said["format"] != FORMAT:
            raise ValueError("another format")
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        raise SignatureInvalid("This is not a signed certificate of shredding.") from exc
    if key_id not in public_keys:
        raise SignatureInvalid(f"It is signed by the key {key_id}, which is not among the public keys.")
    verify(signed_bytes(statement), signature, public_key=public_keys[key_id])
    return said
