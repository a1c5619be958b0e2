"""A development OIDC issuer: its discovery document, its keys, and a function that mints tokens. Never for production:
whoever can reach its sign-in page or read its key file is anybody."""

import hashlib
import os
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from jwt.algorithms import RSAAlgorithm

from navplane_local.issuer_codes import Codes, Grant
from navplane_local.issuer_endpoints import AUTHORIZE_PATH, TOKEN_PATH, Endpoints
from navplane_local.issuer_form import Answer, read_form

DISCOVERY_PATH = "/.well-known/openid-configuration"
KEYS_PATH = "/jwks.json"
TOKEN_LIFETIME = timedelta(hours=12)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Issuer:
    """`url` is what tokens say in `iss`, and where this ASGI app must be reachable. Tokens are signed with RS256."""

    def __init__(self, url: str, key: rsa.RSAPrivateKey) -> None:
        self.url, self._key = url.rstrip("/"), key
        self._endpoints = Endpoints(self.url, Codes(), self._tokens)
        public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        self.kid = hashlib.sha256(public).hexdigest()[:16]

    @classmethod
    def from_file(cls, path: Path, *, url: str) -> Self:
        """The key in the PEM file at `path`, which is made (0600) when there is none."""
        if not path.exists():
            _write_new_key(path)
        key = load_pem_private_key(path.read_bytes(), password=None)
        if not isinstance(key, rsa.RSAPrivateKey):
            raise ValueError(f"{path} holds no RSA key; delete it and start again")
        return cls(url, key)

    def mint(
        self,
        subject: str,
        *,
        audience: str = "navplane",
        lifetime: timedelta = timedelta(hours=12),
        claims: Mapping[str, object] | None = None,
        kind: str = "at+jwt",
    ) -> str:
        """An access token for `subject`. `claims` are added, and replace the usual ones of the same name. `kind` is the
        header's `typ`."""
        now = int(time.time())
        payload = {
            "iss": self.url,
            "sub": subject,
            "aud": audience,
            "iat": now,
            "nbf": now,
            "exp": now + int(lifetime.total_seconds()),
            **(claims or {}),
        }
        return jwt.encode(payload, self._key, algorithm="RS256", headers={"kid": self.kid, "typ": kind})

    def _tokens(self, grant: Grant) -> dict[str, object]:
        """What the token endpoint answers a good code with."""
        user = grant.user
        known = {"email": user.email, "email_verified": True if user.email else None, "name": user.name}
        claims: dict[str, object] = {name: value for name, value in known.items() if value}
        access = self.mint(user.subject, audience=grant.audience, lifetime=TOKEN_LIFETIME, claims=claims)
        nonce: dict[str, object] = {"nonce": grant.nonce} if grant.nonce else {}
        signed_in = self.mint(
            user.subject, audience=grant.client_id, lifetime=TOKEN_LIFETIME, claims=claims | nonce, kind="JWT"
        )
        return {
            "access_token": access,
            "id_token": signed_in,
            "token_type": "Bearer",
            "expires_in": int(TOKEN_LIFETIME.total_seconds()),
        }

    def keys(self) -> dict[str, Any]:
        """The JWKS."""
        public = RSAAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        return {"keys": [{**public, "kid": self.kid, "use": "sig", "alg": "RS256"}]}

    def discovery(self) -> dict[str, Any]:
        return {
            "issuer": self.url,
            "jwks_uri": self.url + KEYS_PATH,
            "authorization_endpoint": self.url + AUTHORIZE_PATH,
            "token_endpoint": self.url + TOKEN_PATH,
            "grant_types_supported": ["authorization_code"],
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": ["none"],
            "authorization_response_iss_parameter_supported": True,
            "scopes_supported": ["openid", "profile", "email"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await _lifespan(receive, send)
        answer = await self._answer(scope, receive)
        await send({"type": "http.response.start", "status": answer.status, "headers": answer.encoded_headers()})
        await send({"type": "http.response.body", "body": answer.body})
        return None

    async def _answer(self, scope: Scope, receive: Receive) -> Answer:
        query, origin = scope["query_string"].decode("latin-1"), dict(scope["headers"]).get(b"origin")
        match scope["method"], scope["path"]:
            case "GET", path if path in (DISCOVERY_PATH, KEYS_PATH):
                return Answer.of_json(self.discovery() if path == DISCOVERY_PATH else self.keys())
            case "GET", path if path == AUTHORIZE_PATH:
                return self._endpoints.page(query)
            case "POST", path if path == AUTHORIZE_PATH:
                return self._endpoints.chosen(query, await read_form(receive), origin=origin)
            case "POST", path if path == TOKEN_PATH:
                return self._endpoints.redeemed(await read_form(receive))
        return Answer.of_json({}, status=404)


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


def _write_new_key(path: Path) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    # Written aside and moved: a start that is interrupted leaves no half a key.
    aside = path.with_suffix(".new")
    aside.unlink(missing_ok=True)
    with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(pem)
    aside.replace(path)
