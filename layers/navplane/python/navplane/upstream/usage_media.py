"""Where OpenAI's images and audio carry usage: in the body, or in the event that ends a stream.

Newer models count tokens; whisper counts seconds, and says so; text, subtitles and plain sound have no place for usage at all
(platform.openai.com/docs/api-reference/images, .../audio). What is not counted in tokens is kept as the provider said it.
"""

import json
import math
import re
from typing import ClassVar

from navplane.model.usage import Usage
from navplane.upstream.usage import Object, UsageReader, count, label, part, text_bytes_of

# A month: no recording is longer.
MAX_SECONDS = 31 * 86400
_NEWS = re.compile(
    rb'"type"\s*:\s*"(?:image_generation\.completed|image_edit\.completed|transcript\.text\.done|speech\.audio\.done|error)"'
)
_DELTA = re.compile(rb'"delta"\s*:\s*"((?:[^"\\]++|\\.)*+)"')


class MediaReader(UsageReader):
    """The last event of its kind has the usage."""

    def skim(self, events: bytes) -> bool:
        return _NEWS.search(events) is not None

    def read_event(self, payload: bytes) -> None:
        if not _NEWS.search(payload):
            return
        event = json.loads(payload)
        self.failed |= event.get("type") == "error"
        self.ended |= event.get("type") != "error"
        self.read_body(event)

    def read_body(self, body: Object) -> None:
        self.failed |= isinstance(body.get("error"), dict)
        self.response_model = label(body.get("model")) or self.response_model
        if isinstance(body.get("usage"), dict):
            self.raw, self.final = body["usage"], True

    def usage(self) -> Usage | None:
        return media_usage(self.raw) if self.raw is not None else None


class ImagesReader(MediaReader):
    """Bodies are megabytes of pictures with `usage` behind them: only the end is kept and read."""

    tail_only: ClassVar[bool] = True
    is_text: ClassVar[bool] = False

    def body(self, data: bytes) -> None:
        text = data.decode("utf-8", "replace")
        at = text.rfind('"usage"')
        opened = text.find("{", at) if at >= 0 else -1
        if opened >= 0:
            self.raw, self.final = json.JSONDecoder().raw_decode(text, opened)[0], True


class SpeechReader(MediaReader):
    """Sound, or events with sound in them."""

    is_text: ClassVar[bool] = False

    def body(self, data: bytes) -> None:
        pass


class TranscriptionReader(MediaReader):
    """JSON, or text and subtitles that have no place for usage."""

    def skim(self, events: bytes) -> bool:
        self.text_bytes += text_bytes_of(_DELTA, events)
        return super().skim(events)

    def body(self, data: bytes) -> None:
        if data.lstrip().startswith(b"{"):
            super().body(data)

    def read_body(self, body: Object) -> None:
        super().read_body(body)
        if self.raw is None and seconds_of(body.get("duration")):
            # Without a word on usage, `verbose_json` still says how long the sound was.
            self.raw, self.final = {"duration": body["duration"]}, True


def media_usage(raw: Object) -> Usage:
    """`input_tokens_details` at images, `input_token_details` at transcriptions. Seconds are no tokens."""
    details = part(raw, "input_tokens_details") or part(raw, "input_token_details")
    return Usage(
        input_tokens=count(raw.get("input_tokens")),
        output_tokens=count(raw.get("output_tokens")),
        cached_input_tokens=count(details.get("cached_tokens")),
        audio_input_tokens=count(details.get("audio_tokens")),
        audio_seconds=seconds_of(raw.get("duration")) or seconds_of(raw.get("seconds")),
    )


def seconds_of(value: object) -> int:
    """Whole seconds, each begun one counted; some providers write the number as a text. 0 where it makes no sense."""
    try:
        seconds = float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else 0.0
    except ValueError:
        return 0
    return math.ceil(seconds) if 0 < seconds < MAX_SECONDS else 0
