"""The most that a request can make a provider count, told from its body alone: what the gate reserves (docs: limits)."""

from collections.abc import Iterator, Sequence
from typing import Any

from navplane.gateway.body import Member, ModelCall
from navplane.model.limit import Worst
from navplane.model.usage import Endpoint

# No token is shorter than a byte, so a body holds no more tokens than bytes. What providers write around it comes on top.
OVERHEAD_TOKENS = 64
TOOLS_OVERHEAD_TOKENS = 1024

FREE = frozenset({Endpoint.MODELS, Endpoint.MODEL, Endpoint.COUNT_TOKENS, Endpoint.MODERATIONS})
# Of these the body bounds what is read. Images and audio are counted in ways that no body tells.
_IN_TEXT = frozenset({Endpoint.CHAT_COMPLETIONS, Endpoint.RESPONSES, Endpoint.MESSAGES, Endpoint.EMBEDDINGS})
_OUTPUT_LIMITS = {
    Endpoint.CHAT_COMPLETIONS: ("max_completion_tokens", "max_tokens"),
    Endpoint.RESPONSES: ("max_output_tokens",),
    Endpoint.MESSAGES: ("max_tokens",),
}
# What only the provider holds, or may fetch.
_HELD_BY_PROVIDER = frozenset({"previous_response_id", "conversation", "prompt", "container"})
_SERVER_TOOLS = frozenset({"web_search_options", "plugins", "mcp_servers"})
_CLIENT_TOOLS = frozenset({"function", "custom"})
# Run by the client, but described by the provider.
_DESCRIBED_TOOLS = ("bash_", "text_editor_", "computer_", "memory_")
# An image or a document of few bytes can be many tokens, and a URL any number; of these the bytes are the bound.
_TEXT_PARTS = frozenset(
    {
        "text", "input_text", "output_text", "summary_text", "reasoning_text", "refusal", "message", "reasoning",
        "thinking", "redacted_thinking", "tool_use", "tool_result", "function_call", "function_call_output",
        "custom_tool_call", "custom_tool_call_output",
    }
)  # fmt: skip


def worst_of(endpoint: Endpoint, request: ModelCall | None, *, request_bytes: int) -> Worst:
    if endpoint in FREE:
        return Worst(input_tokens=0, output_tokens=0)
    if endpoint not in _IN_TEXT:
        return Worst(input_tokens=request_bytes, output_tokens=None, contexts=None)
    members = request.everything if request is not None else ()
    tools = [tool for member in members if member.key == "tools" for tool in _dicts(member.value)]
    return Worst(
        input_tokens=request_bytes + OVERHEAD_TOKENS + (TOOLS_OVERHEAD_TOKENS if tools else 0),
        output_tokens=0 if endpoint is Endpoint.EMBEDDINGS else _most_written(endpoint, members),
        contexts=_contexts(members, tools),
    )


def _most_written(endpoint: Endpoint, members: Sequence[Member]) -> int | None:
    """None where the body does not say. Each of `n` answers may be as long as the limit."""
    limits = [_count(member.value) for member in members if member.key in _OUTPUT_LIMITS.get(endpoint, ())]
    answers = [_count(member.value) or 1 for member in members if member.key == "n"]
    known = [limit for limit in limits if limit is not None]
    return max(known) * max(answers, default=1) if known else None


def _contexts(members: Sequence[Member], tools: Sequence[dict[str, Any]]) -> int | None:
    """How often the model may read as much as its context: 0 where the body is all that it reads."""
    present = {member.key for member in members if member.value is not None}
    if present & _SERVER_TOOLS:
        return None
    served = [tool for tool in tools if _is_served(tool)]
    uses = _uses(members, served) if served else 0
    if uses is None:
        return None
    described = any(str(tool.get("type", "")).startswith(_DESCRIBED_TOOLS) for tool in tools)
    if served or described or present & _HELD_BY_PROVIDER or any(_is_opaque(member) for member in members):
        return 1 + uses
    return 0


def _uses(members: Sequence[Member], served: Sequence[dict[str, Any]]) -> int | None:
    """How often the provider may run its tools, as far as that is declared: for all together, or for each."""
    together = [_count(member.value) for member in members if member.key == "max_tool_calls"]
    if together and together[0] is not None:
        return together[0]
    each = [_count(tool.get("max_uses")) for tool in served]
    return None if None in each else sum(use for use in each if use is not None)


def _is_served(tool: dict[str, Any]) -> bool:
    kind = tool.get("type")
    return kind is not None and kind not in _CLIENT_TOOLS and not str(kind).startswith(_DESCRIBED_TOOLS)


def _is_opaque(member: Member) -> bool:
    if member.key not in ("messages", "input", "system"):
        return False
    return any(not _is_text(part.get("type")) for part in _parts(member.value))


def _is_text(kind: Any) -> bool:
    return kind is None or (isinstance(kind, str) and kind in _TEXT_PARTS)


def _parts(value: Any) -> Iterator[dict[str, Any]]:
    """Messages, items and the parts of their content; what a tool was given is data, whatever it looks like."""
    for item in _dicts(value):
        yield item
        yield from _parts(item.get("content"))
        yield from _parts(item.get("output"))


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _count(value: Any) -> int | None:
    return value if type(value) is int and 0 < value < 1 << 31 else None
