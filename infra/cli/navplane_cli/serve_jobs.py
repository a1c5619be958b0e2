"""The jobs of the log plane that `navplane serve` does beside serving, put together from its settings."""

import threading
from datetime import UTC, datetime

from navplane import wiring
from navplane.admin.export_work import ExportWork
from navplane.config import NotifierSettings, ProbeSettings
from navplane.custody.notify import Notifier
from navplane.custody.probe_provider import ProviderProbe
from navplane.custody.sign_audit import AuditSigner
from navplane.gate.gate_postgres import PostgresGate
from navplane.ingest.collect_usage import Asking
from navplane.ingest.consume import Consumer
from navplane.ingest.jobs import Jobs
from navplane.ingest.platform_alerts import DeadLetterCount, no_queue
from navplane.ingest.reap import Reaper
from navplane.queue.dead_letter_count import SqsDeadLetterCount
from navplane.queue.message import DeadLetters, MessageSource
from navplane.queue.postgres import PostgresMessages
from navplane.queue.request_log import QueueAge
from navplane.queue.sqs import SqsDeadLetters, SqsMessages, SqsQueueAge
from navplane.store.database import Database

from navplane_cli.serve_settings import ServeSettings


def assemble_jobs(settings: ServeSettings) -> Jobs:
    """Each part connects as the role that its Lambda has."""
    stop, signer, notifier = threading.Event(), _audit_signer(settings), _notifier(settings)
    reconciler = wiring.reconciler(_probe_settings(settings))
    writer = wiring.database(settings.roles.of("navplane_writer"), size=3)
    source, dead_letters, age = _queue(settings, writer, stop)
    gate = PostgresGate(writer)
    return Jobs(
        source=source,
        consumer=Consumer(database=writer, gate=gate, dead_letters=dead_letters, now=lambda: datetime.now(UTC)),
        reaper=Reaper(gate=gate, database=writer, queue_age=age),
        database=writer,
        stop=stop,
        keep_months=settings.request_log_months,
        asking=Asking(probe=provider_probe(settings), region=settings.region),
        dead_letters=_dead_letter_count(settings),
        every_minute={
            "audit_sign": signer.sign,
            "certify": signer.certify,
            "exports": ExportWork(database=writer).run,
            "notifier": lambda _: notifier.run(),
            "reconcile": lambda _: reconciler.run(),
        },
    )


def provider_probe(settings: ServeSettings) -> ProviderProbe:
    return wiring.provider_probe(_probe_settings(settings))


def _probe_settings(settings: ServeSettings) -> ProbeSettings:
    database = settings.roles.of("navplane_probe")
    return ProbeSettings(database=database, kek=settings.kek, upstream=settings.upstream, region=settings.region)


def _audit_signer(settings: ServeSettings) -> AuditSigner:
    database = wiring.database(settings.roles.of("navplane_signer"), size=1)
    return AuditSigner(database=database, kek=wiring.kek(settings.kek), region=settings.region)


def _notifier(settings: ServeSettings) -> Notifier:
    return wiring.notifier(
        NotifierSettings(
            database=settings.roles.of("navplane_notifier"),
            kek=settings.kek,
            mail_from=settings.mail.sender or "",
            loopback=settings.upstream.loopback,
        )
    )


def _dead_letter_count(settings: ServeSettings) -> DeadLetterCount:
    if settings.queue is None:
        return no_queue
    return SqsDeadLetterCount(dead_letter_queue_url=settings.queue.dead_letter_queue_url)


def _queue(settings: ServeSettings, writer: Database, stop: threading.Event) -> tuple[MessageSource, DeadLetters, QueueAge]:
    if settings.queue is None:
        table = PostgresMessages(writer, stop=stop)
        return table, table, table
    return (
        SqsMessages(queue_url=settings.queue.queue_url),
        SqsDeadLetters(queue_url=settings.queue.dead_letter_queue_url),
        SqsQueueAge(queue_url=settings.queue.queue_url),
    )
