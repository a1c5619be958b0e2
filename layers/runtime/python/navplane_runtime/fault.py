"""What went wrong, in the shape that the Runtime API takes it."""

import json
import traceback
from dataclasses import dataclass
from typing import Self

MAX_MESSAGE_CHARACTERS = 500
# The error body also travels as a trailer, base64-encoded. The Runtime API's server is written in Go, whose HTTP server refuses
# trailers that don't fit its 4 KiB read buffer, so the JSON stays well below 3 KiB.
MAX_JSON_BYTES = 2_000


@dataclass(frozen=True, slots=True)
class Fault:
    """`type` is `Runtime.…` for the runtime's own reasons, an exception's class name otherwise; `stack` has the innermost frame
    last."""

    type: str
    message: str
    stack: tuple[str, ...] = ()

    @classmethod
    def from_exception(cls, exc: BaseException, *, type: str | None = None) -> Self:  # noqa: A002 - the field's name
        frames = traceback.format_tb(exc.__traceback__)
        return cls(type or exc.__class__.__name__, str(exc), tuple(frame.rstrip() for frame in frames))

    @property
    def header(self) -> str:
        """The type as a header value: a class may be named in any alphabet and length, a header only in ASCII."""
        return self.type.encode("ascii", "replace").decode()[:100]

    def to_json(self) -> bytes:
        """AWS's error object, at most MAX_JSON_BYTES long: the outermost frames go first, then the message's end."""
        message, stack = self.message[:MAX_MESSAGE_CHARACTERS], self.stack
        while len(wire := self._wire(message, stack)) > MAX_JSON_BYTES:
            message, stack = (message, stack[1:]) if stack else (message[:-50], stack)
        return wire

    def _wire(self, message: str, stack: tuple[str, ...]) -> bytes:
        document = {"errorMessage": message, "errorType": self.header, "stackTrace": list(stack)}
        return json.dumps(document, separators=(",", ":")).encode()
