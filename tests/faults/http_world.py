"""What stands around the proxies that the HTTP harness kills: a provider, a queue that fails, and clients."""

import hashlib
import http.client
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import UUID

from navplane.model.usage_event import UsageEvent

from tests.faults.http_proxies import HEADER
from tests.support.queue_memory import MemoryQueue

COMPLETION_TOKENS = 7
CHUNKS = 4
CHUNK_SECONDS = 0.003
PATIENCE_SECONDS = 60


class Quiet(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        size = int(self.headers["content-length"])
        body = self.rfile.read(size)
        if len(body) == size:
            self.serve(json.loads(body))

    def serve(self, asked: dict[str, Any]) -> None:
        raise NotImplementedError

    def answer(self, status: int, body: dict[str, Any]) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Says nothing."""


class Provider(Quiet):
    """Counts as many prompt tokens as the request's `seed` says, streamed and not."""

    def serve(self, asked: dict[str, Any]) -> None:
        usage = {"prompt_tokens": asked["seed"], "completion_tokens": COMPLETION_TOKENS}
        if not asked.get("stream"):
            self.answer(200, {"model": "gpt-5", "choices": [{"finish_reason": "stop"}], "usage": usage})
            return
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        events: list[object] = [{"model": "gpt-5", "choices": [{"delta": {"content": "word "}}]}] * CHUNKS
        events += [{"choices": [{"delta": {}, "finish_reason": "stop"}]}, {"choices": [], "usage": usage}]
        for event in [*map(json.dumps, events), "[DONE]"]:
            self._chunk(f"data: {event}\n\n".encode())
            time.sleep(CHUNK_SECONDS)
        self.wfile.write(b"0\r\n\r\n")

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))
        self.wfile.flush()


@dataclass(slots=True)
class FailingQueue:
    """An SQS that never takes one event in twenty, and takes one in twenty without ever saying so; and now and then fails
    anybody."""

    messages: MemoryQueue
    before: int = 0
    after: int = 0
    accepted: dict[UUID, UsageEvent] = field(default_factory=dict)
    _sends: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def send(self, body: str) -> bool:
        """Whether the sender is told that it was taken."""
        event = UsageEvent.from_json(body)
        with self._lock:
            self._sends += 1
            kind = event.request_id.int % 20
            fails_before = kind == 0 or self._sends % 37 == 0
            fails_after = not fails_before and (kind == 1 or self._sends % 41 == 0)
            self.before += fails_before
            self.after += fails_after
            if not fails_before:
                self.accepted[event.request_id] = event
                self.messages.send(body)
            return not (fails_before or fails_after)


def sqs_of(queue: FailingQueue) -> type[Quiet]:
    class Sqs(Quiet):
        def serve(self, asked: dict[str, Any]) -> None:
            text = asked["MessageBody"]
            if queue.send(text):
                digest = hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
                self.answer(200, {"MessageId": "m", "MD5OfMessageBody": digest})
            else:
                self.answer(500, {"__type": "InternalFailure"})

    return Sqs


class Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        """Whoever was killed leaves broken connections behind; anything else is a fault of the harness."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


@contextmanager
def serving(handler: type[Quiet]) -> Iterator[str]:
    server = Server(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """An answer that arrived whole: who gave it, and what it must have counted."""

    proxy: str
    prompt_tokens: int


@dataclass(slots=True, kw_only=True)
class Clients:
    """So many threads that call until `requests` were sent; what breaks is not sent again."""

    port: int
    key: str
    requests: int
    started: int = 0
    whole: dict[UUID, Whole] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self, threads: int) -> list[threading.Thread]:
        running = [threading.Thread(target=self._call_on, daemon=True) for _ in range(threads)]
        for thread in running:
            thread.start()
        return running

    def _call_on(self) -> None:
        while (number := self._next()) is not None:
            try:
                self._call(number)
            # A proxy that is killed breaks connections: that is the point.
            except (OSError, http.client.HTTPException):
                continue

    def _next(self) -> int | None:
        with self._lock:
            if self.started >= self.requests:
                return None
            self.started += 1
            return self.started

    def _call(self, number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_SECONDS)
        try:
            body = json.dumps({"model": "gpt-5", "seed": number, "stream": number % 2 == 0, "messages": []})
            headers = {"authorization": f"Bearer {self.key}", "content-type": "application/json"}
            connection.request("POST", "/v1/chat/completions", body, headers)
            answer = connection.getresponse()
            text = answer.read()
            complete = text.rstrip().endswith(b"[DONE]") if number % 2 == 0 else text.endswith(b"}")
            if answer.status == 200 and complete:
                request_id = UUID(answer.headers["x-navplane-request-id"])
                with self._lock:
                    self.whole[request_id] = Whole(proxy=answer.headers[HEADER], prompt_tokens=number)
        finally:
            connection.close()


def wait(done: Callable[[], bool], what: str) -> None:
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while not done():
        assert time.monotonic() < give_up_at, what
        time.sleep(0.005)
