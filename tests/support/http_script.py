"""A real HTTP server on a free loopback port whose answers a test writes: other people's systems, on the wire."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """`headers` have lower-case names."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


Script = Callable[[Request], Answer]


@dataclass(slots=True)
class ScriptedServer:
    """`requests` are those that arrived, in order. Assign `script` to change what is answered from now on."""

    url: str
    script: Script
    requests: list[Request] = field(default_factory=list)


@contextmanager
def serving(script: Script) -> Iterator[ScriptedServer]:
    server = _Server(("127.0.0.1", 0), _Handler)
    server.scripted = ScriptedServer(f"http://127.0.0.1:{server.server_address[1]}", script)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.scripted
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    scripted: ScriptedServer


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        scripted = self.server.scripted
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(method=self.command, path=self.path, headers=headers, body=body)
        scripted.requests.append(request)
        self._send(scripted.script(request))

    def _send(self, answer: Answer) -> None:
        self.close_connection = True
        try:
            self.send_response(answer.status)
            for name, value in {"content-length": str(len(answer.body)), "connection": "close", **answer.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.body)
        except OSError:
            pass  # the client left, as some tests want it to

    do_GET = do_POST = do_PUT = do_DELETE = _answer  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass
