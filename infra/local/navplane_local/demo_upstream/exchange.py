"""One call as the demo upstream sees it: the request that arrived, the answer that goes back, or the provider's refusal."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = tuple[tuple[str, str], ...]


class Dialect(StrEnum):
    OPENAI = "openai"
    ANTHROPIC = "anthropic"


class Cut(Exception):
    """Raised by a body: the connection ends here, in the middle of the answer."""


class ProviderError(Exception):
    """The provider says no. `kind` is OpenAI's error type where it differs from what the status alone suggests."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str | None = None,
        code: str | None = None,
        param: str | None = None,
        headers: Headers = (),
    ) -> None:
        super().__init__(message)
        self.status, self.message = status, message
        self.kind, self.code, self.param, self.headers = kind, code, param, headers


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """`path` is as it was sent, still percent-encoded; header names are lower case, in the order of arrival."""

    capture_id: int
    method: str
    path: str
    query: str
    headers: Headers
    body: bytes = field(repr=False)

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key == name), None)

    @property
    def dialect(self) -> Dialect:
        anthropic = self.path.startswith("/v1/messages") or self.header("anthropic-version") is not None
        return Dialect.ANTHROPIC if anthropic else Dialect.OPENAI

    @property
    def key(self) -> str | None:
        """The credential: `Authorization: Bearer`, and on the Anthropic surface `x-api-key` too."""
        scheme, _, token = (self.header("authorization") or "").partition(" ")
        bearer = token.strip() if scheme.lower() == "bearer" else ""
        other = self.header("x-api-key") if self.dialect is Dialect.ANTHROPIC else None
        return bearer or other or None

    def json(self) -> dict[str, Any]:
        """The body as an object; raise the provider's 400 for anything else."""
        try:
            parsed = json.loads(self.body)
        except ValueError as exc:
            raise ProviderError(400, "We could not parse the JSON body of your request.") from exc
        if not isinstance(parsed, dict):
            raise ProviderError(400, "The JSON body of your request must be an object.")
        return parsed


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """`length` goes out as content-length; without it the body is chunked."""

    status: int = 200
    headers: Headers = ()
    body: AsyncIterator[bytes] = field(repr=False)
    length: int | None = None
    delay_seconds: float = 0.0


async def whole(body: bytes) -> AsyncIterator[bytes]:
    yield body


def to_json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def json_answer(value: object, *, status: int = 200, headers: Headers = (), delay_seconds: float = 0.0) -> Answer:
    body = to_json(value)
    headers = (("content-type", "application/json"), *headers)
    return Answer(status=status, headers=headers, body=whole(body), length=len(body), delay_seconds=delay_seconds)
