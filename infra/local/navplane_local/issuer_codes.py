"""The development issuer's authorization codes: each is good once, for a minute, for who can show what it was asked with."""

import base64
import hashlib
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

LIFE_SECONDS = 60.0
MAX_WAITING = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class DevelopmentUser:
    """Somebody that the issuer vouches for without asking."""

    subject: str
    name: str = ""
    email: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What a code stands for. `challenge` is that of PKCE, by S256."""

    user: DevelopmentUser
    client_id: str
    redirect_uri: str
    challenge: str
    audience: str
    nonce: str | None


class Codes:
    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._waiting: dict[str, tuple[float, Grant]] = {}

    def issue(self, grant: Grant) -> str:
        now = self._clock()
        self._waiting = {code: kept for code, kept in self._waiting.items() if kept[0] > now}
        if len(self._waiting) >= MAX_WAITING:
            self._waiting.pop(next(iter(self._waiting)))
        code = secrets.token_urlsafe(32)
        self._waiting[code] = (now + LIFE_SECONDS, grant)
        return code

    def redeem(self, code: str, *, client_id: str, redirect_uri: str, verifier: str) -> Grant | None:
        """None for a code that is not one, not any more, or somebody else's. It is gone then too."""
        expires_at, grant = self._waiting.pop(code, (0.0, None))
        if grant is None or expires_at <= self._clock():
            return None
        shown = (client_id, redirect_uri, _challenge(verifier))
        return grant if shown == (grant.client_id, grant.redirect_uri, grant.challenge) else None


def _challenge(verifier: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
