"""Where OpenAI's answers carry usage: chat completions, responses, embeddings.

`prompt_tokens` and `input_tokens` include cached and cache-writing tokens, `completion_tokens` and `output_tokens` include
reasoning (platform.openai.com/docs/api-reference): so the counts are taken as they are. Those who speak OpenAI's dialect
differ in small things, and each is read where it stands: Groq's streams have usage under `x_groq`, DeepSeek counts cache
hits beside the details, xAI and Google count reasoning in the total only.
"""

import json
import re
from typing import ClassVar

from navplane.model.usage import Usage
from navplane.upstream.sse import data_of
from navplane.upstream.usage import Object, UsageReader, count, label, part, text_bytes_of

DONE = b"[DONE]"
_USAGE_OBJECT = re.compile(rb'"usage"\s*:(?:\s|data:)*\{')
_CHAT_NEWS = re.compile(rb'"(?:usage|error)"\s*:(?:\s|data:)*\{|"finish_reason"\s*:\s*"|\[DONE\]')
_CHAT_TEXT = re.compile(rb'"(?:content|refusal|reasoning_content|arguments)"\s*:\s*"((?:[^"\\]++|\\.)*+)"')
_RESPONSES_NEWS = re.compile(rb'"type"\s*:\s*"(?:response\.(?:completed|incomplete|failed)|error)"')
_DELTA = re.compile(rb'"delta"\s*:\s*"((?:[^"\\]++|\\.)*+)"')


class ChatReader(UsageReader):
    """The last event with a usage object counts, whatever its `choices` hold."""

    def __init__(self) -> None:
        super().__init__()
        self._begun = False

    def skim(self, events: bytes) -> bool:
        self.text_bytes += text_bytes_of(_CHAT_TEXT, events)
        return not self._begun or _CHAT_NEWS.search(events) is not None

    def event(self, piece: bytes) -> None:
        payload = payload_of(piece)
        if payload:
            self.read_event(payload)

    def read_event(self, payload: bytes) -> None:
        if payload == DONE:
            self.ended = True
            return
        if not self._begun or _CHAT_NEWS.search(payload):
            self._begun = True
            self.read_body(json.loads(payload))

    def body(self, data: bytes) -> None:
        super().body(data)
        self.final = self.raw is not None

    def read_body(self, body: Object) -> None:
        self.failed |= isinstance(body.get("error"), dict)
        self.response_model = label(body.get("model")) or self.response_model
        self.service_tier = label(body.get("service_tier")) or self.service_tier
        for choice in body.get("choices") or ():
            self.finish_reason = label(choice.get("finish_reason")) or self.finish_reason
        usage = body.get("usage") or part(body, "x_groq").get("usage")
        if isinstance(usage, dict):
            # Some count along with every event: what comes before the end of the text is an interim count.
            self.raw, self.final = usage, self.finish_reason is not None or not body.get("choices")

    def usage(self) -> Usage | None:
        return chat_usage(self.raw) if self.raw is not None else None


class ResponsesReader(UsageReader):
    """Streamed, usage comes with the terminal event; an answer that is still queued has none yet."""

    def __init__(self) -> None:
        super().__init__()
        self._web_searches = 0

    def skim(self, events: bytes) -> bool:
        self.text_bytes += text_bytes_of(_DELTA, events)
        return _RESPONSES_NEWS.search(events) is not None

    def read_event(self, payload: bytes) -> None:
        if not _RESPONSES_NEWS.search(payload):
            return
        event = json.loads(payload)
        kind = event.get("type")
        if kind in ("response.completed", "response.incomplete", "response.failed"):
            self.ended = True
            self.read_body(part(event, "response"))
        self.failed |= kind in ("response.failed", "error")

    def read_body(self, body: Object) -> None:
        self.failed |= isinstance(body.get("error"), dict)
        self.response_model = label(body.get("model"))
        self.service_tier = label(body.get("service_tier"))
        self.finish_reason = label(part(body, "incomplete_details").get("reason")) or label(body.get("status"))
        output = body.get("output") or []
        self._web_searches = sum(1 for item in output if isinstance(item, dict) and item.get("type") == "web_search_call")
        if isinstance(body.get("usage"), dict):
            self.raw, self.final = body["usage"], True

    def usage(self) -> Usage | None:
        return responses_usage(self.raw, web_searches=self._web_searches) if self.raw is not None else None


class EmbeddingsReader(UsageReader):
    """Bodies are megabytes of numbers with `model` and `usage` behind them: only the end is kept and read."""

    tail_only: ClassVar[bool] = True

    def event(self, piece: bytes) -> None:
        pass

    def body(self, data: bytes) -> None:
        text = data.decode("utf-8", "replace")
        at = text.rfind('"usage"')
        opened = text.find("{", at) if at >= 0 else -1
        if opened >= 0:
            self.raw, self.final = json.JSONDecoder().raw_decode(text, opened)[0], True
        models = re.findall(r'"model"\s*:\s*"([^"\\]*)"', text)
        self.response_model = label(models[-1]) if models else None

    def usage(self) -> Usage | None:
        return chat_usage(self.raw) if self.raw is not None else None


def chat_usage(raw: Object) -> Usage:
    prompt, completion = part(raw, "prompt_tokens_details"), part(raw, "completion_tokens_details")
    read = count(raw.get("prompt_tokens"))
    return Usage(
        input_tokens=read,
        output_tokens=max(count(raw.get("completion_tokens")), count(raw.get("total_tokens")) - read),
        cached_input_tokens=count(prompt.get("cached_tokens")) or count(raw.get("prompt_cache_hit_tokens")),
        cache_write_5m_tokens=count(prompt.get("cache_write_tokens")),
        reasoning_tokens=count(completion.get("reasoning_tokens")),
        audio_input_tokens=count(prompt.get("audio_tokens")),
        audio_output_tokens=count(completion.get("audio_tokens")),
    )


def responses_usage(raw: Object, *, web_searches: int) -> Usage:
    read, written = part(raw, "input_tokens_details"), part(raw, "output_tokens_details")
    return Usage(
        input_tokens=count(raw.get("input_tokens")),
        output_tokens=count(raw.get("output_tokens")),
        cached_input_tokens=count(read.get("cached_tokens")),
        cache_write_5m_tokens=count(read.get("cache_write_tokens")),
        reasoning_tokens=count(written.get("reasoning_tokens")),
        web_searches=web_searches,
    )


def payload_of(piece: bytes) -> bytes:
    """An event's data; or the piece itself where a provider forgot the field name and sent a bare line of JSON."""
    return data_of(piece) or (piece.strip() if piece.lstrip().startswith(b"{") else b"")


def may_be_usage_alone(events: bytes) -> bool:
    """Whether `is_usage_alone` could be true of any of these events: nearly always False, and cheap."""
    return _USAGE_OBJECT.search(events) is not None


def is_usage_alone(piece: bytes) -> bool:
    """Whether this event exists only because `include_usage` was asked for: a usage object and an empty `choices`.

    An event whose `choices` hold something is content, and one with empty `choices` and no usage is Azure's prompt filter:
    both are the client's.
    """
    if not may_be_usage_alone(piece):
        return False
    try:
        event = json.loads(payload_of(piece))
    except (ValueError, RecursionError):
        return False
    return isinstance(event, dict) and event.get("choices") == [] and isinstance(event.get("usage"), dict)
