"""What waits is sent, signed, under one id however often; what fails comes back later, and in the end is dead."""

import base64
import hashlib
import hmac
import json
import os
import random
import socket
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import boto3
import pytest
from navplane.crypto.envelope import kek_id_of, seal
from navplane.crypto.kek_local import LocalKek
from navplane.crypto.webhook_signature import new_secret
from navplane.custody.notify import Notifier
from navplane.errors import DependencyUnavailable
from navplane.model.alert import AlertKind, Crossing
from navplane.model.alert_delivery import TRIES, secret_place
from navplane.model.ids import new_id
from navplane.model.provider_key import Secret
from navplane.store import alerts
from navplane.store.database import Connection, sqlstate
from pg8000.exceptions import DatabaseError

from tests.support.http_script import Answer, Request, serving
from tests.support.moto_server import aws_environment, moto_server
from tests.support.postgres import TestDatabase
from tests.support.tenants import seed_caller

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.fixture
def superuser(databases: TestDatabase) -> Iterator[Connection]:
    with databases.superuser() as connection:
        yield connection


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with moto_server() as url:
        for name, value in aws_environment(url).items():
            monkeypatch.setenv(name, value)
        yield url


@dataclass(slots=True)
class Clock:
    now: datetime = NOW

    def __call__(self) -> datetime:
        return self.now


@dataclass(slots=True, kw_only=True)
class Stage:
    databases: TestDatabase
    superuser: Connection
    kek: LocalKek
    clock: Clock
    notifier: Notifier
    org_id: UUID

    def destination(
        self, url: str, *, kind: str = "webhook", alerts: str = "budget", region: str = "us"
    ) -> tuple[UUID, Secret]:
        destination_id, secret = new_id(), new_secret()
        place = secret_place(org_id=self.org_id, destination_id=destination_id, region=region)
        sealed = seal(secret, context=place, kek=self.kek) if kind == "webhook" else b""
        self.superuser.run(
            "INSERT INTO alert_destinations"
            " (id, org_id, name, kind, address, alerts, enabled, region, sealed, kek_id, created_at)"
            " VALUES (:id, :org, :name, :kind, :url, :alerts, true, 'us', :sealed, :kek, :now)",
            id=destination_id, org=self.org_id, name=str(destination_id), kind=kind, url=url, alerts=[alerts], sealed=sealed,
            kek=kek_id_of(sealed) if sealed else "", now=NOW,
        )  # fmt: skip
        return destination_id, secret

    def tell(self, threshold: int = 50) -> int:
        crossing = Crossing(
            org_id=self.org_id, kind=AlertKind.BUDGET, subject="limit/1", window_name="d:2026-11-21", threshold=threshold,
            title=f"{threshold}% is spent", facts={"spent": "1.5"},
        )  # fmt: skip
        with self.databases.as_role("navplane_writer", size=1).transaction() as db:
            return alerts.tell(db, [crossing], now=self.clock())

    def rows(self) -> list[Any]:
        found: list[Any] = self.superuser.run(
            "SELECT state, attempts, last_error FROM alert_deliveries ORDER BY created_at, id"
        )
        return found


@pytest.fixture
def stage(databases: TestDatabase, superuser: Connection) -> Stage:
    kek, clock = LocalKek(os.urandom(32)), Clock()
    pool = databases.as_role("navplane_notifier", size=4)
    notifier = Notifier(database=pool, keys=kek, loopback=True, clock=clock, dice=random.Random(1))
    org_id = seed_caller(superuser).org_id
    return Stage(databases=databases, superuser=superuser, kek=kek, clock=clock, notifier=notifier, org_id=org_id)


def is_signed(request: Request, secret: Secret) -> bool:
    """As a receiver checks it, by Standard Webhooks."""
    signed = f"{request.headers['webhook-id']}.{request.headers['webhook-timestamp']}.".encode() + request.body
    key = base64.b64decode(secret.reveal().removeprefix(b"whsec_"))
    wanted = base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
    return hmac.compare_digest(request.headers["webhook-signature"], f"v1,{wanted}")


def test_a_notification_is_posted_once_to_each_who_wants_it_and_signed_with_their_secret(stage: Stage) -> None:
    with serving(lambda _: Answer(status=204)) as receiver:
        _, secret = stage.destination(receiver.url + "/hook?token=x")
        stage.destination(receiver.url + "/other", alerts="spike")
        assert stage.tell() == 1
        # Seen again, it is not told again.
        assert stage.tell() == 0
        assert stage.notifier.run()["deliveries_tried"] == 1
        assert stage.notifier.run()["deliveries_tried"] == 0
    (request,) = receiver.requests
    assert (request.method, request.path) == ("POST", "/hook?token=x")
    assert is_signed(request, secret)
    assert not is_signed(replace(request, body=request.body + b" "), secret)
    assert request.headers["webhook-timestamp"] == str(int(NOW.timestamp()))
    sent = json.loads(request.body)
    assert sent["type"] == "alert.budget"
    assert (sent["data"]["threshold"], sent["data"]["facts"]) == (50, {"spent": "1.5"})
    assert sent["data"]["organization_id"] == str(stage.org_id)
    assert stage.rows() == [["delivered", 1, None]]


def test_what_fails_comes_back_later_under_the_same_id_and_with_the_same_body(stage: Stage) -> None:
    with serving(lambda _: Answer(status=500, body=b"SECRET of theirs")) as receiver:
        stage.destination(receiver.url)
        stage.tell()
        stage.notifier.run()
        stage.notifier.run()
        assert stage.rows() == [["pending", 1, "Answered with status 500."]]
        receiver.script = lambda _: Answer()
        stage.clock.now += timedelta(minutes=1)
        stage.notifier.run()
    first, second = receiver.requests
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.body == second.body
    assert stage.rows() == [["delivered", 2, None]]


def test_after_the_last_try_it_is_dead_and_said_so(stage: Stage) -> None:
    with serving(lambda _: Answer(status=500)) as receiver:
        stage.destination(receiver.url)
        stage.tell()
        for _ in range(TRIES + 3):
            stage.notifier.run()
            stage.clock.now += timedelta(hours=4)
    assert len(receiver.requests) == TRIES
    assert stage.rows() == [["dead", TRIES, "Answered with status 500."]]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Answer(status=302, headers={"location": "http://127.0.0.1:1/"}), "Answered with status 302."),
        (Answer(status=410), "Answered with status 410."),
    ],
)
def test_no_redirect_is_followed_and_only_2xx_is_delivered(stage: Stage, answer: Answer, said: str) -> None:
    with serving(lambda _: answer) as receiver:
        stage.destination(receiver.url)
        stage.tell()
        stage.notifier.run()
    assert len(receiver.requests) == 1
    assert stage.rows() == [["pending", 1, said]]


@pytest.mark.parametrize("url", ["https://localhost.localdomain/", "http://169.254.169.254/", "http://127.0.0.1:9/"])
def test_an_address_that_leads_inside_is_never_connected_to(stage: Stage, url: str) -> None:
    """Stored by whatever rules: what counts is where it leads now."""
    stage.destination(url)
    stage.tell()
    replace(stage.notifier, loopback=False).run()
    ((state, attempts, error),) = stage.rows()
    assert (state, attempts) == ("pending", 1)
    assert error in (
        "The address begins with https:// and a host name.",
        "The name leads to an address that is not public.",
        "The address could not be reached.",
    )


@pytest.mark.parametrize("addresses", [["127.0.0.1"], ["169.254.169.254"], ["8.8.8.8", "10.0.0.1"]])
def test_a_name_that_leads_inside_is_looked_at_for_every_delivery(
    stage: Stage, addresses: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def resolve(host: str, port: int, **_: object) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    stage.destination("https://hooks.example.com/x")
    stage.tell()
    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    stage.notifier.run()
    assert stage.rows() == [["pending", 1, "The name leads to an address that is not public."]]


def test_one_that_is_deleted_or_switched_off_is_given_up_without_being_asked(stage: Stage) -> None:
    with serving(lambda _: Answer()) as receiver:
        destination_id, _ = stage.destination(receiver.url)
        stage.tell()
        stage.superuser.run("UPDATE alert_destinations SET enabled = false WHERE id = :id", id=destination_id)
        stage.notifier.run()
        assert stage.tell(80) == 1
    assert receiver.requests == []
    assert [row[0] for row in stage.rows()] == ["dead"]


def test_a_secret_in_another_place_signs_nothing(stage: Stage) -> None:
    """Swapped between two destinations of one organization, and sealed for another region."""
    with serving(lambda _: Answer()) as receiver:
        ids = [stage.destination(receiver.url)[0] for _ in range(2)]
        stage.destination(receiver.url, region="eu")
        stage.superuser.run(
            "UPDATE alert_destinations AS d SET sealed = o.sealed FROM alert_destinations AS o"
            " WHERE d.id = ANY(:ids) AND o.id = ANY(:ids) AND o.id <> d.id",
            ids=ids,
        )
        stage.tell()
        stage.notifier.run()
    assert receiver.requests == []
    assert stage.rows() == [["pending", 1, "The sealed value could not be opened."]] * 3


class Away:
    """A KEK that can't be asked."""

    def unwrap(self, wrapped: bytes, *, kek_id: str, context: object) -> bytes:
        raise DependencyUnavailable("The KEK is away.")


def test_while_the_kek_is_away_nothing_counts_as_a_try(stage: Stage) -> None:
    with serving(lambda _: Answer()) as receiver:
        stage.destination(receiver.url)
        stage.tell()
        replace(stage.notifier, keys=Away()).run()
        assert stage.rows() == [["pending", 0, None]]
        stage.clock.now += timedelta(minutes=2)
        stage.notifier.run()
    assert stage.rows() == [["delivered", 1, None]]


def test_the_sender_that_died_is_followed_by_one_that_sends_again_once_its_lease_is_over(stage: Stage) -> None:
    with serving(lambda _: Answer()) as receiver:
        stage.destination(receiver.url)
        stage.tell()
        assert stage.notifier._claim() is not None
        assert stage.notifier.run()["deliveries_tried"] == 0
        stage.clock.now += timedelta(minutes=2)
        assert stage.notifier.run()["deliveries_tried"] == 1
    assert stage.rows() == [["delivered", 1, None]]


def test_what_was_finished_long_ago_is_forgotten_and_what_waits_is_not(stage: Stage) -> None:
    with serving(lambda _: Answer()) as receiver:
        stage.destination(receiver.url)
        stage.tell()
        stage.notifier.run()
    stage.clock.now += timedelta(days=36)
    stage.destination("http://127.0.0.1:9/")
    stage.tell(80)
    assert stage.notifier.run(0)["deliveries_forgotten"] == 1
    assert {row[0] for row in stage.rows()} == {"pending"}


def test_mail_and_topics_get_it_by_way_of_aws(stage: Stage, aws: str) -> None:
    session = boto3.Session("x", "x", region_name="us-east-1")
    session.client("ses", endpoint_url=aws).verify_email_identity(EmailAddress="alerts@example.com")
    topic = session.client("sns", endpoint_url=aws).create_topic(Name="alerts")["TopicArn"]
    sqs = session.client("sqs", endpoint_url=aws)
    queue = sqs.create_queue(QueueName="subscribed")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    session.client("sns", endpoint_url=aws).subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    stage.destination("ops@example.com", kind="email")
    stage.destination(topic, kind="sns")
    stage.tell()
    replace(stage.notifier, mail_from="alerts@example.com").run()
    assert stage.rows() == [["delivered", 1, None]] * 2
    (message,) = sqs.receive_message(QueueUrl=queue)["Messages"]
    received = json.loads(message["Body"])
    assert received["Subject"] == "NavPlane: 50% is spent"
    assert json.loads(received["Message"])["type"] == "alert.budget"
    (delivery,) = stage.superuser.run(
        "SELECT d.id FROM alert_deliveries AS d JOIN alert_destinations AS t ON t.id = d.destination_id WHERE t.kind = 'sns'"
    )
    assert received["MessageAttributes"]["delivery_id"]["Value"] == str(delivery[0])
    assert session.client("ses", endpoint_url=aws).get_send_quota()["SentLast24Hours"] == 1


def test_mail_without_a_sender_and_a_topic_that_is_not_there_say_why(stage: Stage, aws: str) -> None:
    stage.destination("ops@example.com", kind="email")
    stage.tell()
    stage.notifier.run()
    assert stage.rows() == [["pending", 1, "There is no mail here: MAIL_SENDER is not set."]]
    stage.superuser.run("DELETE FROM alert_deliveries")
    stage.destination("arn:aws:sns:us-east-1:123456789012:gone", kind="sns")
    stage.tell(80)
    stage.notifier.run()
    assert ["pending", 1, "SNS did not take the message: NotFound."] in stage.rows()


def test_the_sender_sees_what_it_sends_and_nothing_else(stage: Stage) -> None:
    pool = stage.databases.as_role("navplane_notifier", size=1)
    forbidden = (
        "SELECT name FROM public.alert_destinations",
        "UPDATE public.alert_destinations SET address = 'x'",
        "INSERT INTO public.alert_deliveries (id) VALUES (gen_random_uuid())",
        "UPDATE public.alert_deliveries SET body = 'x'",
        "SELECT sealed FROM public.provider_keys",
        "SELECT id FROM public.organizations",
        "SELECT id FROM public.notifications",
    )
    for sql in forbidden:
        with pytest.raises(DatabaseError) as refused, pool.transaction() as db:
            db.run(sql)
        assert sqlstate(refused.value) == "42501", sql
