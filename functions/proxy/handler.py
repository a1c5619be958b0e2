"""The data plane: provider calls with an API key, streamed. An ASGI application on our own runtime layer."""

from navplane import wiring
from navplane.config import ProxySettings
from navplane.gateway.app import Gateway
from navplane.gateway.threads import GATE_THREADS
from navplane.upstream.client import UpstreamClient

settings = ProxySettings.from_env()
app = Gateway(
    gate=wiring.late_gate(settings.database, connections=GATE_THREADS),
    keys=wiring.kek_unwrapper(settings.kek),
    upstream=UpstreamClient(wiring.origins(settings.upstream, region=settings.region)),
    request_log=wiring.chained_request_log(settings.queue_url, settings.database),
    region=settings.region,
    key_prefixes=settings.key_prefixes,
    max_body_bytes=settings.max_body_bytes,
)
