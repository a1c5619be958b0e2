"""Access tokens of the admin API: JWTs of one OIDC issuer (RFC 7519, RFC 9068), verified against its published keys."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jwt
from jwt.exceptions import PyJWTError

from navplane.crypto.jwks import ALGORITHMS, SigningKeys
from navplane.errors import Unauthenticated

MAX_TOKEN_BYTES = 8192
MAX_LIFETIME_SECONDS = 24 * 3600
LEEWAY_SECONDS = 30
MAX_SUBJECT_LENGTH = 255
ACCESS_TOKEN_TYPES = frozenset({"jwt", "at+jwt", "application/at+jwt"})
# Headers by which a token would choose its own key or its own rules.
REFUSED_HEADERS = frozenset({"crit", "jku", "jwk", "x5u", "x5c", "b64", "zip", "enc"})
# Claims that only an ID token has: it proves a login to a client, and is no permission to call an API.
ID_TOKEN_CLAIMS = frozenset({"nonce", "at_hash", "c_hash", "s_hash"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """Who the issuer says is calling. `email` and `name` are for people to read; nothing is decided by them."""

    issuer: str
    subject: str
    email: str | None
    name: str | None


class TokenVerifier:
    """Raises Unauthenticated for every token that is not a current access token of `issuer` for `audience`, and
    DependencyUnavailable when the issuer's keys can't be had."""

    def __init__(self, issuer: str, audience: str, *, keys: SigningKeys | None = None) -> None:
        self._issuer, self._audience = issuer.rstrip("/"), audience
        self._keys = keys or SigningKeys(self._issuer)

    def verify(self, token: str) -> Claims:
        try:
            return self._claims(self._verified(token))
        except (PyJWTError, ValueError, TypeError, RecursionError) as exc:
            raise Unauthenticated("The access token is not valid here, or not any more: sign in again.") from exc

    def _verified(self, token: str) -> dict[str, Any]:
        if len(token) > MAX_TOKEN_BYTES:
            raise ValueError("the token is too long")
        key = self._keys.find(_acceptable_kid(jwt.get_unverified_header(token)))
        if key is None:
            raise ValueError("signed with a key that the issuer does not publish")
        payload: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=list(ALGORITHMS),
            audience=self._audience,
            # Some issuers end in a slash; settings are kept without it.
            issuer=[self._issuer, self._issuer + "/"],
            leeway=LEEWAY_SECONDS,
            options={"require": ["iss", "sub", "aud", "exp", "iat"], "enforce_minimum_key_length": True},
        )
        return payload

    def _claims(self, payload: Mapping[str, Any]) -> Claims:
        _refuse_long_life(payload)
        _refuse_id_token(payload)
        subject = payload["sub"]
        if not 0 < len(subject) <= MAX_SUBJECT_LENGTH or not subject.isprintable():
            raise ValueError("the subject is empty, too long or not printable")
        return Claims(issuer=self._issuer, subject=subject, email=_text(payload.get("email")), name=_text(payload.get("name")))


def _acceptable_kid(header: Mapping[str, Any]) -> str:
    """Everything that can be refused before the issuer's keys are looked at."""
    refused = REFUSED_HEADERS & header.keys()
    if refused:
        raise ValueError("the token's header has fields that are not accepted")
    if header.get("alg") not in ALGORITHMS or str(header.get("typ", "JWT")).lower() not in ACCESS_TOKEN_TYPES:
        raise ValueError("the token's algorithm or type is not accepted")
    kid = header.get("kid")
    if not isinstance(kid, str) or not kid:
        raise ValueError("the token does not name its key")
    return kid


def _refuse_long_life(payload: Mapping[str, Any]) -> None:
    times = [payload[name] for name in ("iat", "exp", "nbf") if name in payload]
    if any(isinstance(time, bool) or not isinstance(time, int | float) for time in times):
        raise ValueError("a time is not a number")
    if payload["exp"] - payload["iat"] > MAX_LIFETIME_SECONDS:
        raise ValueError("the token lives longer than a day")


def _refuse_id_token(payload: Mapping[str, Any]) -> None:
    """`token_use` is Cognito's mark, `typ` in the payload Keycloak's."""
    if ID_TOKEN_CLAIMS & payload.keys() or payload.get("token_use", "access") != "access":
        raise ValueError("an ID token is not an access token")
    if str(payload.get("typ", "Bearer")).lower() not in {"bearer", *ACCESS_TOKEN_TYPES}:
        raise ValueError("an ID token is not an access token")


def _text(value: object) -> str | None:
    return value[:320] if isinstance(value, str) and value.isprintable() else None
