"""Tokens that nobody may come in with: each is wrong in one way, and everything else about it is right."""

import base64
import hmac
import json
import time
from collections.abc import Iterator
from datetime import timedelta

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from navplane_local.issuer import Issuer

from tests.support.oidc import rsa_key

HOUR = 3600


def payload(issuer: Issuer, **changes: object) -> dict[str, object]:
    now = int(time.time())
    usual = {"iss": issuer.url, "sub": "local|admin", "aud": "navplane", "iat": now, "exp": now + HOUR}
    return {name: value for name, value in {**usual, **changes}.items() if value is not ...}


def signed(issuer: Issuer, claims: dict[str, object], **header: object) -> str:
    """Signed by the issuer's own key: what is wrong with it is in `claims` or `header`."""
    body = json.dumps(claims).encode()
    return jwt.PyJWS().encode(body, rsa_key(), algorithm="RS256", headers={"kid": issuer.kid, "typ": "JWT", **header})


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


NOW = int(time.time())
BAD_CLAIMS: dict[str, dict[str, object]] = {
    "another issuer": {"iss": "https://evil.example"},
    "no issuer": {"iss": ...},
    "issuer in a list": {"iss": ["x"]},
    "another audience": {"aud": "other"},
    "no audience": {"aud": ...},
    "empty audience": {"aud": []},
    "audience as an object": {"aud": {"navplane": 1}},
    "no subject": {"sub": ...},
    "empty subject": {"sub": ""},
    "subject of another type": {"sub": 7},
    "subject with a line break": {"sub": "local|admin\nx"},
    "subject of 300 characters": {"sub": "x" * 300},
    "expired": {"iat": NOW - 2 * HOUR, "exp": NOW - HOUR},
    "no end": {"exp": ...},
    "end as a text": {"exp": str(NOW + HOUR)},
    "end as a boolean": {"exp": True},
    "end beyond numbers": {"exp": float("inf")},
    "end that is no number": {"exp": float("nan")},
    "lives longer than a day": {"iat": NOW, "exp": NOW + 24 * HOUR + 1},
    "lives for a thousand years": {"exp": NOW + 10**11},
    "an old start to hide a long life": {"iat": NOW - 400 * 24 * HOUR, "exp": NOW + HOUR},
    "no start": {"iat": ...},
    "starts in the future": {"iat": NOW + 2 * HOUR, "exp": NOW + 3 * HOUR},
    "not yet valid": {"nbf": NOW + HOUR},
    "not before a text": {"nbf": "soon"},
    "ID token by its nonce": {"nonce": "n"},
    "ID token by at_hash": {"at_hash": "h"},
    "ID token by token_use": {"token_use": "id"},
    "ID token by typ": {"typ": "ID"},
    "refresh token by typ": {"typ": "Refresh"},
}


BAD_HEADERS: dict[str, dict[str, object]] = {
    "critical extension": {"crit": ["exp"]},
    "critical extension that the library knows": {"crit": ["b64"], "b64": True},
    "key by address": {"jku": "https://evil.example/jwks.json"},
    "key inside": {"jwk": {"kty": "oct", "k": "AAAA"}},
    "certificate by address": {"x5u": "https://evil.example/cert"},
    "certificate inside": {"x5c": ["AAAA"]},
    "unknown key": {"kid": "nobody's"},
    "empty key name": {"kid": ""},
    "ID token type": {"typ": "id_token+jwt"},
    "nested token type": {"typ": "JWE"},
}


def hostile(issuer: Issuer, other: Issuer) -> dict[str, str]:
    """By what is wrong with them. `other` is another issuer that is trusted, too, for an audience of its own."""
    tokens = {name: signed(issuer, payload(issuer, **changes)) for name, changes in BAD_CLAIMS.items()}
    tokens |= {name: signed(issuer, payload(issuer), **header) for name, header in BAD_HEADERS.items()}
    return tokens | dict(_unsigned(issuer)) | dict(_wrongly_signed(issuer, other)) | dict(_bent(issuer))


def _unsigned(issuer: Issuer) -> Iterator[tuple[str, str]]:
    body = b64(json.dumps(payload(issuer)).encode())
    for alg in ("none", "None", "NONE", "nOnE", ""):
        header = b64(json.dumps({"alg": alg, "kid": issuer.kid, "typ": "JWT"}).encode())
        yield f"algorithm {alg!r} without a signature", f"{header}.{body}."
        yield f"algorithm {alg!r} with some signature", f"{header}.{body}.AAAA"
    head, _, signature = issuer.mint("local|admin").split(".")
    yield "the signature of another token", f"{head}.{body}.{signature}"
    yield "no signature under RS256", f"{head}.{body}."


def _wrongly_signed(issuer: Issuer, other: Issuer) -> Iterator[tuple[str, str]]:
    public = rsa_key().public_key()
    secrets = {
        "the public key as a secret (PEM)": public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        "the public key as a secret (DER)": public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        "an empty secret": b"",
    }
    header = b64(json.dumps({"alg": "HS256", "kid": issuer.kid, "typ": "JWT"}).encode())
    body = b64(json.dumps(payload(issuer)).encode())
    for name, secret in secrets.items():
        yield name, f"{header}.{body}.{b64(hmac.digest(secret, f'{header}.{body}'.encode(), 'sha256'))}"
    for algorithm in ("RS384", "RS512", "PS256"):
        yield algorithm, jwt.encode(payload(issuer), rsa_key(), algorithm=algorithm, headers={"kid": issuer.kid})
    thief, curve = rsa_key("thief"), ec.generate_private_key(ec.SECP256R1())
    yield "a thief's key", jwt.encode(payload(issuer), thief, algorithm="RS256", headers={"kid": issuer.kid})
    yield "a curve's key", jwt.encode(payload(issuer), curve, algorithm="ES256", headers={"kid": issuer.kid})
    foreign = payload(other, iss=issuer.url, aud="navplane")
    yield "another trusted issuer's key", jwt.encode(foreign, rsa_key("other"), algorithm="RS256", headers={"kid": other.kid})
    yield "another trusted issuer's audience", other.mint("local|admin", audience="navplane")


def _bent(issuer: Issuer) -> Iterator[tuple[str, str]]:
    token = issuer.mint("local|admin")
    head, body, signature = token.split(".")
    yield "one byte of the signature changed", f"{head}.{body}.{'A' if signature[0] != 'A' else 'B'}{signature[1:]}"
    yield "one byte of the claims changed", f"{head}.{'A' if body[9] != 'A' else 'B'}{body[1:]}.{signature}"
    yield "a part too many", f"{token}.{signature}"
    yield "a part too few", f"{head}.{body}"
    yield "longer than 8 KiB", f"{token}{'A' * 8192}"
    yield "a header that is a list", f"{b64(b'[]')}.{body}.{signature}"
    yield "a header nested without end", f"{b64(b'[' * 5000)}.{body}.{signature}"
    yield "claims that are a list", f"{head}.{b64(b'[]')}.{signature}"
    yield "expired a moment before the leeway", issuer.mint("local|admin", lifetime=timedelta(seconds=-60))
    yield "a service key", "nps_0b0f6f2e-7c0e-4c58-8f0b-0e4a5a1f9f1e"
    yield "nothing", ""
