"""What each function does its work with, whole."""

from typing import TYPE_CHECKING

from navplane.config import (
    CONSOLE_PATH,
    AdminSettings,
    ConsoleSettings,
    NotifierSettings,
    ProbeSettings,
    ProviderKeysSettings,
    TenancySettings,
)
from navplane.wiring.dependencies import database, held, mailer, origins, request_log
from navplane.wiring.keys import kek_unwrapper, kek_wrapper, successor_wrapper

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx2

    from navplane.admin.plane import Plane
    from navplane.console.site import Console
    from navplane.custody.notify import Notifier
    from navplane.custody.probe_provider import ProviderProbe
    from navplane.custody.reconcile import Reconciler
    from navplane.model.price_line import PricedCall, PriceLine


def admin_plane(settings: AdminSettings, *, records_users: bool, size: int = 2) -> "Plane":
    """What the admin functions without provider keys work with. `records_users` is False under a role that only reads."""
    from navplane.admin.access import Access
    from navplane.admin.pace import Pace
    from navplane.admin.plane import Plane
    from navplane.crypto.token import TokenVerifier

    db, conduct = database(settings.database, size=size), settings.conduct
    access = Access(
        TokenVerifier(settings.oidc.issuer, settings.oidc.audience, others=settings.oidc.others),
        database=db,
        admin_subjects=settings.oidc.admin_subjects,
        records_users=records_users,
        pace=Pace(reads_per_minute=conduct.reads_per_minute, writes_per_minute=conduct.writes_per_minute),
    )
    return Plane(
        database=db,
        access=access,
        region=settings.region,
        key_prefixes=settings.key_prefixes,
        cors_origins=conduct.cors_origins,
    )


def tenancy_plane(settings: TenancySettings) -> "Plane":
    """The plane of who invites people."""
    from dataclasses import replace

    return replace(admin_plane(settings.admin, records_users=True), mailer=mailer(settings.mail))


def analytics_plane(settings: AdminSettings, *, size: int = 2) -> "Plane":
    """The plane of who only reads."""
    from dataclasses import replace

    return replace(admin_plane(settings, records_users=False, size=size), list_lines=list_lines)


def list_lines(call: "PricedCall") -> "tuple[PriceLine, ...] | None":
    """The price list takes half a second to load: the first who asks for a list price's lines waits for it."""
    from navplane.ingest.list_lines import list_lines as lines

    return lines(call)


def provider_keys_plane(settings: ProviderKeysSettings, *, size: int = 2) -> "Plane":
    """The same with what provider keys take, and with the probes of /ready."""
    from dataclasses import replace

    from navplane.admin.plane import KeyDesk
    from navplane.admin.readiness import Readiness, database_probe, kek_probe
    from navplane.queue.function_call import FunctionProbe

    plane = admin_plane(settings.admin, records_users=True, size=size)
    kek, log = kek_wrapper(settings.kek), request_log(settings.queue_url)
    probes = {"database": database_probe(plane.database), "kek": kek_probe(kek), "queue": log.ready}
    desk = KeyDesk(
        kek=kek,
        successor=successor_wrapper(settings.kek),
        origins=origins(settings.upstream, region=settings.admin.region),
        loopback=settings.upstream.loopback,
    )
    return replace(plane, key_desk=desk, probe=FunctionProbe(settings.probe_function), readiness=Readiness(probes))


def provider_probe(settings: ProbeSettings) -> "ProviderProbe":
    from navplane.custody.probe_provider import ProviderProbe

    return ProviderProbe(
        database=database(settings.database, size=1),
        keys=kek_unwrapper(settings.kek),
        origins=origins(settings.upstream, region=settings.region),
    )


def reconciler(settings: ProbeSettings) -> "Reconciler":
    from navplane.custody.reconcile import Reconciler
    from navplane.upstream.providers import PROVIDERS
    from navplane.upstream.usage_reports import REPORTING, UsageReports

    where = origins(settings.upstream, region=settings.region)
    asked = {name: where.of(PROVIDERS[name], demo=False) for name in REPORTING if where.has(PROVIDERS[name])}
    db = database(settings.database, size=1)
    reports = UsageReports(asked)
    return Reconciler(database=db, keys=kek_unwrapper(settings.kek), reports=reports, region=settings.region)


def notifier(settings: NotifierSettings) -> "Notifier":
    from navplane.custody.notify import SENDERS, Notifier

    return Notifier(
        database=database(settings.database, size=SENDERS),
        keys=kek_unwrapper(settings.kek),
        mail_from=settings.mail_from,
        loopback=settings.loopback,
    )


def console(settings: ConsoleSettings, *, transport: "Callable[[], httpx2.AsyncBaseTransport] | None" = None) -> "Console":
    """`transport` leads to the admin API where that is not over the network."""
    from navplane.console.admin_api import AdminApi
    from navplane.console.identity_provider import Client, IdentityProvider
    from navplane.console.site import Console, Site
    from navplane.crypto.cookie import CookieSeal

    secret = held(settings.client_secret) if settings.client_secret else None
    client = Client(id=settings.client_id, secret=secret)
    return Console(
        provider=IdentityProvider(settings.issuer, client=client, audience=settings.audience),
        admin=AdminApi(settings.admin_api_url, transport=transport),
        seal=CookieSeal(held(settings.session_key)),
        site=Site(origin=settings.url.removesuffix(CONSOLE_PATH)) if settings.url else None,
    )
