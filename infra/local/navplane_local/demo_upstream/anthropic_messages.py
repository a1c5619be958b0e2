"""POST /v1/messages, streamed and not, and POST /v1/messages/count_tokens."""

from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from navplane_local.demo_upstream import tokens
from navplane_local.demo_upstream.anthropic_usage import AnthropicUsage, count_request
from navplane_local.demo_upstream.completion import Completion, Served
from navplane_local.demo_upstream.exchange import Answer, Dialect, ProviderError
from navplane_local.demo_upstream.native_headers import native_headers
from navplane_local.demo_upstream.refusal import error_body, of_status
from navplane_local.demo_upstream.reply import compose
from navplane_local.demo_upstream.stream import typed_event

Object = dict[str, Any]


def messages(served: Served) -> Answer:
    message = GeneratedMessage.of(served)
    if not served.body.get("stream"):
        return served.whole(message.object(), headers=native_headers(Dialect.ANTHROPIC))
    error = typed_event(error_body(Dialect.ANTHROPIC, of_status(529)))
    return served.streamed(message.events(), error=error, headers=native_headers(Dialect.ANTHROPIC))


def count_tokens(served: Served) -> Answer:
    served.list_of("messages")
    return served.whole({"input_tokens": count_request(served.body)}, headers=native_headers(Dialect.ANTHROPIC))


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratedMessage(Completion):
    usage: AnthropicUsage

    @classmethod
    def of(cls, served: Served) -> "GeneratedMessage":
        turns = served.list_of("messages")
        limit = served.body.get("max_tokens")
        if not isinstance(limit, int) or limit < 1:
            raise ProviderError(400, "max_tokens: Field required")
        effort = "medium" if (served.body.get("thinking") or {}).get("type") in ("enabled", "adaptive") else None
        reply = compose(tokens.text_of(turns[-1].get("content")), served.script, limit=limit, effort=effort)
        usage = AnthropicUsage.of(served.body, served.script)
        return cls(served=served, reply=reply, id=f"msg_01demo{uuid4().hex[:18]}", usage=usage)

    def object(self) -> Object:
        final = {"content": self._content(), "stop_reason": self.stop_reason, "stop_sequence": None}
        return self._envelope() | final | self._usage(self.reply.output_tokens, whole=True)

    def events(self) -> list[bytes]:
        start = self._envelope() | {"content": [], "stop_reason": None, "stop_sequence": None}
        # The first count of output tokens is a placeholder; the last message_delta holds the total.
        opened = {"type": "message_start", "message": start | self._usage(1, whole=True)}
        delta = {"stop_reason": self.stop_reason, "stop_sequence": None}
        closed = {"type": "message_delta", "delta": delta} | self._usage(self.reply.output_tokens, whole=False)
        blocks = [event for index, block in enumerate(self._blocks()) for event in _block_events(index, *block)]
        bodies = [opened, blocks[0], {"type": "ping"}, *blocks[1:], closed, {"type": "message_stop"}]
        return [typed_event(body) for body in bodies]

    def _blocks(self) -> list[tuple[Object, list[Object]]]:
        """Each content block as it starts, and its deltas."""
        thinking: list[Object] = [{"type": "thinking_delta", "thinking": piece} for piece in self.reply.reasoning]
        signed: list[Object] = [{"type": "signature_delta", "signature": _SIGNATURE}]
        text: list[Object] = [{"type": "text_delta", "text": piece} for piece in self.reply.pieces]
        thought = ({"type": "thinking", "thinking": "", "signature": ""}, thinking + signed)
        return [*([thought] if thinking else []), ({"type": "text", "text": ""}, text)]

    def _content(self) -> list[Object]:
        thought = {"type": "thinking", "thinking": self.reply.reasoning_text, "signature": _SIGNATURE}
        return [*([thought] if self.reply.reasoning else []), {"type": "text", "text": self.reply.text}]

    def _envelope(self) -> Object:
        return {"id": self.id, "type": "message", "role": "assistant", "model": self.served.model}

    def _usage(self, output_tokens: int, *, whole: bool) -> Object:
        if self.served.script.has("no-usage"):
            return {}
        render = self.usage.render if whole else self.usage.cumulative
        thinking = min(output_tokens, len(self.reply.reasoning))
        return {"usage": render(output_tokens=output_tokens, thinking_tokens=thinking)}

    @property
    def stop_reason(self) -> str:
        return "max_tokens" if self.reply.truncated else "end_turn"


_SIGNATURE = "ZGVtbw=="


def _block_events(index: int, block: Object, deltas: list[Object]) -> list[Object]:
    return [
        {"type": "content_block_start", "index": index, "content_block": block},
        *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": index},
    ]
