"""`make bench`: the latency that a proxy adds, and the requests it serves, on one core.

The provider and the load client share core 0 with Postgres; the proxy under test has core 1 to itself. Rounds alternate
between the contenders, figures are medians of the rounds, and what counts are the ratios: absolute figures drift.
"""

import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.contenders import LOAD_CORE, Contender, litellm, navplane, provider

ROUNDS = 5
PROMPT = [{"role": "user", "content": "Say a hundred words."}]


@dataclass(frozen=True, slots=True)
class Load:
    """One measurement: what is sent, over how many connections, how often."""

    name: str
    stream: bool
    connections: int
    requests: int


LOADS = (
    Load("unstreamed, 1 connection", stream=False, connections=1, requests=150),
    Load("unstreamed, 8 connections", stream=False, connections=8, requests=400),
    Load("unstreamed, 32 connections", stream=False, connections=32, requests=400),
    Load("100-chunk streams, 4 connections", stream=True, connections=4, requests=60),
)


def measure(contender: Contender, load: Load) -> dict[str, float]:
    body: dict[str, Any] = {"model": "gpt-bench", "messages": PROMPT, "stream": load.stream}
    plan = {"port": contender.port, "path": "/v1/chat/completions", "headers": contender.headers, "body": json.dumps(body)}
    command = ["taskset", "-c", LOAD_CORE, sys.executable, "-m", "tests.bench.load"]
    text = json.dumps(plan | {"connections": load.connections, "requests": load.requests})
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=300)
    if done.returncode:
        raise SystemExit(f"{contender.name}, {load.name}: {done.stderr[-2000:]}")
    result: dict[str, float] = json.loads(done.stdout)
    return result


@contextlib.contextmanager
def contenders() -> Iterator[list[Contender]]:
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="navplane-bench-")))
        # Started by root, Postgres runs as another user, who must get through; else its data would go elsewhere and stay there.
        directory.chmod(0o711)
        direct = stack.enter_context(provider(directory))
        yield [
            direct,
            stack.enter_context(navplane(directory, direct.port)),
            stack.enter_context(litellm(directory, direct.port)),
        ]


def run() -> list[dict[str, Any]]:
    """One dict per load, with each contender's medians."""
    with contenders() as all_of_them:
        for contender in all_of_them:
            measure(contender, Load("warm-up", stream=False, connections=2, requests=40))
        return [compare(load, all_of_them) for load in LOADS]


def compare(load: Load, all_of_them: list[Contender]) -> dict[str, Any]:
    rounds: dict[str, list[dict[str, float]]] = {contender.name: [] for contender in all_of_them}
    for turn in range(ROUNDS):
        for contender in all_of_them if turn % 2 else reversed(all_of_them):
            rounds[contender.name].append(measure(contender, load))
    medians = {
        name: {figure: statistics.median(result[figure] for result in results) for figure in results[0]}
        for name, results in rounds.items()
    }
    memory = {contender.name: contender.memory_mb() for contender in all_of_them}
    return {"load": load.name, "medians": medians, "pss_mb": memory}


def report(results: list[dict[str, Any]]) -> None:
    for result in results:
        direct, ours, theirs = (result["medians"][name] for name in ("direct", "navplane", "litellm"))
        ours_added, theirs_added = (proxy["p50_ms"] - direct["p50_ms"] for proxy in (ours, theirs))
        ours_first, theirs_first = (proxy["first_byte_p50_ms"] - direct["first_byte_p50_ms"] for proxy in (ours, theirs))
        print(f"\n{result['load']}")
        print(f"  {'':24}{'direct':>10}{'NavPlane':>10}{'LiteLLM':>10}{'NavPlane ÷ LiteLLM':>22}")
        row("p50, ms", direct["p50_ms"], ours["p50_ms"], theirs["p50_ms"], ours["p50_ms"] / theirs["p50_ms"])
        row("p99, ms", direct["p99_ms"], ours["p99_ms"], theirs["p99_ms"], ours["p99_ms"] / theirs["p99_ms"])
        row("added p50, ms", 0.0, ours_added, theirs_added, ours_added / theirs_added)
        row("added to first byte, ms", 0.0, ours_first, theirs_first, ours_first / theirs_first)
        row(
            "answers a second",
            direct["per_second"],
            ours["per_second"],
            theirs["per_second"],
            ours["per_second"] / theirs["per_second"],
        )
    pss = results[-1]["pss_mb"]
    print(f"\nmemory (PSS, MB): NavPlane {pss['navplane']:.0f}, LiteLLM {pss['litellm']:.0f}")
    print(json.dumps(results))


def row(name: str, direct: float, ours: float, theirs: float, ratio: float) -> None:
    print(f"  {name:24}{direct:>10.2f}{ours:>10.2f}{theirs:>10.2f}{ratio:>22.3f}")


if __name__ == "__main__":
    report(run())
