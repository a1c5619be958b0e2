"""Thousands of calls to a provider that does everything wrong: memory and file descriptors stay where they are, rows are whole.

The gateway is a process of its own. Prints one JSON line. STEADY_REQUESTS sets how many calls.
"""

import http.client
import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass

import psutil
import pytest
from navplane.crypto.api_key import new_api_key

from tests.support.provider import Close, Cut, FakeProvider, Step, answer, json_answer, stream

REQUESTS = int(os.environ.get("STEADY_REQUESTS", "1000"))
MUTANT_REQUESTS = 600
CLIENTS = 8
# Caches fill up and arenas settle at first; after that nothing may grow.
WARM_UP_SHARE = 0.4
MOST_GROWTH_BYTES = 4 << 20
MOST_GROWTH_DESCRIPTORS = 5
CALLS = [("/v1/chat/completions", "gpt-5"), ("/v1/messages", "claude-opus-5"), ("/google/v1/chat/completions", "gemini-3")]
TEXT = b'data: {"choices":[{"delta":{"content":"%s"}}]}\n\n' % (b"x" * 500)
FAULTS: list[list[Step]] = [
    json_answer(b'{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1}}'),
    stream([TEXT, b"data: [DONE]\n\n"]),
    stream([TEXT] * 40 + [b"data: [DONE]\n\n"]),
    stream([TEXT, Cut()], end=False),
    stream([b"data: {nonsense\n\n", b"\xff" * 70_000, b"\n\n"]),
    json_answer(b'{"error":{}}', "429 Too Many Requests"),
    answer("503 Down", headers=[("content-type", "text/html")], body=b"<h1>down</h1>" * 500),
    [Close()],
    [Cut()],
    [b"HTTP/1.1 200 OK\r\ncontent-ty", Cut()],
    [b"this is not HTTP\r\n\r\n", Close()],
    answer("302 Found", headers=[("location", "/elsewhere")]),
    [*answer("200 OK", headers=[("content-type", "application/json")], body=b'{"cut":', length=500), Cut()],
]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """`grown_*`: from after the warm-up to the end."""

    harness: str
    requests: int
    faults: int
    rows: int
    grown_bytes: int
    grown_descriptors: int


@contextmanager
def gateway(provider: FakeProvider, leak: str | None) -> Iterator[tuple[psutil.Process, int]]:
    """Its process and its port."""
    arguments = json.dumps({"provider": provider.url, "leak": leak})
    command = [sys.executable, "-m", "tests.faults.steady_gateway", arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        yield psutil.Process(child.pid), int(child.stdout.readline())
        child.stdin.close()
        assert child.wait(30) == 0


def run(requests: int, leak: str | None = None) -> Report:
    with FakeProvider() as provider:
        provider.script_in_turn(*itertools.islice(itertools.cycle(FAULTS), requests))
        with gateway(provider, leak) as (process, port):
            warm_up = int(requests * WARM_UP_SHARE)
            _call(port, warm_up)
            size, descriptors = process.memory_info().rss, process.num_fds()
            _call(port, requests - warm_up)
            grown, more = process.memory_info().rss - size, process.num_fds() - descriptors
            rows = _rows(port, requests)
    faults = requests - requests // len(FAULTS)
    return Report(
        harness="steady", requests=requests, faults=faults, rows=rows, grown_bytes=grown, grown_descriptors=more
    )  # fmt: skip


def _call(port: int, count: int) -> None:
    key = new_api_key("np_")
    with ThreadPoolExecutor(CLIENTS) as clients:
        list(clients.map(lambda share: _ask(port, key, len(share)), [range(n, count, CLIENTS) for n in range(CLIENTS)]))


def _ask(port: int, key: str, count: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    for number in range(count):
        path, model = CALLS[number % len(CALLS)]
        body = json.dumps({"model": model, "stream": number % 2 == 0, "max_tokens": 5, "messages": []})
        headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
        try:
            connection.request("POST", path, body=body, headers=headers)
            connection.getresponse().read()
        except (http.client.HTTPException, OSError):
            # An answer that breaks off is part of the exercise.
            connection.close()
    connection.close()


def _rows(port: int, expected: int, *, seconds: float = 10.0) -> int:
    """How many there are, once there are as many as expected: the last ones follow their answers."""
    ends, rows = time.monotonic() + seconds, -1
    while rows < expected and time.monotonic() < ends:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("GET", "/rows")
        rows = int(connection.getresponse().read())
        connection.close()
    return rows


def test_memory_and_descriptors_stay_where_they_are() -> None:
    report = run(REQUESTS)
    print(json.dumps(asdict(report)))
    assert report.rows == REQUESTS
    assert report.grown_bytes <= MOST_GROWTH_BYTES
    assert report.grown_descriptors <= MOST_GROWTH_DESCRIPTORS


@pytest.mark.parametrize("leak", ["bodies", "sockets"])
def test_the_harness_catches_a_gateway_that_keeps(leak: str) -> None:
    report = run(MUTANT_REQUESTS, leak)
    assert (report.grown_bytes > MOST_GROWTH_BYTES) is (leak == "bodies")
    assert (report.grown_descriptors > MOST_GROWTH_DESCRIPTORS) is (leak == "sockets")
