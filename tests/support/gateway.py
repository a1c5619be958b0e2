"""The gateway on uvicorn, on a port of its own: with a gate in memory and providers that a test plays."""

import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from uuid import UUID

import httpx2
import uvicorn
from navplane.crypto.api_key import digest, new_api_key
from navplane.crypto.envelope import seal
from navplane.crypto.kek import KekUnwrapper
from navplane.crypto.kek_local import LocalKek
from navplane.gate.gate import Caller, Gate
from navplane.gateway.app import Gateway
from navplane.gateway.closing import Closing
from navplane.gateway.limits import DEFAULT_LIMITS, Limits
from navplane.model.ids import new_id
from navplane.model.provider_key import SealedProviderKey, SealingContext, Secret
from navplane.model.tenancy import Region, StreamUsage
from navplane.queue.request_log import RequestLog
from navplane.upstream.client import UpstreamClient
from navplane.upstream.origin import Origins
from navplane_cli.serve_protocol import StrictProtocol

from tests.support.gate_memory import MemoryGate
from tests.support.request_log_memory import MemoryRequestLog

KEK = LocalKek(bytes(range(32)))
PROVIDER_SECRET = "sk-canary-7f3a9c51d2e84b60"
MAX_BODY_BYTES = 2 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """An organization with one key of its own and a key for each provider."""

    org_id: UUID
    caller: Caller
    key: str


def sealed_key(
    org_id: UUID, provider: str, secret: str = PROVIDER_SECRET, *, demo: bool = False, base_url: str | None = None
) -> SealedProviderKey:
    context = SealingContext(org_id=org_id, provider_key_id=new_id(), provider=provider, region="us")
    sealed = seal(Secret(secret.encode()), context=context, kek=KEK)
    return SealedProviderKey(context=context, base_url=base_url, demo=demo, sealed=sealed)


def add_tenant(gate: MemoryGate, *, stream_usage: StreamUsage = StreamUsage.INJECT) -> Tenant:
    org_id, key = gate.add_org(stream_usage=stream_usage), new_api_key("np_")
    caller = gate.add_key(org_id, digest=digest(key))
    for provider in ("openai", "anthropic"):
        gate.add_provider_key(sealed_key(org_id, provider))
    return Tenant(org_id=org_id, caller=caller, key=key)


class GatewayServer:
    """A context manager; `app` can be called without entering it. `providers` maps a provider's name to the URL that takes its
    place."""

    def __init__(
        self,
        providers: Mapping[str, str],
        *,
        gate: Gate | None = None,
        request_log: RequestLog | None = None,
        kek: KekUnwrapper = KEK,
        limits: Limits = DEFAULT_LIMITS,
        region: Region = Region.US,
        connect_seconds: float = 5.0,
        closing: Closing | None = None,
    ) -> None:
        self.gate = MemoryGate()
        self.log = MemoryRequestLog()
        self.app = Gateway(
            gate=gate or self.gate,
            keys=kek,
            upstream=UpstreamClient(Origins(overrides=providers, demo_url=None), connect_seconds=connect_seconds),
            request_log=request_log or self.log,
            region=region,
            key_prefixes=("np_", "lc_"),
            max_body_bytes=MAX_BODY_BYTES,
            limits=limits,
            closing=closing,
        )
        self._hosted: HostedApp | None = None

    @property
    def _server(self) -> "HostedApp":
        assert self._hosted is not None, "the gateway was not started"
        return self._hosted

    @property
    def url(self) -> str:
        return self._server.url

    @property
    def port(self) -> int:
        return self._server.port

    def tenant(self, *, stream_usage: StreamUsage = StreamUsage.INJECT) -> Tenant:
        return add_tenant(self.gate, stream_usage=stream_usage)

    def client(self, **options: Any) -> httpx2.Client:
        return httpx2.Client(base_url=self.url, trust_env=False, timeout=20, **options)

    def __enter__(self) -> Self:
        self._hosted = HostedApp(self.app)
        self._hosted.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.stop()


class HostedApp:
    """uvicorn in a thread, speaking HTTP as `navplane serve` does."""

    def __init__(self, app: Any) -> None:
        config = uvicorn.Config(
            app,
            host="127.0.0.1",
            port=0,
            http=StrictProtocol,
            log_level="critical",
            access_log=False,
            server_header=False,
            date_header=False,
            timeout_graceful_shutdown=2,
        )
        self._server = uvicorn.Server(config)
        self._socket = config.bind_socket()
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), name="gateway")
        self.port = int(self._socket.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        # The socket listens from here on, so nobody has to wait for the thread.
        self._socket.listen()
        self._thread.start()

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(timeout=15)
        self._socket.close()
        assert not self._thread.is_alive(), "the gateway did not stop"


def exchange(port: int, request: bytes) -> bytes:
    """Raw bytes in, raw bytes out until the server closes or has answered with a content-length."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(request)
        received = b""
        while data := connection.recv(65536):
            received += data
            if _is_whole(received):
                break
    return received


def _is_whole(received: bytes) -> bool:
    head, blank, body = received.partition(b"\r\n\r\n")
    lengths = [line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return bool(blank and lengths and len(body) >= int(lengths[0]))
