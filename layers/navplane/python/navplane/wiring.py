"""From settings to objects: what the functions and `navplane serve` share. Imports are late, so that a function loads only
what it uses (a cold start pays for every import)."""

from typing import TYPE_CHECKING

from navplane.config import (
    CONSOLE_PATH,
    AdminSettings,
    ConsoleSettings,
    CustodySettings,
    DatabaseAuth,
    DatabaseSettings,
    HeldSecret,
    KekProvider,
    KekSettings,
    MailSettings,
    NotifierSettings,
    ProbeSettings,
    ProviderKeysSettings,
    TenancySettings,
    UpstreamSettings,
)
from navplane.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx2

    from navplane.admin.plane import Plane
    from navplane.console.site import Console
    from navplane.crypto.kek import Kek, KekUnwrapper, KekWrapper
    from navplane.crypto.kek_aws_kms import AwsKmsKek
    from navplane.crypto.kek_local import LocalKek
    from navplane.custody.notify import Notifier
    from navplane.custody.probe_provider import ProviderProbe
    from navplane.custody.reconcile import Reconciler
    from navplane.custody.rewrap import Rewrapper
    from navplane.gate.gate import Gate
    from navplane.model.mail import Mailer
    from navplane.model.price_line import PricedCall, PriceLine
    from navplane.model.provider_key import Secret
    from navplane.model.tenancy import Region
    from navplane.queue.chain import Sender
    from navplane.queue.request_log import RequestLog
    from navplane.store.database import Database
    from navplane.upstream.origin import Origins


def database(settings: DatabaseSettings, *, size: int, timeout_seconds: float = 5.0) -> "Database":
    """`timeout_seconds` bounds each statement: one second for what asks the gate on the way of a request."""
    from navplane.store.database import Database, connector

    return Database(
        connector(
            host=settings.host,
            port=settings.port,
            name=settings.name,
            user=settings.user,
            password=_password_source(settings),
            tls=settings.tls,
            tls_ca_file=settings.tls_ca_file,
            timeout_seconds=timeout_seconds,
        ),
        size=size,
    )


def late_gate(settings: DatabaseSettings, *, connections: int) -> "Gate":
    """The gate in Postgres, made at its first use: importing pg8000 is a fifth of a second."""
    from navplane.gate.gate_late import LateGate

    def make() -> "Gate":
        from navplane.gate.gate_postgres import PostgresGate

        return PostgresGate(database(settings, size=connections, timeout_seconds=1))

    return LateGate(make)


def _password_source(settings: DatabaseSettings) -> "Callable[[], str]":
    if settings.auth is DatabaseAuth.IAM:
        from navplane.store.iam_token import IamToken

        return IamToken(host=settings.host, port=settings.port, user=settings.user)
    password = settings.password
    assert password is not None
    return lambda: password.reveal().decode()


def kek_wrapper(settings: KekSettings) -> "KekWrapper":
    return _kek(settings)


def successor_wrapper(settings: KekSettings) -> "KekWrapper | None":
    """What seals once the KEK is being retired."""
    return _kek(settings.successor) if settings.successor else None


def kek(settings: KekSettings) -> "Kek":
    """Both halves, for what keeps a sealed key of its own. While a KEK is being replaced, what either sealed opens."""
    if settings.successor is None:
        return _kek(settings)
    from navplane.crypto.kek_ring import KekRing

    return KekRing(current=_kek(settings), successor=_kek(settings.successor))


def kek_unwrapper(settings: KekSettings) -> "KekUnwrapper":
    """Data keys are kept unwrapped for up to five minutes."""
    from navplane.crypto.kek_cache import CachingKek

    return CachingKek(kek(settings))


def rewrapper(settings: CustodySettings) -> "Rewrapper":
    """Raise ConfigurationError where no new KEK is set."""
    from navplane.custody.rewrap import Rewrapper

    if settings.kek.successor is None:
        raise ConfigurationError(
            "There is no new KEK: set ENCRYPTION_KEY_NEW, ENCRYPTION_KEY_NEW_SECRET_ID or KMS_KEY_ID_NEW here and in everything"
            " else that uses the KEK, and begin then."
        )
    db = database(settings.database, size=1)
    return Rewrapper(database=db, old=_kek(settings.kek), new=_kek(settings.kek.successor))


def _kek(settings: KekSettings) -> "AwsKmsKek | LocalKek":
    if settings.provider is KekProvider.AWS_KMS:
        from navplane.crypto.kek_aws_kms import AwsKmsKek

        assert settings.kms_key_id is not None
        return AwsKmsKek(settings.kms_key_id)
    from navplane.crypto.kek_local import LocalKek

    return LocalKek.from_base64(settings.encryption_key or _stored_encryption_key(settings))


def _stored_encryption_key(settings: KekSettings) -> "Secret":
    from navplane.crypto.secrets_manager import key_from_secrets_manager

    assert settings.encryption_key_secret_id is not None
    return key_from_secrets_manager(settings.encryption_key_secret_id)


def request_log(queue_url: str) -> "RequestLog":
    from navplane.queue.sqs import SqsRequestLog

    return SqsRequestLog(queue_url=queue_url)


def chained_request_log(queue_url: str, settings: DatabaseSettings) -> "RequestLog":
    """SQS, and where that fails the table of the database that the gate is in; `maintenance` records what is there."""
    from navplane.queue.chain import ChainedRequestLog
    from navplane.queue.sqs import SqsRequestLog

    def table() -> "Sender":
        from navplane.queue.postgres import PostgresRequestLog

        return PostgresRequestLog(database(settings, size=1, timeout_seconds=1))

    return ChainedRequestLog(SqsRequestLog(queue_url=queue_url), second=table)


def origins(settings: UpstreamSettings, *, region: "Region") -> "Origins":
    from navplane.upstream.origin import Origins

    return Origins(overrides=settings.overrides, demo_url=settings.demo_url, region=region)


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


def mailer(settings: MailSettings) -> "Mailer | None":
    """None where nobody said who mail is from."""
    if settings.outbox is not None:
        from navplane.mail.outbox import OutboxMailer

        return OutboxMailer(settings.outbox)
    if settings.sender is None:
        return None
    from navplane.mail.ses import SesMailer

    return SesMailer(sender=settings.sender)


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


def held(settings: HeldSecret) -> "Secret":
    if settings.value is not None:
        return settings.value
    from navplane.crypto.secrets_manager import key_from_secrets_manager

    assert settings.secret_id is not None
    return key_from_secrets_manager(settings.secret_id, what=settings.name)
