"""`python -m tests.bench.runtime_cycle`: what the streaming runtime costs per invocation. Prints p50, in milliseconds.

The Runtime API is the test double, in another process than the runtime; both are asyncio, so about half of it is the double's.
"""

import asyncio
import statistics
import tempfile
import time
from pathlib import Path

from tests.support.runtime_api import RuntimeAPI, function_url_event
from tests.support.runtime_process import function_process

ROUNDS = 500
APP = """
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        raise NotImplementedError
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    for _ in range(int(scope["path"][1:]) - 1):
        await send({"type": "http.response.body", "body": b"x" * 60, "more_body": True})
    await send({"type": "http.response.body", "body": b"x" * 60})
"""


async def measure(api: RuntimeAPI, chunks: int, rounds: int) -> tuple[float, float]:
    """Medians, in ms: from the event to the prelude, and from the event to the next /next."""
    preludes, cycles = [], []
    for _ in range(rounds):
        asked = api.journal.count("next")
        begun = time.perf_counter()
        invocation = api.invoke(function_url_event(rawPath=f"/{chunks}"))
        await invocation.arrived(1)
        preludes.append(time.perf_counter() - begun)
        await api.journal_has("next", asked + 1)
        cycles.append(time.perf_counter() - begun)
        api.journal[:] = ["next"]
    return statistics.median(preludes) * 1000, statistics.median(cycles) * 1000


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        async with RuntimeAPI() as api, function_process(api.address, Path(folder), APP):
            await api.journal_has("next")
            start = (time.perf_counter() - begun) * 1000
            await measure(api, 1, 100)
            prelude, cycle = await measure(api, 1, ROUNDS)
            _, streamed = await measure(api, 200, ROUNDS // 5)
    print(f"process start to /next {start:.0f} ms · /next to prelude {prelude:.2f} ms · full cycle {cycle:.2f} ms", end=" · ")
    print(f"200 chunks {streamed:.2f} ms")


if __name__ == "__main__":
    asyncio.run(main())
