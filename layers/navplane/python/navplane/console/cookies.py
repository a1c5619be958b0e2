"""The console's memory: two sealed cookies, for who is signed in and for an attempt to. The server keeps nothing."""

import json
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from starlette.responses import Response

from navplane.crypto.cookie import CookieSeal
from navplane.errors import DecryptionError, Unauthenticated

SESSION_LIFE = timedelta(hours=1)
ATTEMPT_LIFE = timedelta(minutes=10)
# Browsers take 4096 bytes with the name and the attributes; API Gateway takes 10,240 bytes of headers.
PART_LENGTH = 3800
MAX_PARTS = 2
MAX_OPENED_BYTES = 64 * 1024
Kept = TypeVar("Kept", "Session", "Attempt")


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """Who is signed in, by the identity provider's word, and the token that the admin API is called with."""

    access_token: str = field(repr=False)
    subject: str
    name: str | None
    email: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """What an answer of the identity provider is held against, and the page to show after it (ids as text)."""

    state: str
    nonce: str
    verifier: str = field(repr=False)
    organization: str | None
    workspace: str | None


class Jar:
    """A browser's cookies. What was not sealed here, or is too old, counts as not there."""

    def __init__(self, seal: CookieSeal, sent: Mapping[str, str], *, secure: bool) -> None:
        self._seal, self._sent, self._secure = seal, sent, secure
        # Only a host itself, over TLS, can set a cookie with this prefix. Without TLS browsers refuse it.
        self._prefix = "__Host-navplane" if secure else "navplane"

    def session(self, *, now: datetime) -> Session | None:
        return self._opened(Session, "session", now)

    def attempt(self, *, now: datetime) -> Attempt | None:
        return self._opened(Attempt, "attempt", now)

    def keep_session(self, response: Response, session: Session, *, now: datetime) -> None:
        """Raise Unauthenticated for a token that no browser would keep."""
        self._keep(response, "session", session, now, SESSION_LIFE)

    def keep_attempt(self, response: Response, attempt: Attempt, *, now: datetime) -> None:
        self._keep(response, "attempt", attempt, now, ATTEMPT_LIFE)

    def drop_session(self, response: Response) -> None:
        self._drop(response, "session")

    def drop_attempt(self, response: Response) -> None:
        self._drop(response, "attempt")

    def _opened(self, kind: type[Kept], purpose: str, now: datetime) -> Kept | None:
        text = "".join(self._sent.get(name, "") for name in self._names(purpose))
        try:
            packed = zlib.decompressobj().decompress(self._seal.open(text, purpose=purpose), MAX_OPENED_BYTES)
            kept: dict[str, Any] = json.loads(packed)
            return kind(**kept) if kept.pop("expires_at") > now.timestamp() else None
        except (DecryptionError, ValueError, KeyError, TypeError, zlib.error):
            return None

    def _keep(self, response: Response, purpose: str, kept: Session | Attempt, now: datetime, life: timedelta) -> None:
        document = {**asdict(kept), "expires_at": int((now + life).timestamp())}
        text = self._seal.seal(zlib.compress(json.dumps(document).encode()), purpose=purpose)
        parts = [text[start : start + PART_LENGTH] for start in range(0, len(text), PART_LENGTH)]
        if len(parts) > MAX_PARTS:
            raise Unauthenticated(
                "The identity provider's access token is too long to be kept in a browser: put fewer claims into it."
            )
        self._drop(response, purpose, after=len(parts))
        for name, part in zip(self._names(purpose), parts, strict=False):
            response.set_cookie(name, part, max_age=int(life.total_seconds()), **self._attributes())

    def _drop(self, response: Response, purpose: str, *, after: int = 0) -> None:
        for name in self._names(purpose)[after:]:
            if name in self._sent:
                response.set_cookie(name, "", max_age=0, expires=datetime.fromtimestamp(0, UTC), **self._attributes())

    def _names(self, purpose: str) -> list[str]:
        return [f"{self._prefix}-{purpose}{part or ''}" for part in range(MAX_PARTS)]

    def _attributes(self) -> dict[str, Any]:
        # Lax, not Strict: the browser comes back from another site, the identity provider's.
        return {"path": "/", "secure": self._secure, "httponly": True, "samesite": "lax"}
