"""What a provider streams, as bytes: an answer of each surface with everything that framing allows."""

from dataclasses import dataclass
from typing import Any


def event(data: str, *, name: str | None = None, end: str = "\n") -> bytes:
    line = f"event: {name}{end}" if name else ""
    return f"{line}data: {data}{end}{end}".encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcript:
    """`asked` is what a request holds besides its model; `usage` is what the row must say, None where only an estimate can."""

    path: str
    model: str
    asked: dict[str, Any]
    events: tuple[bytes, ...]
    usage: tuple[int, int] | None

    @property
    def whole(self) -> bytes:
        return b"".join(self.events)

    def pieces(self, size: int) -> list[bytes]:
        """Chunks that respect nothing: neither events, nor lines, nor characters."""
        return [self.whole[start : start + size] for start in range(0, len(self.whole), size)]


CHAT_USAGE = event('{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":4,"total_tokens":13}}')
CHAT = Transcript(
    path="/v1/chat/completions",
    model="gpt-5",
    asked={"messages": [{"role": "user", "content": "Grüße, 你好"}]},
    events=(
        b": comment\n\n",
        # A filter's result comes without choices and without usage: it is not the usage event.
        event('{"choices":[],"prompt_filter_results":[]}'),
        event('{"choices":[{"index":0,"delta":{"content":"Grüße, "}}]}'),
        event('{"choices":[{"index":0,"delta":{"content":"你好 🌍"}}]}', end="\r\n"),
        event('{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}'),
        CHAT_USAGE,
        b"data: [DONE]\n\n",
    ),
    usage=(9, 4),
)
CHAT_WITHOUT_USAGE = Transcript(
    path=CHAT.path,
    model=CHAT.model,
    asked=CHAT.asked,
    events=tuple(event for event in CHAT.events if event != CHAT_USAGE),
    usage=None,
)
RESPONSES = Transcript(
    path="/v1/responses",
    model="gpt-5",
    asked={"input": "Grüße, 你好"},
    events=(
        event('{"type":"response.created","response":{"status":"in_progress","usage":null}}', name="response.created"),
        event('{"type":"response.output_text.delta","delta":"你好 🌍"}', name="response.output_text.delta", end="\r\n"),
        event(
            '{"type":"response.completed","response":{"status":"completed","model":"gpt-5",'
            '"usage":{"input_tokens":7,"output_tokens":5,"total_tokens":12}}}',
            name="response.completed",
        ),
    ),
    usage=(7, 5),
)
MESSAGES = Transcript(
    path="/v1/messages",
    model="claude-opus-5",
    asked={"messages": [{"role": "user", "content": "Grüße, 你好"}], "max_tokens": 100},
    events=(
        event(
            '{"type":"message_start","message":{"usage":{"input_tokens":6,"output_tokens":1}}}',
            name="message_start",
        ),
        event('{"type":"ping"}', name="ping"),
        b"id: 3\n"
        + event(
            '{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"你好 🌍"}}',
            name="content_block_delta",
        ),
        event('{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":8}}', name="message_delta"),
        # The last event lacks its blank line.
        b'event: message_stop\ndata: {"type":"message_stop"}\n',
    ),
    usage=(6, 8),
)
