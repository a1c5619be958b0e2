"""The deterministic answer: a short text that quotes the prompt, and what reading and writing it used."""

from dataclasses import dataclass

from navplane_local.demo_upstream import tokens
from navplane_local.demo_upstream.script import Script

QUOTED_CHARACTERS = 200
REASONING_TOKENS = {"none": 0, "minimal": 4, "low": 8, "medium": 16, "high": 32, "xhigh": 64, "max": 64}
DEFAULT_REASONING = "medium"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """`pieces` are the visible tokens, one per streamed delta; `truncated` says that the token limit ended it."""

    pieces: tuple[str, ...]
    reasoning: tuple[str, ...]
    truncated: bool

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    @property
    def reasoning_text(self) -> str:
        return "".join(self.reasoning)

    @property
    def output_tokens(self) -> int:
        return len(self.pieces) + len(self.reasoning)


def compose(prompt: str, script: Script, *, limit: int | None, effort: str | None) -> Reply:
    """Answer `prompt` in at most `limit` tokens, reasoning included. `effort` None: reason only if the script asks for it."""
    effort = effort or (DEFAULT_REASONING if script.has("reasoning") else "none")
    wanted = tokens.split("think" + " think" * (REASONING_TOKENS.get(effort, 16) - 1)) if effort != "none" else ()
    pieces = _numbers(script.chunks) if script.chunks is not None else tokens.split(_sentence(prompt))
    limit = len(wanted) + len(pieces) if limit is None else limit
    reasoning = wanted[:limit]
    visible = pieces[: limit - len(reasoning)]
    truncated = len(reasoning) + len(visible) < len(wanted) + len(pieces)
    return Reply(pieces=visible, reasoning=reasoning, truncated=truncated)


def _sentence(prompt: str) -> str:
    quoted = prompt if len(prompt) <= QUOTED_CHARACTERS else prompt[:QUOTED_CHARACTERS] + "…"
    return f"You said: “{quoted}” The demo upstream answers without asking a provider."


def _numbers(count: int) -> tuple[str, ...]:
    return tuple(str(n) if n == 1 else f" {n}" for n in range(1, count + 1))
