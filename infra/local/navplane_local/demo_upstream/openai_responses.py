"""POST /v1/responses, streamed as named events with sequence numbers, and not."""

from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from navplane_local.demo_upstream import tokens
from navplane_local.demo_upstream.completion import Completion, Served
from navplane_local.demo_upstream.exchange import Answer, Dialect, ProviderError
from navplane_local.demo_upstream.native_headers import native_headers
from navplane_local.demo_upstream.openai_usage import OpenAIUsage, served_tier
from navplane_local.demo_upstream.reply import compose
from navplane_local.demo_upstream.stream import middle, typed_event

Object = dict[str, Any]


def responses(served: Served) -> Answer:
    response = ModelResponse.of(served)
    if not served.body.get("stream"):
        return served.whole(response.final(), headers=native_headers(Dialect.OPENAI))
    events = response.events()
    return served.streamed(events, error=_error_event(middle(events)), headers=native_headers(Dialect.OPENAI))


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelResponse(Completion):
    message_id: str
    reasoning_id: str
    usage: OpenAIUsage

    @classmethod
    def of(cls, served: Served) -> "ModelResponse":
        body = served.body
        items = _items(body)
        effort = (body.get("reasoning") or {}).get("effort")
        reply = compose(_prompt(items), served.script, limit=body.get("max_output_tokens"), effort=effort)
        usage = OpenAIUsage.of(
            served.script,
            input_tokens=tokens.count_messages(items, body.get("tools")) + tokens.count(body.get("instructions") or ""),
            output_tokens=reply.output_tokens,
            reasoning_tokens=len(reply.reasoning),
        )
        ids = {name: f"{prefix}_demo{uuid4().hex}" for name, prefix in _ID_PREFIXES.items()}
        return cls(served=served, reply=reply, usage=usage, **ids)

    def final(self) -> Object:
        status = "incomplete" if self.reply.truncated else "completed"
        output = [*([self._reasoning()] if self.reply.reasoning else []), self._message(status, [self._part(self.reply.text)])]
        usage = None if self.served.script.has("no-usage") else self.usage.responses()
        done = {"completed_at": self.served.now} if status == "completed" else {}
        incomplete = {"reason": "max_output_tokens"} if self.reply.truncated else None
        return self._response(status, output) | done | {"usage": usage, "incomplete_details": incomplete}

    def events(self) -> list[bytes]:
        final = self.final()
        started = self._response("in_progress", [])
        bodies = [
            {"type": "response.created", "response": started},
            {"type": "response.in_progress", "response": started},
            *self._reasoning_events(),
            *self._message_events(final["status"]),
            {"type": f"response.{final['status']}", "response": final},
        ]
        return [typed_event(body | {"sequence_number": number}) for number, body in enumerate(bodies)]

    def _reasoning_events(self) -> list[Object]:
        if not self.reply.reasoning:
            return []
        added, done = self._reasoning() | {"status": "in_progress"}, self._reasoning()
        return [
            {"type": "response.output_item.added", "output_index": 0, "item": added},
            {"type": "response.output_item.done", "output_index": 0, "item": done},
        ]

    def _message_events(self, status: str) -> list[Object]:
        place: Object = {"item_id": self.message_id, "output_index": 1 if self.reply.reasoning else 0, "content_index": 0}
        item = {"output_index": place["output_index"]}
        full = self._part(self.reply.text)
        deltas = [{"type": _DELTA, **place, "delta": piece, "logprobs": []} for piece in self.reply.pieces]
        return [
            {"type": "response.output_item.added", **item, "item": self._message("in_progress", [])},
            {"type": "response.content_part.added", **place, "part": self._part("")},
            *deltas,
            {"type": "response.output_text.done", **place, "text": self.reply.text, "logprobs": []},
            {"type": "response.content_part.done", **place, "part": full},
            {"type": "response.output_item.done", **item, "item": self._message(status, [full])},
        ]

    def _reasoning(self) -> Object:
        summary = [{"type": "summary_text", "text": self.reply.reasoning_text}]
        return {"id": self.reasoning_id, "type": "reasoning", "summary": summary, "status": "completed"}

    def _message(self, status: str, content: list[Object]) -> Object:
        return {"id": self.message_id, "type": "message", "status": status, "role": "assistant", "content": content}

    def _part(self, text: str) -> Object:
        return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}

    def _response(self, status: str, output: list[Object]) -> Object:
        asked = self.served.body
        echoed = {name: asked.get(name, default) for name, default in _ECHOED.items()}
        return echoed | {
            "id": self.id,
            "object": "response",
            "created_at": self.served.now,
            "status": status,
            "error": None,
            "incomplete_details": None,
            "model": self.served.model,
            "output": output,
            "service_tier": served_tier(self.served),
            "usage": None,
        }


_DELTA = "response.output_text.delta"
_ID_PREFIXES = {"id": "resp", "message_id": "msg", "reasoning_id": "rs"}
_ECHOED: Object = {
    "background": False,
    "instructions": None,
    "max_output_tokens": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "reasoning": {"effort": None, "summary": None},
    "store": True,
    "temperature": 1.0,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
}


def _error_event(number: int) -> bytes:
    error = {"type": "error", "code": "server_error", "message": "The demo upstream was asked to break.", "param": None}
    return typed_event(error | {"sequence_number": number})


def _items(body: Object) -> list[Object]:
    given = body.get("input")
    if isinstance(given, str):
        return [{"role": "user", "content": given}]
    if not isinstance(given, list) or not all(isinstance(item, dict) for item in given):
        raise ProviderError(400, "Missing required parameter: 'input'.", param="input")
    return given


def _prompt(items: list[Object]) -> str:
    spoken = [tokens.text_of(item.get("content")) for item in items if item.get("role") == "user"]
    return spoken[-1] if spoken else ""
