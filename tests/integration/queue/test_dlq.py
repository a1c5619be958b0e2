"""`navplane dlq`: dead letters are seen without their content and go back on their way, from SQS and from the table alike."""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import boto3
import pytest
from navplane.model.ids import new_id
from navplane.queue.message import DeadLetter, Message
from navplane.queue.postgres import PostgresMessages
from navplane.queue.redrive import NO_REASON, Shelf, redrive_all, shown
from navplane.queue.sqs import SqsDeadLetters, SqsMessages
from navplane.queue.sqs_shelf import SqsShelf
from navplane_cli.dlq import app
from typer.testing import CliRunner

from tests.support.moto_server import aws_environment, moto_server
from tests.support.postgres import TestDatabase
from tests.support.usage_events import usage_event

EVENT = usage_event(model="a-secret-of-the-caller", finish_reason="another secret")
LETTERS = {EVENT.to_json(): "SQLSTATE 23514", '{"prompt": "a secret"}': "not a usage event of a known wire version"}


@dataclass(frozen=True, slots=True)
class Place:
    """A shelf with LETTERS on it, and what a consumer of its queue is given."""

    shelf: Shelf
    take: Callable[[], Sequence[str]]
    bury: Callable[[str, str], None]


@pytest.fixture
def sqs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    with moto_server() as url:
        for name, value in aws_environment(url).items():
            monkeypatch.setenv(name, value)
        made = boto3.client("sqs")
        queue, dead = (made.create_queue(QueueName=f"{name}-{new_id()}")["QueueUrl"] for name in ("usage", "dead"))
        monkeypatch.setenv("QUEUE_URL", queue)
        monkeypatch.setenv("DEAD_LETTER_QUEUE_URL", dead)

        def bury(body: str, reason: str) -> None:
            SqsDeadLetters(queue_url=dead).bury([DeadLetter(message=Message(id="m", body=body), reason=reason)])

        shelf = SqsShelf(dead_letter_queue_url=dead, queue_url=queue)
        yield Place(shelf, lambda: [m.body for m in SqsMessages(queue_url=queue).take(100, wait_seconds=0)], bury)


@pytest.fixture
def table(databases: TestDatabase) -> Place:
    messages = PostgresMessages(databases.as_role("navplane_writer"))

    def bury(body: str, reason: str) -> None:
        message = Message(id=str(new_id()), body=body)
        with databases.superuser() as superuser:
            superuser.run("INSERT INTO usage_queue (id, body) VALUES (:id, :body)", id=message.id, body=body)
        messages.bury([DeadLetter(message=message, reason=reason)])

    return Place(messages, lambda: [message.body for message in messages.take(100, wait_seconds=0)], bury)


@pytest.fixture(params=["sqs", "table"])
def place(request: pytest.FixtureRequest) -> Place:
    found: Place = request.getfixturevalue(request.param)
    for body, reason in LETTERS.items():
        found.bury(body, reason)
    return found


def test_each_letter_has_its_reason_and_can_be_looked_at_again(place: Place) -> None:
    for _ in range(2):
        letters = place.shelf.letters(100)
        assert {letter.body: letter.reason for letter in letters} == LETTERS
        place.shelf.put_back(letters)
    assert place.take() == []


def test_what_is_shown_says_whom_it_is_about_and_nothing_that_a_caller_wrote(place: Place) -> None:
    told = [shown(letter) for letter in place.shelf.letters(100)]
    assert "secret" not in json.dumps(told)
    by_reason = {letter["reason"]: letter for letter in told}
    assert by_reason["SQLSTATE 23514"]["event"]["request_id"] == str(EVENT.request_id)
    assert by_reason["not a usage event of a known wire version"]["event"] is None
    assert by_reason["not a usage event of a known wire version"]["bytes"] == 22


def test_all_go_back_and_none_is_left(place: Place) -> None:
    assert redrive_all(place.shelf, limit=100, wanted=lambda _: True) == 2
    assert sorted(place.take()) == sorted(LETTERS)
    assert place.shelf.letters(100) == []


def test_only_the_wanted_go_back_and_the_others_stay(place: Place) -> None:
    assert redrive_all(place.shelf, limit=100, wanted=lambda letter: letter.reason == "SQLSTATE 23514") == 1
    assert place.take() == [EVENT.to_json()]
    assert [letter.reason for letter in place.shelf.letters(100)] == ["not a usage event of a known wire version"]


def test_more_than_one_batch_goes_back_once_each(place: Place) -> None:
    bodies = [usage_event().to_json() for _ in range(25)]
    for body in bodies:
        place.bury(body, "many")
    assert redrive_all(place.shelf, limit=1000, wanted=lambda letter: letter.reason == "many") == 25
    assert sorted(place.take()) == sorted(bodies)


def test_the_command_lists_and_redrives(sqs: Place) -> None:
    for body, reason in LETTERS.items():
        sqs.bury(body, reason)
    boto3.client("sqs").send_message(QueueUrl=os.environ["DEAD_LETTER_QUEUE_URL"], MessageBody="by hand")
    listed = json.loads(run("list", "--json"))
    assert {letter["reason"] for letter in listed} == {*LETTERS.values(), NO_REASON}
    assert str(EVENT.request_id) in run("list")
    assert json.loads(run("redrive", "--reason", "SQLSTATE 23514", "--json")) == {"redriven": 1}
    assert run("redrive") == "2 dead letters are on their way again.\n"
    assert run("redrive") == "0 dead letters are on their way again.\n"


def test_without_a_queue_it_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("QUEUE_URL", "DEAD_LETTER_QUEUE_URL", "NAVPLANE_QUEUE_URL", "NAVPLANE_DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)
    done = CliRunner().invoke(app, ["list"])
    assert (done.exit_code, "NAVPLANE_DATABASE_URL" in done.stderr) == (1, True)


def run(*arguments: str) -> str:
    done = CliRunner().invoke(app, list(arguments))
    assert done.exit_code == 0, done.output + done.stderr
    return done.stdout
