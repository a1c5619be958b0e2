"""Requests and streams as odd as the standards allow, from a seed: what must reach the other side unchanged."""

import json
import random
from dataclasses import dataclass
from typing import Any

SURFACES = {"/v1/chat/completions": "gpt-5", "/v1/responses": "gpt-5", "/v1/messages": "claude-opus-5"}
_TEXTS = [
    "Grüße",
    "你好 🌍",
    "a" * 3000,
    '"\\/\b\f',
    "\u2028 and \u0085",
    "data: not a field",
    "[DONE]",
    "",
    "e\u0301",
    "👩‍👩‍👧",
]
_NAMES = [
    "message_start",
    "content_block_delta",
    "message_delta",
    "response.output_text.delta",
    "response.completed",
    "ping",
    "new",
]
_ENDS = ["\n", "\r\n", "\r"]
_ODD_BYTES = [
    b"\xff\xfe: \x80\n\n",
    b"data\n\n",
    b":\n\n",
    b"retry: 3000\n\n",
    b"\n",
    b"data: {nonsense\n\n",
    b"id: \x00 7\n\n",
]
_ERRORS = {
    "/v1/chat/completions": b'data: {"error":{"message":"overloaded"}}\n\n',
    "/v1/responses": b'event: error\ndata: {"type":"error","message":"overloaded"}\n\n',
    "/v1/messages": b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error"}}\n\n',
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One call: what the client sends, and what the provider streams, in the pieces in which it sends it."""

    path: str
    body: bytes
    headers: tuple[tuple[str, str], ...]
    chunks: tuple[bytes, ...]

    @property
    def answer(self) -> bytes:
        return b"".join(self.chunks)


def exchange(seed: int) -> Exchange:
    chance = random.Random(seed)
    path = chance.choice(list(SURFACES))
    beta = f"new-{chance.randrange(10**6)}"
    return Exchange(
        path=path,
        body=_body(chance, path),
        headers=(("anthropic-beta", beta), ("openai-beta", beta), ("x-stainless-lang", "python"), ("idempotency-key", beta)),
        chunks=_cut(chance, _events(chance, path)),
    )


def _body(chance: random.Random, path: str) -> bytes:
    """Members that nobody knows, numbers as they are written, and space wherever it may be."""
    cached = {"type": "ephemeral", "ttl": chance.choice(["5m", "1h"])}
    content = [{"type": "text", "text": chance.choice(_TEXTS), "cache_control": cached}]
    members: list[tuple[str, str]] = [
        ("messages", _written(chance, [{"role": "user", "content": content}])),
        ("model", json.dumps(SURFACES[path])),
        ("stream", "true"),
        (f"x_{chance.choice(_TEXTS[:2])}", _written(chance, {"nested": [1, None, chance.choice(_TEXTS)]})),
        ("temperature", chance.choice(["1.0", "1.50", "1E0", "-0", "0.30000000000000004", "12345678901234567890"])),
    ]
    chance.shuffle(members)
    space = chance.choice(["", " ", "\n  ", "\t", " \r\n "])
    inner = f",{space}".join(f"{_written(chance, name)}{space}:{space}{value}" for name, value in members)
    return f"{space}{{{space}{inner}{space}}}{space}".encode()


def _written(chance: random.Random, value: Any) -> str:
    return json.dumps(value, ensure_ascii=chance.random() < 0.5)


def _events(chance: random.Random, path: str) -> bytes:
    events = [_event(chance) for _ in range(chance.randrange(1, 12))]
    if chance.random() < 0.2:
        events.insert(chance.randrange(len(events) + 1), _ERRORS[path])
    whole = b"".join(events)
    # A last event may lack its blank line, or even the end of its last line.
    return whole.rstrip(b"\r\n") + chance.choice([b"", b"\n", b"\n\n", b"\r\n\r\n"]) if chance.random() < 0.5 else whole


def _event(chance: random.Random) -> bytes:
    if chance.random() < 0.2:
        return chance.choice(_ODD_BYTES)
    end, lines = chance.choice(_ENDS), []
    if chance.random() < 0.5:
        lines.append(f"event: {chance.choice(_NAMES)}")
    if chance.random() < 0.2:
        lines.append(f"id: {chance.randrange(100)}")
    if chance.random() < 0.2:
        lines.append(f":{chance.choice(['', ' OPENROUTER PROCESSING'])}")
    usage = {"prompt_tokens": chance.randrange(9), "completion_tokens": 1, "input_tokens": 3, "output_tokens": 4}
    data: dict[str, Any] = {
        "type": chance.choice(_NAMES),
        "delta": chance.choice(_TEXTS),
        "choices": [],
        "usage": chance.choice([None, usage]),
    }
    lines.append(chance.choice(["data: ", "data:", "data:  "]) + _written(chance, data))
    return (end.join(lines) + end + end).encode()


def _cut(chance: random.Random, whole: bytes) -> tuple[bytes, ...]:
    """Anywhere: between the CR and the LF, within a code point, byte by byte."""
    if len(whole) < 400 and chance.random() < 0.3:
        return tuple(whole[at : at + 1] for at in range(len(whole)))
    places = sorted(chance.sample(range(1, len(whole)), min(len(whole) - 1, chance.randrange(8)))) if len(whole) > 1 else []
    return tuple(whole[start:end] for start, end in zip([0, *places], [*places, len(whole)], strict=True) if end > start)
