"""The demo upstream on a port of its own, in a thread: the tests' provider."""

import base64
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import httpx2
import pytest
import uvicorn
from navplane_local.demo_upstream.app import DemoUpstream
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

# All of it is plain HTTP: loading the trusted certificates would be most of a request's time.
NO_TLS = False


@dataclass(frozen=True, slots=True)
class Captured:
    """One request as the demo upstream received it, and its answer as it sent it."""

    raw: dict[str, Any]

    @property
    def id(self) -> int:
        return int(self.raw["id"])

    @property
    def target(self) -> str:
        """The request target: the raw path, and the query if there was one."""
        return str(self.raw["path"]) + (f"?{self.raw['query']}" if self.raw["query"] else "")

    @property
    def headers(self) -> list[tuple[str, str]]:
        return [(name, value) for name, value in self.raw["headers"]]

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key == name), None)

    @property
    def body(self) -> bytes:
        return base64.b64decode(self.raw["body_base64"])

    @property
    def answer_body(self) -> bytes:
        return base64.b64decode(self.raw["answer"]["body_base64"])

    @property
    def ended(self) -> str | None:
        return self.raw["answer"]["ended"]  # type: ignore[no-any-return]


class DemoUpstreamClient:
    """Speaks to the `/_demo/` paths of a demo upstream at `url`."""

    def __init__(self, url: str) -> None:
        self.url = url

    def requests(self, since: int = 0) -> list[Captured]:
        answer = httpx2.get(f"{self.url}/_demo/requests", params={"since": since}, trust_env=False, verify=NO_TLS)
        return [Captured(raw) for raw in answer.raise_for_status().json()["requests"]]

    def clear(self) -> None:
        httpx2.delete(f"{self.url}/_demo/requests", trust_env=False, verify=NO_TLS).raise_for_status()

    def release(self, capture_id: int, events: int = 1) -> None:
        url = f"{self.url}/_demo/release/{capture_id}"
        httpx2.post(url, params={"events": events}, trust_env=False, verify=NO_TLS).raise_for_status()


class _CountingProtocol(HttpToolsProtocol):
    def connection_made(self, transport: Any) -> None:
        self.config.connections_made += 1  # type: ignore[attr-defined]
        super().connection_made(transport)


class DemoUpstreamServer(DemoUpstreamClient):
    """A context manager: entering starts the server on 127.0.0.1, leaving stops it with all its streams."""

    def __init__(self, *, accept_any_key: bool = False) -> None:
        super().__init__("")
        self._config = uvicorn.Config(
            DemoUpstream(accept_any_key=accept_any_key),
            host="127.0.0.1",
            port=0,
            http=_CountingProtocol,
            lifespan="off",
            log_level="critical",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=1,
        )
        self._config.connections_made = 0  # type: ignore[attr-defined]
        self._server = uvicorn.Server(self._config)
        self._socket = self._config.bind_socket()
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), name="demo-upstream")
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    @property
    def connections(self) -> int:
        """How many connections were ever opened, those of `requests()` and `clear()` included."""
        return int(self._config.connections_made)  # type: ignore[attr-defined]

    def __enter__(self) -> Self:
        # The socket listens from here on, so nobody has to wait for the thread.
        self._socket.listen()
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.should_exit = True
        self._thread.join(timeout=10)
        self._socket.close()
        assert not self._thread.is_alive(), "the demo upstream did not stop"


@pytest.fixture(scope="module")
def demo_upstream() -> Iterator[DemoUpstreamServer]:
    with DemoUpstreamServer() as server:
        yield server
