"""What the development issuer reads and answers: forms in, pages, redirects and JSON out."""

import json
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import parse_qsl

MAX_FORM_BYTES = 16 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of_json(cls, document: object, *, status: int = 200) -> Self:
        return cls(status=status, body=json.dumps(document).encode(), headers={"content-type": "application/json"})

    def encoded_headers(self) -> list[tuple[bytes, bytes]]:
        usual = {"content-length": str(len(self.body)), "cache-control": "no-store", "referrer-policy": "same-origin"}
        return [(name.encode(), value.encode()) for name, value in {**usual, **self.headers}.items()]


async def read_form(receive: Callable[[], Awaitable[MutableMapping[str, Any]]]) -> dict[str, str]:
    """The fields of a form; the first of a name counts. One that is too large is read as an empty one."""
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
        if len(body) > MAX_FORM_BYTES:
            return {}
    return fields_of(body.decode("utf-8", "replace"))


def fields_of(text: str) -> dict[str, str]:
    return dict(reversed(parse_qsl(text, keep_blank_values=True)))
