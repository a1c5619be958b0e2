"""Anthropic's usage object: four disjoint input counts, and what `cache_control` in a request makes of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

from navplane_local.demo_upstream import tokens
from navplane_local.demo_upstream.script import Script

Object = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class AnthropicUsage:
    """`input_tokens` excludes the three cache counts; the four add up to what was read."""

    input_tokens: int
    cache_read: int = 0
    write_5m: int = 0
    write_1h: int = 0
    service_tier: str = "standard"
    web_searches: int = 0

    @classmethod
    def of(cls, body: Object, script: Script) -> Self:
        """Up to its last `cache_control` a prompt is written to the cache, with the ttl of the mark that ends each part; under
        `cached` it is read from there. Without marks `cached` reads a half, `cache-write` writes a quarter for 5 minutes and
        an eighth for an hour."""
        total = count_request(body)
        write_5m, write_1h = _marked(body)
        read = 0
        if write_5m + write_1h == 0:
            read = total // 2 if script.has("cached") else 0
            write_5m, write_1h = (total // 4, total // 8) if script.has("cache-write") else (0, 0)
        elif script.has("cached"):
            read, write_5m, write_1h = write_5m + write_1h, 0, 0
        return cls(
            input_tokens=total - read - write_5m - write_1h,
            cache_read=read,
            write_5m=write_5m,
            write_1h=write_1h,
            service_tier="priority" if script.has("priority") else "standard",
            web_searches=2 if script.has("search") else 0,
        )

    def render(self, *, output_tokens: int, thinking_tokens: int) -> Object:
        usage: Object = self.cumulative(output_tokens=output_tokens, thinking_tokens=thinking_tokens)
        created = {"ephemeral_5m_input_tokens": self.write_5m, "ephemeral_1h_input_tokens": self.write_1h}
        return usage | {"cache_creation": created, "service_tier": self.service_tier}

    def cumulative(self, *, output_tokens: int, thinking_tokens: int) -> Object:
        """What a `message_delta` repeats: no split of the cache writes, no tier."""
        usage: Object = {
            "input_tokens": self.input_tokens,
            "cache_creation_input_tokens": self.write_5m + self.write_1h,
            "cache_read_input_tokens": self.cache_read,
            "output_tokens": output_tokens,
        }
        if thinking_tokens:
            usage["output_tokens_details"] = {"thinking_tokens": thinking_tokens}
        if self.web_searches:
            usage["server_tool_use"] = {"web_search_requests": self.web_searches, "web_fetch_requests": 0}
        return usage


def count_request(body: Object) -> int:
    """All that the model reads, in the order of the prompt: tools, system, messages."""
    return sum(count for count, _ in _parts(body)) + tokens.PER_REPLY


def _marked(body: Object) -> tuple[int, int]:
    """Tokens up to a mark of 5 minutes, and up to a mark of 1 hour, each counted from the mark before."""
    written = {"5m": 0, "1h": 0}
    pending = 0
    for count, mark in _parts(body):
        pending += count
        if mark is not None:
            written["1h" if mark.get("ttl") == "1h" else "5m"] += pending
            pending = 0
    return written["5m"], written["1h"]


def _parts(body: Object) -> Iterator[tuple[int, Object | None]]:
    for tool in body.get("tools") or []:
        yield tokens.count_json(tool), tool.get("cache_control")
    yield from _content(body.get("system"))
    messages = body.get("messages") or []
    for message in messages:
        yield tokens.PER_MESSAGE, None
        yield from _content(message.get("content"))
    yield 0, body.get("cache_control")


def _content(content: object) -> Iterator[tuple[int, Object | None]]:
    if not isinstance(content, list):
        yield tokens.count(content if isinstance(content, str) else ""), None
        return
    for part in content:
        yield tokens.count_part(part), part.get("cache_control") if isinstance(part, dict) else None
