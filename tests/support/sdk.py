"""Runs tests/e2e/sdk_calls.py with the current or the previous majors of the SDKs, and reads what it reports."""

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from navplane.model.usage import Usage

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "tests/e2e/sdk_calls.py"
# `make test` makes the second environment.
PYTHONS = {"current": Path(sys.executable), "previous": ROOT / ".venv-sdk-previous/bin/python"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call as its SDK reported it: `call` is the endpoint's stored name, `usage` in NavPlane's vocabulary."""

    call: str
    stream: bool
    model: str | None
    usage: Usage
    text: str | None
    deltas: int | None


def run_calls(majors: str, sdk: str, environment: Mapping[str, str]) -> list[Call]:
    """Make every call of `sdk` (openai, anthropic) with nothing but `environment` set."""
    command = [str(PYTHONS[majors]), str(SCRIPT), sdk]
    done = subprocess.run(command, env=dict(environment), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return [_call(json.loads(line)) for line in done.stdout.splitlines()]


def _call(line: dict[str, Any]) -> Call:
    usage = _usage(line["call"], line.pop("usage") or {})
    return Call(usage=usage, **line)


def _usage(call: str, reported: dict[str, Any]) -> Usage:
    """Zero-filled, input with cache included: NavPlane's vocabulary, from each SDK's own."""
    if call in ("messages", "messages.count_tokens"):
        return _anthropic_usage(call, reported)
    inputs = reported.get("prompt_tokens_details") or reported.get("input_tokens_details") or {}
    outputs = reported.get("completion_tokens_details") or reported.get("output_tokens_details") or {}
    return Usage(
        input_tokens=reported.get("prompt_tokens", reported.get("input_tokens", 0)),
        output_tokens=reported.get("completion_tokens", reported.get("output_tokens", 0)),
        cached_input_tokens=inputs.get("cached_tokens") or 0,
        cache_write_5m_tokens=inputs.get("cache_write_tokens") or 0,
        reasoning_tokens=outputs.get("reasoning_tokens") or 0,
    )


def _anthropic_usage(call: str, reported: dict[str, Any]) -> Usage:
    # Counting tokens is never billed: its answer is no usage.
    if call == "messages.count_tokens":
        return Usage()
    created = reported["cache_creation"]
    written = reported["cache_creation_input_tokens"]
    assert written == sum(created.values())
    return Usage(
        input_tokens=reported["input_tokens"] + reported["cache_read_input_tokens"] + written,
        output_tokens=reported["output_tokens"],
        cached_input_tokens=reported["cache_read_input_tokens"],
        cache_write_5m_tokens=created["ephemeral_5m_input_tokens"],
        cache_write_1h_tokens=created["ephemeral_1h_input_tokens"],
        reasoning_tokens=(reported.get("output_tokens_details") or {}).get("thinking_tokens") or 0,
    )
