"""POST /v1/chat/completions, streamed and not."""

from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from navplane_local.demo_upstream import tokens
from navplane_local.demo_upstream.completion import Completion, Served
from navplane_local.demo_upstream.exchange import Answer, Dialect, ProviderError
from navplane_local.demo_upstream.native_headers import native_headers
from navplane_local.demo_upstream.openai_usage import OpenAIUsage, served_tier
from navplane_local.demo_upstream.refusal import error_body, of_status
from navplane_local.demo_upstream.reply import compose
from navplane_local.demo_upstream.stream import event


def chat_completions(served: Served) -> Answer:
    completion = ChatCompletion.of(served)
    if not served.body.get("stream"):
        return served.whole(completion.object(), headers=native_headers(Dialect.OPENAI))
    error = event(error_body(Dialect.OPENAI, of_status(500)))
    return served.streamed(completion.events(), error=error, headers=native_headers(Dialect.OPENAI))


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatCompletion(Completion):
    include_usage: bool
    choices: int
    usage: OpenAIUsage

    @classmethod
    def of(cls, served: Served) -> "ChatCompletion":
        messages = served.list_of("messages")
        body = served.body
        limit = body.get("max_completion_tokens") or body.get("max_tokens")
        effort = body.get("reasoning_effort")
        reply = compose(_prompt(messages), served.script, limit=limit, effort=effort)
        choices = _choices(body)
        return cls(
            served=served,
            reply=reply,
            id=f"chatcmpl-demo{uuid4().hex}",
            include_usage=bool((body.get("stream_options") or {}).get("include_usage")),
            choices=choices,
            usage=OpenAIUsage.of(
                served.script,
                input_tokens=tokens.count_messages(messages, body.get("tools")),
                audio_tokens=tokens.count_audio(messages),
                output_tokens=reply.output_tokens * choices,
                reasoning_tokens=len(reply.reasoning) * choices,
            ),
        )

    def object(self) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": self.reply.text, "refusal": None, "annotations": []}
        choice = {"message": message, "logprobs": None, "finish_reason": self.finish_reason}
        body = self._envelope("chat.completion", [{"index": index, **choice} for index in range(self.choices)])
        return body if self.served.script.has("no-usage") else body | {"usage": self.usage.chat()}

    def events(self) -> list[bytes]:
        deltas: list[dict[str, Any]] = [{"role": "assistant", "content": "", "refusal": None}]
        deltas += [{"content": piece} for piece in self.reply.pieces]
        chunks = [self._chunk(index, delta, None) for delta in deltas for index in range(self.choices)]
        chunks += [self._chunk(index, {}, self.finish_reason) for index in range(self.choices)]
        return [*self._with_usage(chunks), event(b"[DONE]")]

    def _with_usage(self, chunks: list[dict[str, Any]]) -> list[bytes]:
        """OpenAI sends `usage: null` in every chunk but an additional last one, and that only to who asked."""
        script = self.served.script
        if script.has("usage-in-choices"):
            chunks[-1]["usage"] = self.usage.chat()
            return [event(chunk) for chunk in chunks]
        if not self.include_usage or script.has("no-usage"):
            return [event(chunk) for chunk in chunks]
        last = self._envelope("chat.completion.chunk", []) | {"usage": self.usage.chat()}
        framed = event(last).removeprefix(b"data: ") if script.has("bare-json") else event(last)
        return [*(event(chunk | {"usage": None}) for chunk in chunks), framed]

    def _chunk(self, index: int, delta: dict[str, Any], finish_reason: str | None) -> dict[str, Any]:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return self._envelope("chat.completion.chunk", [choice])

    def _envelope(self, kind: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": kind,
            "created": self.served.now,
            "model": self.served.model,
            "choices": choices,
            "service_tier": served_tier(self.served),
            "system_fingerprint": "fp_demo",
        }

    @property
    def finish_reason(self) -> str:
        return "length" if self.reply.truncated else "stop"


def _prompt(messages: list[dict[str, Any]]) -> str:
    spoken = [tokens.text_of(message.get("content")) for message in messages if message.get("role") == "user"]
    return spoken[-1] if spoken else ""


def _choices(body: dict[str, Any]) -> int:
    n = body.get("n") or 1
    if not isinstance(n, int) or not 1 <= n <= 128:
        raise ProviderError(400, "Invalid 'n': expected an integer from 1 to 128.", param="n", code="invalid_value")
    return n
