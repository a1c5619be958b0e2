"""What functions stand on: the database, the gate, the queue, providers' addresses, mail, secrets held elsewhere."""

from typing import TYPE_CHECKING

from navplane.config import DatabaseAuth, DatabaseSettings, HeldSecret, MailSettings, UpstreamSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from navplane.gate.gate import Gate
    from navplane.model.mail import Mailer
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


def mailer(settings: MailSettings) -> "Mailer | None":
    """None where nobody said who mail is from."""
    if settings.outbox is not None:
        from navplane.mail.outbox import OutboxMailer

        return OutboxMailer(settings.outbox)
    if settings.sender is None:
        return None
    from navplane.mail.ses import SesMailer

    return SesMailer(sender=settings.sender)


def held(settings: HeldSecret) -> "Secret":
    if settings.value is not None:
        return settings.value
    from navplane.crypto.secrets_manager import key_from_secrets_manager

    assert settings.secret_id is not None
    return key_from_secrets_manager(settings.secret_id, what=settings.name)


def _password_source(settings: DatabaseSettings) -> "Callable[[], str]":
    if settings.auth is DatabaseAuth.IAM:
        from navplane.store.iam_token import IamToken

        return IamToken(host=settings.host, port=settings.port, user=settings.user)
    password = settings.password
    assert password is not None
    return lambda: password.reveal().decode()
