"""An OIDC issuer's signing keys: fetched by discovery, kept, and never fetched more often than a flood of tokens may ask."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import Lock
from urllib.parse import urlsplit

import httpx2
from jwt import PyJWK
from jwt.exceptions import PyJWTError

from navplane.errors import DependencyUnavailable

ALGORITHMS = ("RS256", "ES256")
FRESH_SECONDS = 600.0
STALE_SECONDS = 3600.0
COOLDOWN_SECONDS = 30.0
FAILURE_COOLDOWN_SECONDS = 5.0
FETCH_SECONDS = 3.0
MAX_DOCUMENT_BYTES = 256 * 1024
MAX_KEYS = 100
DISCOVERY_PATH = "/.well-known/openid-configuration"


@dataclass(frozen=True, slots=True)
class _Fetched:
    """What the last good answer held, and when; `attempted_at` also counts the attempts that failed since."""

    keys: Mapping[str, PyJWK] = field(default_factory=dict)
    fetched_at: float = float("-inf")
    attempted_at: float = float("-inf")
    failed: bool = False


class SigningKeys:
    """The public keys of `issuer` by `kid`. Safe to share between threads.

    Keys are fetched again after 10 minutes, or for a `kid` that is not among them, but not within the cooldown (30 s; 5 s
    after a failure). While the issuer is away the last keys serve for an hour; then, and before the first answer,
    DependencyUnavailable. Redirects and proxies from the environment are not followed.
    """

    def __init__(self, issuer: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._issuer, self._clock = issuer.rstrip("/"), clock
        self._state = _Fetched()
        self._fetching = Lock()

    def find(self, kid: str) -> PyJWK | None:
        """None when the issuer's current keys are known and `kid` is not among them. Raise DependencyUnavailable when that
        can't be told: an unknown key is only the caller's fault if the issuer said so."""
        if self._due(kid):
            self._refresh(kid)
        found = self._at_hand(kid)
        if found is None and (self._state.failed or not self._usable()):
            raise DependencyUnavailable("The token issuer's signing keys could not be fetched.", retry_after=2)
        return found

    def _usable(self) -> bool:
        return self._clock() - self._state.fetched_at < STALE_SECONDS

    def _at_hand(self, kid: str) -> PyJWK | None:
        return self._state.keys.get(kid) if self._usable() else None

    def _due(self, kid: str) -> bool:
        state, now = self._state, self._clock()
        if now - state.attempted_at < (FAILURE_COOLDOWN_SECONDS if state.failed else COOLDOWN_SECONDS):
            return False
        return kid not in state.keys or now - state.fetched_at >= FRESH_SECONDS

    def _refresh(self, kid: str) -> None:
        # While one thread fetches, those whose key is at hand go on with it; the others wait for the answer.
        if not self._fetching.acquire(blocking=self._at_hand(kid) is None):
            return
        try:
            if self._due(kid):
                self._fetch()
        finally:
            self._fetching.release()

    def _fetch(self) -> None:
        before, now = self._state, self._clock()
        try:
            keys = fetch_keys(self._issuer)
        except (httpx2.HTTPError, httpx2.InvalidURL, ValueError, RecursionError):
            # Fails closed for new keys; the ones at hand serve until they are an hour old.
            self._state = _Fetched(before.keys, before.fetched_at, now, failed=True)
        else:
            self._state = _Fetched(keys, now, now)


def fetch_keys(issuer: str) -> Mapping[str, PyJWK]:
    """Raise ValueError, RecursionError or an error of httpx2 when no key can be had within 3 seconds."""
    deadline = time.monotonic() + FETCH_SECONDS
    with _client() as client:
        discovered = _discovered(client, issuer, deadline)
        keys = _document(client, _endpoint(discovered, "jwks_uri", issuer), deadline).get("keys")
    usable = {key.key_id: key for key in _usable(keys) if key.key_id}
    if not usable:
        raise ValueError("the issuer publishes no key that can be used")
    return usable


def fetch_endpoints(issuer: str, *names: str) -> tuple[str, ...]:
    """What the discovery document says of the named endpoints. Raise DependencyUnavailable when it can't be had."""
    try:
        with _client() as client:
            discovered = _discovered(client, issuer, time.monotonic() + FETCH_SECONDS)
        return tuple(_endpoint(discovered, name, issuer) for name in names)
    except (httpx2.HTTPError, httpx2.InvalidURL, ValueError, RecursionError) as exc:
        raise DependencyUnavailable("The identity provider could not be asked how to sign in.", retry_after=2) from exc


def _client() -> httpx2.Client:
    return httpx2.Client(timeout=FETCH_SECONDS / 2, trust_env=False, follow_redirects=False)


def _discovered(client: httpx2.Client, issuer: str, deadline: float) -> dict[str, object]:
    discovered = _document(client, issuer + DISCOVERY_PATH, deadline)
    if str(discovered.get("issuer")).rstrip("/") != issuer:
        raise ValueError("the discovery document is another issuer's")
    return discovered


def _document(client: httpx2.Client, url: str, deadline: float) -> dict[str, object]:
    body = bytearray()
    with client.stream("GET", url, headers={"accept": "application/json"}) as response:
        if response.status_code != 200:
            raise ValueError(f"{url} answered {response.status_code}")
        for chunk in response.iter_bytes():
            body += chunk
            if len(body) > MAX_DOCUMENT_BYTES or time.monotonic() > deadline:
                raise ValueError(f"{url} is too large or too slow")
    document = json.loads(body)
    if not isinstance(document, dict):
        raise ValueError(f"{url} is not an object")
    return document


def _endpoint(discovered: Mapping[str, object], name: str, issuer: str) -> str:
    """Over https, unless the issuer itself is plain http, as it is on a developer's machine."""
    url = str(discovered.get(name))
    if urlsplit(url).scheme not in {"https", urlsplit(issuer).scheme}:
        raise ValueError(f"the issuer's {name} is not behind https")
    return url


def _usable(keys: object) -> list[PyJWK]:
    """The signing keys of the pinned algorithms; anything else in the set is passed over."""
    if not isinstance(keys, list) or len(keys) > MAX_KEYS:
        raise ValueError("the issuer's keys are not a list, or are too many")
    usable = []
    for key in keys:
        if not isinstance(key, dict) or key.get("use", "sig") != "sig" or key.get("kty") not in ("RSA", "EC"):
            continue
        try:
            parsed = PyJWK(key)
        except (PyJWTError, ValueError, TypeError, KeyError, AttributeError):
            continue
        if parsed.algorithm_name in ALGORITHMS and isinstance(parsed.key_id, str):
            usable.append(parsed)
    return usable
