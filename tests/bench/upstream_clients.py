"""What the hot path's HTTP client costs, against the one it was chosen over. Run: python -m tests.bench.upstream_clients

A provider in a process of its own answers at once; aiohttp (through upstream/client.py) and httpx2 call it in turns. Printed
are medians of the rounds: milliseconds per call at one connection, calls per second at 32, and milliseconds until a process has
imported each and could make its first TLS connection.
"""

import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx2
from navplane.upstream.client import UpstreamClient, UpstreamRequest
from navplane.upstream.origin import Origins
from navplane.upstream.provider import Origin

ROUNDS, CALLS, CONNECTIONS = 5, 400, 32
BODY = b'{"model":"gpt-bench","messages":[]}'
HEADERS = ((b"content-type", b"application/json"),)
Call = Callable[[], Awaitable[None]]
# aiohttp makes its TLS contexts when it is imported, httpx2 when a client is made.
READY = {"aiohttp": "import aiohttp", "httpx2": "import httpx2; httpx2.AsyncClient()"}


def ready_ms(statement: str) -> float:
    """The median of cold processes, above one that imports asyncio and ssl only."""
    return statistics.median(_process_ms(statement) - _process_ms("import asyncio, ssl") for _ in range(7))


def _process_ms(statement: str) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", statement], check=True)
    return (time.perf_counter() - started) * 1000


async def measure(call: Call) -> tuple[float, float]:
    """Milliseconds per call alone, and calls per second with many at a time."""
    for _ in range(20):
        await call()
    alone = [await _timed(call) for _ in range(CALLS)]

    async def keep_calling() -> None:
        for _ in range(CALLS // 8):
            await call()

    started = time.perf_counter()
    await asyncio.gather(*(keep_calling() for _ in range(CONNECTIONS)))
    return statistics.median(alone) * 1000, CONNECTIONS * (CALLS // 8) / (time.perf_counter() - started)


async def _timed(call: Call) -> float:
    started = time.perf_counter()
    await call()
    return time.perf_counter() - started


def with_aiohttp(client: UpstreamClient, url: str) -> Call:
    request = UpstreamRequest(
        origin=Origin.parse(url), method="POST", path="/v1/chat/completions", headers=HEADERS, body=BODY, first_byte_seconds=10
    )

    async def call() -> None:
        response = await client.send(request)
        while await response.read():
            pass
        await response.aclose()

    return call


def with_httpx2(client: httpx2.AsyncClient, url: str) -> Call:
    async def call() -> None:
        async with client.stream("POST", f"{url}/v1/chat/completions", content=BODY, headers=list(HEADERS)) as response:
            async for _ in response.aiter_raw():
                pass

    return call


async def compare(url: str) -> dict[str, tuple[float, float]]:
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=CONNECTIONS)
    ours = UpstreamClient(Origins(overrides={"openai": url}, demo_url=None))
    async with httpx2.AsyncClient(limits=limits, trust_env=False, timeout=10) as theirs:
        calls = {"aiohttp": with_aiohttp(ours, url), "httpx2": with_httpx2(theirs, url)}
        rounds = [{name: await measure(call) for name, call in calls.items()} for _ in range(ROUNDS)]
    await ours.aclose()
    return {
        name: (statistics.median(r[name][0] for r in rounds), statistics.median(r[name][1] for r in rounds)) for name in calls
    }


def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        port_file = Path(directory) / "port"
        provider = subprocess.Popen([sys.executable, "-m", "tests.bench.upstream", str(port_file)])
        try:
            while not port_file.exists():
                time.sleep(0.01)
            results = asyncio.run(compare(f"http://127.0.0.1:{port_file.read_text()}"))
        finally:
            provider.terminate()
            provider.wait()
    for name, (milliseconds, rate) in results.items():
        facts = {"ms_alone": round(milliseconds, 3), "per_second_at_32": round(rate), "ready_ms": round(ready_ms(READY[name]))}
        print(json.dumps({"client": name, **facts}))


if __name__ == "__main__":
    main()
