"""OpenID Connect's authorization-code flow with PKCE (RFC 7636): sending people away to sign in, and hearing who came back."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit

import httpx2

from navplane.console.cookies import Attempt, Session
from navplane.crypto.jwks import fetch_endpoints
from navplane.crypto.token import TokenVerifier
from navplane.errors import BadRequest, DependencyUnavailable, Forbidden, Unauthenticated
from navplane.model.provider_key import Secret

SCOPE = "openid profile email"
FRESH_SECONDS = 600.0
EXCHANGE_SECONDS = 5.0
MAX_ANSWER_BYTES = 64 * 1024
START_AGAIN = "This attempt to sign in is over, or was begun in another browser: sign in again."


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """As the identity provider knows the console. Without a `secret` it is a public client, which PKCE protects."""

    id: str
    secret: Secret | None = None


class IdentityProvider:
    """The issuer's side of signing in. `audience` is what access tokens for the admin API are meant for. Shared by threads."""

    def __init__(self, issuer: str, *, client: Client, audience: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._issuer, self._client, self._audience, self._clock = issuer.rstrip("/"), client, audience, clock
        self._access_tokens = TokenVerifier(issuer, audience)
        self._id_tokens = TokenVerifier(issuer, client.id)
        self._known: tuple[float, tuple[str, ...]] = (float("-inf"), ())

    def sign_in_url(self, attempt: Attempt, *, redirect_uri: str) -> str:
        """Where the browser goes. Raise DependencyUnavailable when the issuer can't be asked."""
        endpoint, _ = self._endpoints()
        query = {
            "response_type": "code",
            "client_id": self._client.id,
            "redirect_uri": redirect_uri,
            "scope": SCOPE,
            # Auth0's way to say which API a token is for; others pass over it.
            "audience": self._audience,
            "state": attempt.state,
            "nonce": attempt.nonce,
            "code_challenge": challenge(attempt.verifier),
            "code_challenge_method": "S256",
        }
        return f"{endpoint}{'&' if urlsplit(endpoint).query else '?'}{urlencode(query)}"

    def code(self, answer: Mapping[str, str], attempt: Attempt | None) -> str:
        """What the browser brought back, if it answers `attempt`. Raise BadRequest if not, Forbidden for a refusal."""
        if attempt is None or not hmac.compare_digest(answer.get("state", "").encode(), attempt.state.encode()):
            raise BadRequest(START_AGAIN)
        # RFC 9207: another issuer's answer, which a browser was led to bring here.
        if answer.get("iss", self._issuer).rstrip("/") != self._issuer:
            raise BadRequest(START_AGAIN)
        if "error" in answer:
            raise Forbidden("The identity provider did not let you in.")
        if not answer.get("code"):
            raise BadRequest(START_AGAIN)
        return answer["code"]

    def session(self, code: str, attempt: Attempt, *, redirect_uri: str) -> Session:
        """Raise Unauthenticated for a code that is no good, and for tokens that are not ours or not one person's."""
        tokens = self._exchange(code, attempt, redirect_uri)
        access_token, id_token = tokens.get("access_token"), tokens.get("id_token")
        if not isinstance(access_token, str) or not isinstance(id_token, str):
            raise Unauthenticated("The identity provider gave no access token or no ID token: sign in again.")
        who = self._id_tokens.verify_login(id_token, nonce=attempt.nonce)
        if self._access_tokens.verify(access_token).subject != who.subject:
            raise Unauthenticated("The identity provider's two tokens name two people: sign in again.")
        return Session(access_token=access_token, subject=who.subject, name=who.name, email=who.email)

    def _endpoints(self) -> tuple[str, ...]:
        fetched_at, endpoints = self._known
        if self._clock() - fetched_at >= FRESH_SECONDS:
            endpoints = fetch_endpoints(self._issuer, "authorization_endpoint", "token_endpoint")
            self._known = self._clock(), endpoints
        return endpoints

    def _exchange(self, code: str, attempt: Attempt, redirect_uri: str) -> dict[str, object]:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "client_id": self._client.id,
            "code_verifier": attempt.verifier,
        }
        if self._client.secret is not None:
            form["client_secret"] = self._client.secret.reveal().decode()
        try:
            status, body = _posted(self._endpoints()[1], form)
            if status in (400, 401, 403):
                raise Unauthenticated("The identity provider did not take the code that it had given: sign in again.")
            document = json.loads(body) if status == 200 else None
        except (httpx2.HTTPError, httpx2.InvalidURL, ValueError, RecursionError) as exc:
            raise DependencyUnavailable("The identity provider could not be reached.", retry_after=2) from exc
        if not isinstance(document, dict):
            raise DependencyUnavailable("The identity provider did not answer as one does.", retry_after=2)
        return document


def challenge(verifier: str) -> str:
    """S256 of RFC 7636."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def _posted(url: str, form: Mapping[str, str]) -> tuple[int, bytes]:
    """Raise ValueError for an answer that is too large."""
    body = bytearray()
    with (
        httpx2.Client(timeout=EXCHANGE_SECONDS, trust_env=False, follow_redirects=False) as client,
        client.stream("POST", url, data=dict(form), headers={"accept": "application/json"}) as response,
    ):
        for chunk in response.iter_bytes():
            body += chunk
            if len(body) > MAX_ANSWER_BYTES:
                raise ValueError("the answer is too large")
        return response.status_code, bytes(body)
