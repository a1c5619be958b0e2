"""Where Anthropic's messages carry usage.

Its three input counts are disjoint (docs.claude.com, prompt caching): they are added up. In a stream `message_start` opens
the counts and each `message_delta` repeats those that changed, cumulatively: the last one wins and nothing is ever added.
"""

import json
import re

from navplane.model.usage import Usage
from navplane.upstream.usage import Object, UsageReader, count, label, part, text_bytes_of

_NEWS = re.compile(rb'"type"\s*:\s*"(?:message_start|message_delta|message_stop|error)"')
_TEXT = re.compile(rb'"(?:text|thinking|partial_json)"\s*:\s*"((?:[^"\\]++|\\.)*+)"')


class MessagesReader(UsageReader):
    def skim(self, events: bytes) -> bool:
        self.text_bytes += text_bytes_of(_TEXT, events)
        return _NEWS.search(events) is not None

    def read_event(self, payload: bytes) -> None:
        if not _NEWS.search(payload):
            return
        event = json.loads(payload)
        kind = event.get("type")
        if kind == "message_start":
            self._open(part(event, "message"))
        elif kind == "message_delta":
            self.finish_reason = label(part(event, "delta").get("stop_reason")) or self.finish_reason
            self._merge(part(event, "usage"))
            self.final |= "usage" in event
        self.ended |= kind == "message_stop"
        self.failed |= kind == "error"

    def read_body(self, body: Object) -> None:
        self.failed = body.get("type") == "error"
        self.finish_reason = label(body.get("stop_reason"))
        self._open(body)
        self.final = self.raw is not None

    def _open(self, message: Object) -> None:
        self.response_model = label(message.get("model"))
        self._merge(part(message, "usage"))

    def _merge(self, usage: Object) -> None:
        said = {name: value for name, value in usage.items() if value is not None}
        if said:
            self.raw = {**(self.raw or {}), **said}
            self.service_tier = label(self.raw.get("service_tier"))

    def usage(self) -> Usage | None:
        return messages_usage(self.raw) if self.raw is not None else None


def messages_usage(raw: Object) -> Usage:
    read, written = count(raw.get("cache_read_input_tokens")), count(raw.get("cache_creation_input_tokens"))
    # The split stands in message_start only, and the total may have moved since: what is not for an hour is for 5 minutes.
    one_hour = min(written, count(part(raw, "cache_creation").get("ephemeral_1h_input_tokens")))
    return Usage(
        input_tokens=count(raw.get("input_tokens")) + read + written,
        output_tokens=count(raw.get("output_tokens")),
        cached_input_tokens=read,
        cache_write_5m_tokens=written - one_hour,
        cache_write_1h_tokens=one_hour,
        reasoning_tokens=count(part(raw, "output_tokens_details").get("thinking_tokens")),
        web_searches=count(part(raw, "server_tool_use").get("web_search_requests")),
    )
