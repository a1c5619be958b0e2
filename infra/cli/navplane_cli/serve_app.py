"""What `navplane serve` serves: the gateway and the admin apps on one port, and the log plane's jobs beside them."""

import asyncio
import re
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, replace
from typing import Any

import httpx2
from navplane import wiring
from navplane.admin import (
    acceptance,
    alert_destinations,
    alerts,
    api_keys,
    audit,
    budgets,
    contents,
    data_mode,
    export_jobs,
    export_parts,
    exports,
    health,
    invitations,
    ledger_jobs,
    limits,
    members,
    model_prices,
    notifications,
    openapi,
    organizations,
    platform_alerts,
    platform_limits,
    platform_requests,
    platform_usage,
    policies,
    price_overrides,
    provider_key_changes,
    provider_key_tests,
    provider_keys,
    provider_settings,
    providers,
    receipts,
    reconciliation,
    request_detail,
    requests,
    routes,
    service_keys,
    shredding,
    usage,
    users,
    workspaces,
)
from navplane.admin.app import create
from navplane.admin.plane import KeyDesk, Plane
from navplane.admin.readiness import Readiness, database_probe, kek_probe
from navplane.config import AdminSettings
from navplane.console.app import create as create_console
from navplane.gate.gate_postgres import PostgresGate
from navplane.gateway.app import Gateway
from navplane.gateway.threads import GATE_THREADS, LOG_THREADS
from navplane.ingest.jobs import Jobs
from navplane.queue.postgres import PostgresRequestLog
from navplane.queue.request_log import RequestLog
from navplane.upstream.client import UpstreamClient

from navplane_cli.serve_jobs import assemble_jobs, provider_probe
from navplane_cli.serve_settings import ServeSettings

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

# The routes of the AdminApi in template.yaml; every other path is the gateway's. What only reads is served under the role that
# only reads, as its function does.
ADMIN = re.compile(r"/admin(/.*)?|/providers|/health|/ready", re.DOTALL)
CONSOLE = re.compile(r"/console(/.*)?", re.DOTALL)
ANALYTICS = re.compile(
    r"/admin/orgs/[^/]+/(requests(/[^/]+)?|(usage|exports)/[a-z]+|export-jobs/[^/]+/parts/[^/]+|audit(/export)?|budgets)"
    r"|/admin/(audit|usage|usage/exports)/[a-z]+|/v1/receipts/[^/]+",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """An ASGI 3 application. Its lifespan starts the jobs, and at the end finishes what is open: streams first (the server
    waits for those), then the events they left."""

    gateway: Gateway
    admin: App
    analytics: App
    console: App | None
    jobs: Jobs | None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self._live(receive, send)
        path = scope.get("path", "")
        if ANALYTICS.fullmatch(path):
            return await self.analytics(scope, receive, send)
        if ADMIN.fullmatch(path):
            return await self.admin(scope, receive, send)
        if self.console is not None and CONSOLE.fullmatch(path):
            return await self.console(scope, receive, send)
        return await self.gateway(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        if self.jobs is not None:
            self.jobs.start()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.gateway.aclose()
        if self.jobs is not None:
            await asyncio.to_thread(self.jobs.finish)
        await send({"type": "lifespan.shutdown.complete"})


def assemble(settings: ServeSettings, *, jobs: bool) -> Served:
    """From settings to the whole application. Each part connects as the role that its Lambda has."""
    log = _request_log(settings)
    gateway = Gateway(
        gate=PostgresGate(
            wiring.database(settings.roles.of("navplane_gate"), size=GATE_THREADS + LOG_THREADS, timeout_seconds=1)
        ),
        keys=wiring.kek_unwrapper(settings.kek),
        upstream=UpstreamClient(wiring.origins(settings.upstream, region=settings.region)),
        request_log=log,
        region=settings.region,
        key_prefixes=settings.key_prefixes,
        max_body_bytes=settings.max_body_bytes,
        closing=log if isinstance(log, PostgresRequestLog) else None,
    )
    admin = _admin(settings, log)
    return Served(
        gateway=gateway,
        admin=admin,
        analytics=_analytics(settings),
        console=_console(settings, admin),
        jobs=assemble_jobs(settings) if jobs else None,
    )


def _plane(settings: ServeSettings, role: str, *, records_users: bool) -> Plane:
    admin = AdminSettings(
        database=settings.roles.of(role),
        oidc=settings.oidc,
        region=settings.region,
        key_prefixes=settings.key_prefixes,
        conduct=settings.conduct,
    )
    return wiring.admin_plane(admin, records_users=records_users, size=4)


def _admin(settings: ServeSettings, log: RequestLog) -> App:
    plane = _plane(settings, "navplane_admin", records_users=True)
    kek = wiring.kek_wrapper(settings.kek)
    probes = {"database": database_probe(plane.database), "kek": kek_probe(kek), "queue": log.ready}
    desk = KeyDesk(
        kek=kek,
        successor=wiring.successor_wrapper(settings.kek),
        origins=wiring.origins(settings.upstream, region=settings.region),
        loopback=settings.upstream.loopback,
    )
    routers = (
        organizations.router,
        shredding.router,
        workspaces.router,
        members.router,
        invitations.router,
        acceptance.router,
        service_keys.router,
        users.router,
        api_keys.router,
        data_mode.router,
        contents.router,
        provider_settings.router,
        policies.router,
        routes.router,
        limits.router,
        alerts.router,
        notifications.router,
        platform_limits.router,
        price_overrides.router,
        ledger_jobs.router,
        export_jobs.router,
        model_prices.router,
        providers.router,
        provider_keys.router,
        provider_key_changes.router,
        provider_key_tests.router,
        alert_destinations.router,
        platform_alerts.router,
        reconciliation.router,
        health.router,
        openapi.router,
    )
    whole = replace(
        plane,
        key_desk=desk,
        mailer=wiring.mailer(settings.mail),
        probe=provider_probe(settings),
        readiness=Readiness(probes),
    )
    return create(title=openapi.TITLE, routers=routers, plane=whole)


def _analytics(settings: ServeSettings) -> App:
    plane = replace(_plane(settings, "navplane_reader", records_users=False), list_lines=wiring.list_lines)
    routers = (
        requests.router,
        request_detail.router,
        usage.router,
        exports.router,
        export_parts.router,
        budgets.router,
        platform_usage.router,
        platform_requests.router,
        audit.router,
        receipts.router,
    )
    return create(title=openapi.TITLE, routers=routers, plane=plane)


def _console(settings: ServeSettings, admin: App) -> App | None:
    if settings.console is None:
        return None
    return create_console(wiring.console(settings.console, transport=lambda: httpx2.ASGITransport(admin)))


def _request_log(settings: ServeSettings) -> RequestLog:
    if settings.queue is not None:
        return wiring.chained_request_log(settings.queue.queue_url, settings.roles.of("navplane_gate"))
    # A pool of its own: an event that waits to be stored holds up no admission.
    return PostgresRequestLog(wiring.database(settings.roles.of("navplane_gate"), size=LOG_THREADS))
