"""OpenAI's usage objects. Cached and cache-writing tokens are parts of the input, reasoning tokens of the output."""

from dataclasses import dataclass
from typing import Any, Self

from navplane_local.demo_upstream.completion import Served
from navplane_local.demo_upstream.script import Script

_TIERS = {"priority": "priority", "fast": "priority", "flex": "flex", "scale": "scale"}


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenAIUsage:
    input_tokens: int
    output_tokens: int
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    audio_tokens: int = 0

    @classmethod
    def of(cls, script: Script, *, input_tokens: int, output_tokens: int, reasoning_tokens: int, audio_tokens: int = 0) -> Self:
        return cls(
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            cached_tokens=input_tokens // 2 if script.has("cached") else 0,
            cache_write_tokens=input_tokens // 4 if script.has("cache-write") else 0,
            reasoning_tokens=reasoning_tokens,
            audio_tokens=audio_tokens,
        )

    def chat(self) -> dict[str, Any]:
        return {
            "prompt_tokens": self.input_tokens,
            "completion_tokens": self.output_tokens,
            "total_tokens": self.input_tokens + self.output_tokens,
            "prompt_tokens_details": {
                "cached_tokens": self.cached_tokens,
                "audio_tokens": self.audio_tokens,
                "cache_write_tokens": self.cache_write_tokens,
            },
            "completion_tokens_details": {
                "reasoning_tokens": self.reasoning_tokens,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        }

    def responses(self) -> dict[str, Any]:
        return {
            "input_tokens": self.input_tokens,
            "input_tokens_details": {"cached_tokens": self.cached_tokens, "cache_write_tokens": self.cache_write_tokens},
            "output_tokens": self.output_tokens,
            "output_tokens_details": {"reasoning_tokens": self.reasoning_tokens},
            "total_tokens": self.input_tokens + self.output_tokens,
        }


def served_tier(served: Served) -> str:
    """The tier that served the call, which may differ from the one it asked for."""
    return "priority" if served.script.has("priority") else _TIERS.get(served.body.get("service_tier") or "auto", "default")
