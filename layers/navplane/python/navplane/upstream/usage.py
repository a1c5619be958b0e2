"""Reading usage out of a copy of a provider's answer: what all readers share (readers.py says who reads what).

A reader is fed either the events of a stream (`skim`, and `event` where that says so) or one whole body (`body`), and then
asked for its `reading`. It may raise on nonsense: the meter that feeds it lives with that.
"""

import json
import re
from decimal import Decimal
from typing import Any, ClassVar

from navplane.model.reading import Reading
from navplane.model.usage import Usage
from navplane.upstream.sse import data_of

Object = dict[str, Any]
MAX_LABEL = 128
MAX_RAW_USAGE_BYTES = 8 * 1024
# No provider counts this high; a number that does is no count, and would not fit where counts are stored.
MAX_COUNT = 1 << 48
MAX_USD = 1_000_000
NANO = Decimal("1e-9")


class UsageReader:
    """What was read so far; the children know where each thing lives."""

    # `tail_only`: the usage stands at the end of a body that is large, and the end is all that is kept of it.
    tail_only: ClassVar[bool] = False
    # `incremental`: fed with each chunk of a body of any size (`chunk`), and with `body` at its end, empty.
    incremental: ClassVar[bool] = False
    # What came of a batch, by its id, and whether usage can be read off it.
    files: tuple[tuple[str, bool], ...] = ()
    # Otherwise the size of an answer says nothing about its tokens.
    is_text: ClassVar[bool] = True

    def __init__(self) -> None:
        self.raw: Object | None = None
        self.final = False
        self.response_model: str | None = None
        self.service_tier: str | None = None
        self.finish_reason: str | None = None
        self.text_bytes = 0
        self.ended = False
        self.failed = False
        self.object_id: str | None = None

    def skim(self, events: bytes) -> bool:
        """A first look at all the events of one read together, which is where most of a stream ends: whether any of them has
        to be read by itself. Text is counted here."""
        return bool(events)

    def event(self, piece: bytes) -> None:
        payload = data_of(piece)
        if payload:
            self.read_event(payload)

    def body(self, data: bytes) -> None:
        body = json.loads(data)
        if isinstance(body, dict):
            self.read_body(body)

    def chunk(self, data: bytes) -> None:
        raise NotImplementedError

    def read_event(self, payload: bytes) -> None:
        raise NotImplementedError

    def read_body(self, body: Object) -> None:
        raise NotImplementedError

    def usage(self) -> Usage | None:
        raise NotImplementedError

    def reading(self) -> Reading:
        return Reading(
            usage=self.usage(),
            final=self.final,
            raw=_keepable(self.raw),
            response_model=self.response_model,
            service_tier=self.service_tier,
            finish_reason=self.finish_reason,
            text_bytes=self.text_bytes,
            ended=self.ended,
            failed=self.failed,
            cost_usd=amount((self.raw or {}).get("cost")),
        )


class UnbilledReader(UsageReader):
    """Endpoints that cost nothing: the counts are exact zeros, and what the provider said is kept beside them."""

    def event(self, piece: bytes) -> None:
        pass

    def body(self, data: bytes) -> None:
        self.final = True
        if len(data) <= MAX_RAW_USAGE_BYTES:
            super().body(data)

    def read_body(self, body: Object) -> None:
        if "input_tokens" in body:
            self.raw = {"input_tokens": body["input_tokens"]}

    def usage(self) -> Usage:
        return Usage()


def count(value: object) -> int:
    """A token count, or 0 where there is none that makes sense."""
    return value if type(value) is int and 0 <= value < MAX_COUNT else 0


def amount(value: object) -> Decimal | None:
    """An amount of money in nano-USD steps, or None where there is none that makes sense."""
    if type(value) not in (int, float) or not 0 <= (number := Decimal(str(value))) < MAX_USD:
        return None
    return number.quantize(NANO)


def label(value: object) -> str | None:
    """A short printable text from the provider, fit for a column; None for anything else."""
    return value if isinstance(value, str) and 0 < len(value) <= MAX_LABEL and value.isprintable() else None


def part(value: object, name: str) -> Object:
    """The object under `name`, or an empty one."""
    found = value.get(name) if isinstance(value, dict) else None
    return found if isinstance(found, dict) else {}


def text_bytes_of(pattern: re.Pattern[bytes], payload: bytes) -> int:
    return sum(len(text) for text in pattern.findall(payload))


def _keepable(raw: Object | None) -> Object | None:
    """`raw` if it can be stored as JSON beside the counts: not huge, no NaN, no NUL, no half of a surrogate pair."""
    if raw is None:
        return None
    try:
        stored = json.dumps(raw, allow_nan=False, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return None
    return raw if len(stored) <= MAX_RAW_USAGE_BYTES and b"\\u0000" not in stored else None
