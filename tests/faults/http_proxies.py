"""The proxy that the harness kills, and the mutant it must catch: a process that takes JSON and a listening socket."""

import json
import socket
import sys
from contextlib import suppress

import uvicorn
from navplane.errors import DependencyUnavailable
from navplane.gate.gate_postgres import PostgresGate
from navplane.gateway.app import Gateway
from navplane.gateway.threads import GATE_THREADS
from navplane.model.tenancy import Region
from navplane.model.usage_event import UsageEvent
from navplane.queue.sqs import SqsRequestLog
from navplane.store.database import Database, connector
from navplane.upstream.client import UpstreamClient
from navplane.upstream.origin import Origins
from navplane_cli.serve_protocol import StrictProtocol

from tests.support.gateway import KEK, MAX_BODY_BYTES

# Says which proxy has answered.
HEADER = "x-proxy"


class Forgetful(SqsRequestLog):
    """A mutant: what the queue does not take is gone."""

    def publish(self, event: UsageEvent) -> None:
        with suppress(DependencyUnavailable):
            self.send(event)


def main(settings: dict[str, str]) -> None:
    connect = connector(
        host=settings["host"],
        port=5432,
        name=settings["name"],
        user="navplane_gate",
        password=lambda: settings["password"],
        tls=False,
        tls_ca_file=None,
    )
    log = Forgetful if settings["kind"] == "forgetful" else SqsRequestLog
    app = Gateway(
        gate=PostgresGate(Database(connect, size=GATE_THREADS + 8, wait_seconds=5)),
        keys=KEK,
        upstream=UpstreamClient(Origins(overrides={"openai": settings["upstream"]}, demo_url=None)),
        request_log=log(queue_url=settings["queue"]),
        region=Region.US,
        key_prefixes=("np_",),
        max_body_bytes=MAX_BODY_BYTES,
    )
    config = uvicorn.Config(
        app, http=StrictProtocol, lifespan="on", access_log=False, log_level="critical", server_header=False, date_header=False,
        headers=[(HEADER, settings["proxy"])], timeout_graceful_shutdown=30,
    )  # fmt: skip
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=int(settings["socket"]))])


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
