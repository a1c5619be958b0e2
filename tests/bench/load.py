"""The load client: keep-alive connections that each send the same request over and over. Run: python -m tests.bench.load < PLAN

The plan is one JSON object: {"port", "path", "headers", "body", "connections", "requests"}; the answer is one JSON object with
latencies in milliseconds. Bounded by the number of requests; loopback only.
"""

import asyncio
import json
import sys
import time
from typing import Any

import httptools
import uvloop


class Answer:
    """One response off the wire: its status, when its first body byte came, and whether it is whole."""

    def __init__(self) -> None:
        self.parser = httptools.HttpResponseParser(self)
        self.first_byte: float | None = None
        self.complete = False

    def on_body(self, body: bytes) -> None:
        if self.first_byte is None:
            self.first_byte = time.perf_counter()

    def on_message_complete(self) -> None:
        self.complete = True


async def connection(plan: dict[str, Any], request: bytes, left: list[int], samples: list[tuple[float, float]]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", plan["port"])
    while left[0] > 0:
        left[0] -= 1
        started = time.perf_counter()
        writer.write(request)
        answer = Answer()
        while not answer.complete:
            data = await reader.read(65536)
            if not data:
                raise RuntimeError("the server closed the connection")
            answer.parser.feed_data(data)
        if answer.parser.get_status_code() != 200:
            raise RuntimeError(f"status {answer.parser.get_status_code()}: {data[-400:]!r}")
        ended = time.perf_counter()
        samples.append((ended - started, (answer.first_byte or ended) - started))
    writer.close()
    await writer.wait_closed()


async def run(plan: dict[str, Any]) -> dict[str, Any]:
    body = plan["body"].encode()
    headers = {"host": "127.0.0.1", "content-type": "application/json", **plan["headers"], "content-length": str(len(body))}
    head = f"POST {plan['path']} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    request = head.encode() + b"\r\n" + body
    samples: list[tuple[float, float]] = []
    left = [int(plan["requests"])]
    started = time.perf_counter()
    await asyncio.gather(*(connection(plan, request, left, samples) for _ in range(plan["connections"])))
    return summary(samples, time.perf_counter() - started)


def summary(samples: list[tuple[float, float]], elapsed: float) -> dict[str, Any]:
    total = sorted(whole for whole, _ in samples)
    first = sorted(first for _, first in samples)
    return {
        "requests": len(samples),
        "per_second": len(samples) / elapsed,
        "p50_ms": 1000 * total[len(total) // 2],
        "p99_ms": 1000 * total[int(len(total) * 0.99)],
        "first_byte_p50_ms": 1000 * first[len(first) // 2],
    }


if __name__ == "__main__":
    print(json.dumps(uvloop.run(run(json.load(sys.stdin)))))
