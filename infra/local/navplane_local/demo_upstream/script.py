"""What a model name asks the demo upstream to do: `demo-` and words, such as `demo-cached-long-50` or `demo-429`.

The header `x-demo-script` takes the same words for any model name.
"""

import re
from dataclasses import dataclass
from typing import Self

from navplane_local.demo_upstream.exchange import Request

# Longer words stand before the words that they begin with.
_WORD = re.compile(
    r"(?<![a-z0-9])(?:"
    r"(?P<slow>slow)(?:-(?P<slow_for>\d+)(?P<slow_unit>ms|s))?"
    r"|(?P<long>long)(?:-(?P<chunks>\d+))?"
    r"|(?P<status>4\d\d|5\d\d)"
    r"|(?P<word>no-usage|usage-in-choices|no-final-blank|error-event|echo-key|bare-json|cache-write|one-byte|id-lines"
    r"|no-such|redirect|reasoning|comments|priority|search|cached|gated|stall|crlf|cut)"
    r")(?![a-z0-9])"
)
MAX_CHUNKS = 100_000
MAX_DELAY_SECONDS = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """`words` are the plain ones; `status` is an error to answer; delays are in seconds; `chunks` is the length of the reply in
    tokens, where the script sets it."""

    words: frozenset[str] = frozenset()
    status: int | None = None
    delay_seconds: float = 0.0
    chunks: int | None = None
    chunk_delay_seconds: float = 0.0

    @classmethod
    def of(cls, request: Request, model: str) -> Self:
        asked = request.header("x-demo-script") or (model if model.startswith("demo-") else "")
        found = list(_WORD.finditer(asked)) + list(re.finditer(r"(?P<word>no-such)", model))
        long = next((match for match in found if match.groupdict().get("long")), None)
        return cls(
            words=frozenset(match["word"] for match in found if match["word"]),
            status=next((int(match["status"]) for match in found if match.groupdict().get("status")), None),
            delay_seconds=_delay(request, found),
            chunks=min(int(long["chunks"] or 50), MAX_CHUNKS) if long else None,
            chunk_delay_seconds=_milliseconds(request, "x-demo-chunk-delay-ms", 20.0 if long else 0.0),
        )

    def has(self, word: str) -> bool:
        return word in self.words


def _delay(request: Request, found: list[re.Match[str]]) -> float:
    slow = next((match for match in found if match.groupdict().get("slow")), None)
    if slow is None:
        return _milliseconds(request, "x-demo-delay-ms", 0.0)
    if slow["slow_for"] is None:
        return _milliseconds(request, "x-demo-delay-ms", 1000.0)
    return min(int(slow["slow_for"]) / (1000 if slow["slow_unit"] == "ms" else 1), MAX_DELAY_SECONDS)


def _milliseconds(request: Request, header: str, default: float) -> float:
    text = request.header(header) or ""
    return min(float(text) if text.isdecimal() else default, MAX_DELAY_SECONDS * 1000) / 1000
