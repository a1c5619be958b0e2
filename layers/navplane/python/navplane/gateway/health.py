"""GET /health: the process is alive. GET /ready: its dependencies answer. Neither needs a key, so neither costs much."""

import asyncio
import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from navplane.crypto.kek import KekUnwrapper
from navplane.errors import DecryptionError, DependencyUnavailable
from navplane.gate.gate import Gate
from navplane.gateway.asgi import Send
from navplane.gateway.render import SECURITY_HEADERS
from navplane.queue.request_log import RequestLog

# Anybody can ask, and a KEK is paid per call: one answer serves all who ask within this time.
ANSWER_SECONDS = 2.0


class Readiness:
    def __init__(self, gate: Gate, keys: KekUnwrapper, request_log: RequestLog, *, threads: ThreadPoolExecutor) -> None:
        self._checks: dict[str, Callable[[], None]] = {
            "gate": gate.ready,
            "kek": lambda: _answers(keys),
            "queue": request_log.ready,
        }
        self._threads = threads
        self._asking: asyncio.Task[dict[str, str]] | None = None
        self._asked_at = 0.0

    async def answer(self, send: Send) -> None:
        if self._asking is None or time.monotonic() - self._asked_at > ANSWER_SECONDS:
            self._asked_at = time.monotonic()
            self._asking = asyncio.get_running_loop().create_task(self._ask())
        checks = await asyncio.shield(self._asking)
        ready = all(state == "ok" for state in checks.values())
        await _send_json(send, 200 if ready else 503, {"status": "ready" if ready else "unavailable", "checks": checks})

    async def _ask(self) -> dict[str, str]:
        loop = asyncio.get_running_loop()
        asked = [loop.run_in_executor(self._threads, _state_of, check) for check in self._checks.values()]
        return dict(zip(self._checks, await asyncio.gather(*asked), strict=True))


async def answer_health(send: Send) -> None:
    await _send_json(send, 200, {"status": "ok"})


def _state_of(check: Callable[[], None]) -> str:
    try:
        check()
    except Exception:
        # Which dependency it is, is all that a stranger is told.
        return "unavailable"
    return "ok"


def _answers(keys: KekUnwrapper) -> None:
    """A KEK that refuses what it never wrapped is one that answers."""
    try:
        keys.unwrap(b"readiness", kek_id=getattr(keys, "kek_id", ""), context={"navplane": "readiness"})
    except DecryptionError:
        return
    raise DependencyUnavailable("The KEK opened what it never sealed.")


async def _send_json(send: Send, status: int, body: dict[str, object]) -> None:
    data = json.dumps(body).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(data)).encode()), *SECURITY_HEADERS]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": data, "more_body": False})
