"""A gateway in a process of its own, whose memory and descriptors can be told from the test's. Run with one JSON argument.

Says its port, and ends when its standard input does. `leak` makes it a mutant: `bodies` are kept, or `sockets` are.
"""

import json
import logging
import socket
import sys
import threading
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from navplane.errors import DependencyUnavailable
from navplane.gate.gate import Admission, Ask, Caller, Candidate, Charge, Expired, Menu, Owner, Refusal, RefusalReason
from navplane.gateway.app import Gateway
from navplane.model.dialect import Dialect
from navplane.model.ids import RequestId, new_id
from navplane.model.kept_content import KeptContent
from navplane.model.tenancy import Region, StreamUsage
from navplane.model.usage_event import UsageEvent
from navplane.telemetry import logger
from navplane.upstream.client import UpstreamClient
from navplane.upstream.origin import Origins

from tests.support.gateway import KEK, HostedApp, sealed_key

PROVIDERS = ("openai", "anthropic", "google")


class ForgetfulGate:
    """Admits everybody and keeps nothing: what grows is the gateway's."""

    def __init__(self) -> None:
        org_id = new_id()
        self._caller = Caller(org_id=org_id, workspace_id=new_id(), key_id=new_id())
        self._keys = {name: sealed_key(org_id, name) for name in PROVIDERS}

    def admit(self, ask: Ask, now: datetime) -> Admission | Refusal:
        assert ask.provider is not None
        return Admission(
            request_id=ask.request_id,
            caller=self._caller,
            stream_usage=StreamUsage.INJECT,
            candidates=(Candidate(provider=ask.provider, model=ask.model, key=self._keys[ask.provider]),),
        )

    def menu(
        self, key_digest: bytes, *, dialect: Dialect, region: Region, offering: Sequence[str], now: datetime
    ) -> Menu | Refusal:
        raise DependencyUnavailable("Nobody lists models here.")

    def standing(self, callers: Sequence[Caller], now: datetime) -> Sequence[RefusalReason | None]:
        return [None for _ in callers]

    def settle(self, request_id: RequestId, charge: Charge, now: datetime) -> None:
        """Nothing to settle."""

    def finalize(self, charges: Mapping[RequestId, Charge], now: datetime) -> None:
        raise DependencyUnavailable("The proxy never does that.")

    def expire(self, before: datetime, *, limit: int, now: datetime) -> Sequence[Expired]:
        raise DependencyUnavailable("The proxy never does that.")

    def bind_object(self, provider: str, object_id: str, owner: Owner, now: datetime) -> None:
        """Nothing is kept."""

    def owner_of(self, provider: str, object_id: str) -> Owner | None:
        return None

    def keeps_content(self, caller: Caller) -> bool:
        return False

    def ready(self) -> None:
        """Always."""


class CountingLog:
    """Keeps the number of rows only, and tells it when it is asked over HTTP."""

    def __init__(self) -> None:
        self.rows = 0
        self._lock = threading.Lock()

    def publish(self, event: UsageEvent) -> None:
        with self._lock:
            self.rows += 1

    def publish_content(self, content: KeptContent) -> None:
        """Nothing is kept."""

    def ready(self) -> None:
        """Always."""


class Told:
    """The gateway, beside one path that tells how many rows there are; and what a mutant keeps of each call."""

    def __init__(self, app: Any, log: CountingLog, leak: str | None) -> None:
        self._app, self._log, self._leak = app, log, leak
        self._kept: list[object] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["raw_path"] == b"/rows":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": str(self._log.rows).encode()})
            return
        if scope["type"] == "http" and self._leak == "bodies":
            self._kept.append(bytearray(20_000))
        if scope["type"] == "http" and self._leak == "sockets":
            self._kept.append(socket.socket())
        await self._app(scope, receive, send)


def main(provider: str, leak: str | None) -> None:
    logger.setLevel(logging.ERROR)
    log = CountingLog()
    app = Gateway(
        gate=ForgetfulGate(),
        keys=KEK,
        upstream=UpstreamClient(Origins(overrides=dict.fromkeys(PROVIDERS, provider), demo_url=None)),
        request_log=log,
        region=Region.US,
        key_prefixes=("np_",),
        max_body_bytes=1 << 20,
    )
    hosted = HostedApp(Told(app, log, leak))
    hosted.start()
    print(hosted.port, flush=True)
    sys.stdin.read()
    hosted.stop()


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
