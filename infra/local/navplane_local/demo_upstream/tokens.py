"""Deterministic token counting: a token is up to six characters with the white space in front of them."""

import json
import re
from collections.abc import Iterable
from typing import Any

_TOKEN = re.compile(r"\s*\S{1,6}|\s+")
PER_MESSAGE = 4
PER_REPLY = 2
PER_OTHER_PART = 85
PER_AUDIO_PART = 50


def split(text: str) -> tuple[str, ...]:
    """The tokens of `text`; joined they are `text` again."""
    return tuple(_TOKEN.findall(text))


def count(text: str) -> int:
    return len(split(text))


def count_json(value: object) -> int:
    return count(json.dumps(value, sort_keys=True, ensure_ascii=False))


def text_of(content: object) -> str:
    """The text in a message's content: a string, or a list of parts."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "".join(part["text"] for part in parts if isinstance(part, dict) and isinstance(part.get("text"), str))


def count_content(content: object) -> int:
    if not isinstance(content, list):
        return count(text_of(content))
    return sum(count_part(part) for part in content)


def count_part(part: object) -> int:
    if isinstance(part, dict) and isinstance(part.get("text"), str):
        return count(part["text"])
    return PER_AUDIO_PART if _is_audio(part) else PER_OTHER_PART


def count_audio(messages: Iterable[dict[str, Any]]) -> int:
    parts = [part for message in messages for part in _parts(message)]
    return PER_AUDIO_PART * sum(_is_audio(part) for part in parts)


def count_messages(messages: Iterable[dict[str, Any]], tools: object = None) -> int:
    """What a conversation costs to read. Each part counts by itself, so splitting a text into parts may count one more."""
    spoken = sum(PER_MESSAGE + count_content(message.get("content")) for message in messages)
    return spoken + (count_json(tools) if tools else 0) + PER_REPLY


def _parts(message: dict[str, Any]) -> list[Any]:
    content = message.get("content")
    return content if isinstance(content, list) else []


def _is_audio(part: object) -> bool:
    return isinstance(part, dict) and part.get("type") == "input_audio"
