"""Access tokens of the admin API: JWTs of trusted OIDC issuers (RFC 7519, RFC 9068), verified against their published keys.
And the ID tokens by which such an issuer tells the console who signed in (OpenID Connect Core, 3.1.3.7)."""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
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
# Auth0's, Okta's and Entra's, RFC 9068's, and what anybody may add.
PERMISSION_CLAIMS = ("permissions", "scp", "scope", "roles", "groups")
MAX_PERMISSIONS = 100
# Claims that only an ID token has: it proves a login to a client, and is no permission to call an API.
ID_TOKEN_CLAIMS = frozenset({"nonce", "at_hash", "c_hash", "s_hash"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """Who the issuer says is calling. `name` and `permissions` are for people to read; nothing is decided by them. `principal`
    is unique over all issuers: the subject itself for the first of them. `email_verified` is None where it says nothing."""

    issuer: str
    subject: str
    principal: str
    issued_at: datetime
    email: str | None = None
    email_verified: bool | None = None
    name: str | None = None
    permissions: tuple[str, ...] = ()


class TokenVerifier:
    """Raises Unauthenticated for every token that is not a current access token of a trusted issuer for its audience, and
    DependencyUnavailable when that issuer's keys can't be had. `others` are trusted, too: issuer → audience. Each issuer's
    keys are for its own tokens alone."""

    def __init__(self, issuer: str, audience: str, *, others: Mapping[str, str] = MappingProxyType({})) -> None:
        self._first = issuer.rstrip("/")
        trusted = {**others, issuer: audience}
        self._audiences = {one.rstrip("/"): audience for one, audience in trusted.items()}
        self._keys = {one: SigningKeys(one) for one in self._audiences}

    def verify(self, token: str) -> Claims:
        try:
            payload = self._verified(token)
            _refuse_id_token(payload)
            return self._claims(payload)
        except (PyJWTError, ValueError, TypeError, RecursionError) as exc:
            raise Unauthenticated("The access token is not valid here, or not any more: sign in again.") from exc

    def verify_login(self, token: str, *, nonce: str) -> Claims:
        """Of an ID token, by a verifier whose audience is the client that asked for it with `nonce`. Raise as `verify`."""
        try:
            payload = self._verified(token)
            _refuse_other_login(payload, client_id=self._audiences[self._first], nonce=nonce)
            return self._claims(payload)
        except (PyJWTError, ValueError, TypeError, RecursionError) as exc:
            raise Unauthenticated("The issuer's word on who signed in is not valid here: sign in again.") from exc

    def _verified(self, token: str) -> dict[str, Any]:
        if len(token) > MAX_TOKEN_BYTES:
            raise ValueError("the token is too long")
        kid = _acceptable_kid(jwt.get_unverified_header(token))
        issuer = self._named_issuer(token)
        key = self._keys[issuer].find(kid)
        if key is None:
            raise ValueError("signed with a key that the issuer does not publish")
        payload: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=list(ALGORITHMS),
            audience=self._audiences[issuer],
            # Some issuers end in a slash; settings are kept without it.
            issuer=[issuer, issuer + "/"],
            leeway=LEEWAY_SECONDS,
            options={"require": ["iss", "sub", "aud", "exp", "iat"], "enforce_minimum_key_length": True},
        )
        return payload

    def _named_issuer(self, token: str) -> str:
        """Whose keys to look at. Nothing is believed yet: the signature has to be of one of them, and the claim is checked
        again. A token of nobody we trust costs no fetch."""
        named = jwt.decode(token, options={"verify_signature": False}).get("iss")
        if not isinstance(named, str) or named.removesuffix("/") not in self._keys:
            raise ValueError("the token is of an issuer that is not trusted here")
        return named.removesuffix("/")

    def _claims(self, payload: Mapping[str, Any]) -> Claims:
        _refuse_long_life(payload)
        subject, issuer = payload["sub"], payload["iss"].removesuffix("/")
        if not 0 < len(subject) <= MAX_SUBJECT_LENGTH or not subject.isprintable():
            raise ValueError("the subject is empty, too long or not printable")
        return Claims(
            issuer=issuer,
            subject=subject,
            # A subject is unique within its issuer only.
            principal=subject if issuer == self._first else f"{issuer}#{subject}",
            issued_at=datetime.fromtimestamp(payload["iat"], UTC),
            email=_text(_claim(payload, "email")),
            email_verified=_is_verified(payload),
            name=_text(_claim(payload, "name")),
            permissions=_permissions(payload),
        )


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


def _refuse_other_login(payload: Mapping[str, Any], *, client_id: str, nonce: str) -> None:
    """One that was made for another attempt to sign in, or for another client beside this one."""
    if not hmac.compare_digest(str(payload.get("nonce", "")).encode(), nonce.encode()):
        raise ValueError("the ID token answers another attempt to sign in")
    several = isinstance(payload["aud"], list) and len(payload["aud"]) > 1
    if payload.get("azp", None if several else client_id) != client_id:
        raise ValueError("the ID token is meant for another client")


def _text(value: object) -> str | None:
    return value[:320] if isinstance(value, str) and value.isprintable() else None


def _claim(payload: Mapping[str, Any], name: str) -> object:
    """Auth0 lets an action add claims to access tokens under a URL of the tenant's own only: `https://…/email`."""
    if name in payload:
        return payload[name]
    return next((value for key, value in payload.items() if key.startswith("https://") and key.endswith("/" + name)), None)


def _is_verified(payload: Mapping[str, Any]) -> bool | None:
    """`xms_edov` is Entra's: the owner of the address's domain was verified. None when nothing is said."""
    said = _claim(payload, "email_verified")
    if said is None and payload.get("xms_edov") in (1, "1", "true"):
        return True
    return said if isinstance(said, bool) else None


def _permissions(payload: Mapping[str, Any]) -> tuple[str, ...]:
    """Up to 100, as they are shown: lists, and texts with blanks in between (RFC 9068's `scope`, Entra's `scp`)."""
    found: dict[str, None] = {}
    for name in PERMISSION_CLAIMS:
        values = payload.get(name)
        listed = values.split() if isinstance(values, str) else values if isinstance(values, list) else []
        found |= dict.fromkeys(text for value in listed[:MAX_PERMISSIONS] if (text := _text(value)))
    return tuple(found)[:MAX_PERMISSIONS]
