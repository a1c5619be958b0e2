"""request_log_writer and maintenance as they are deployed: their handlers, their settings, a real Postgres, SQS by moto."""

import runpy
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from navplane.gate.gate import Caller
from navplane.model.ids import new_request_id
from navplane.model.usage import Usage
from navplane.store.database import Connection

import functions
from tests.support.moto_server import aws_environment, moto_server
from tests.support.postgres import TestDatabase
from tests.support.tenants import reservation_states, seed_caller, seed_reservations
from tests.support.usage_events import usage_event

Handler = Callable[[dict[str, Any], Any], Any]
HANDLERS = Path(functions.__file__).parent


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with moto_server() as url:
        yield url


@pytest.fixture
def queues(endpoint: str, module_database: TestDatabase, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The environment of both functions; what they need is in it and nothing else."""
    environment = {**aws_environment(endpoint), **module_database.settings("navplane_writer")}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    sqs, suffix = boto3.client("sqs"), usage_event().request_id
    urls = {
        "QUEUE_URL": sqs.create_queue(QueueName=f"usage-{suffix}")["QueueUrl"],
        "DEAD_LETTER_QUEUE_URL": sqs.create_queue(QueueName=f"dead-{suffix}")["QueueUrl"],
    }
    for name, value in urls.items():
        monkeypatch.setenv(name, value)
    return urls


@pytest.fixture
def load(queues: dict[str, str]) -> Iterator[Callable[[str], Handler]]:
    loaded = []

    def handler_of(name: str) -> Handler:
        module = runpy.run_path(str(HANDLERS / name / "handler.py"))
        loaded.append(module)
        handler: Handler = module["handler"]
        return handler

    yield handler_of
    for module in loaded:
        module["database"].close()


@pytest.fixture
def superuser(module_database: TestDatabase) -> Iterator[Connection]:
    with module_database.superuser() as connection:
        yield connection


@pytest.fixture
def caller(superuser: Connection) -> Caller:
    return seed_caller(superuser)


def sqs_event(*bodies: str) -> dict[str, Any]:
    return {"Records": [{"messageId": f"m-{n}", "body": body, "eventSource": "aws:sqs"} for n, body in enumerate(bodies)]}


def row_count(superuser: Connection, caller: Caller) -> int:
    return int(superuser.run("SELECT count(*) FROM request_logs WHERE org_id = :org", org=caller.org_id)[0][0])


def test_the_writer_records_a_batch_and_sends_its_poison_to_the_dead_letter_queue(
    load: Callable[[str], Handler], queues: dict[str, str], superuser: Connection, caller: Caller
) -> None:
    event = usage_event(usage=Usage(input_tokens=5))
    seed_reservations(superuser, caller, [event.request_id])
    writer = load("request_log_writer")
    assert writer(sqs_event(event.to_json(), "{poison", event.to_json()), None) == {"batchItemFailures": []}
    assert row_count(superuser, caller) == 1
    assert reservation_states(superuser, [event.request_id]) == {event.request_id: ("final", 5)}
    [letter] = boto3.client("sqs").receive_message(QueueUrl=queues["DEAD_LETTER_QUEUE_URL"], MessageAttributeNames=["All"])[
        "Messages"
    ]
    assert letter["Body"] == "{poison"
    assert letter["MessageAttributes"]["reason"]["StringValue"] == "not a usage event of a known wire version"


def test_poison_that_the_dead_letter_queue_does_not_take_is_the_one_item_that_failed(
    load: Callable[[str], Handler], queues: dict[str, str], superuser: Connection, caller: Caller
) -> None:
    writer = load("request_log_writer")
    boto3.client("sqs").delete_queue(QueueUrl=queues["DEAD_LETTER_QUEUE_URL"])
    answer = writer(sqs_event(usage_event(key_id=caller.key_id).to_json(), "{poison"), None)
    assert answer == {"batchItemFailures": [{"itemIdentifier": "m-1"}]}
    assert row_count(superuser, caller) == 1


def test_maintenance_closes_what_a_dead_proxy_left_and_answers_counts(
    load: Callable[[str], Handler], superuser: Connection, caller: Caller
) -> None:
    abandoned = new_request_id(datetime.now(UTC) - timedelta(hours=2))
    seed_reservations(superuser, caller, [abandoned], state="reserved", tokens=9)
    answer = load("maintenance")({"source": "aws.events"}, None)
    assert set(answer) == {
        "partitions_made",
        "prices_loaded",
        "events_recorded",
        "reservations_closed",
        "reservations_deleted",
        "windows_forgotten",
        "contents_forgotten",
        "sums_differing",
        "alerts_told",
        "months_dropped",
        "answers_forgotten",
        "job_steps",
        "export_steps",
    }
    assert answer["reservations_closed"] == 1
    assert row_count(superuser, caller) == 1
    assert reservation_states(superuser, [abandoned]) == {abandoned: ("final", 9)}


def test_maintenance_waits_while_events_are_queued_whose_age_nobody_knows(
    load: Callable[[str], Handler], queues: dict[str, str], superuser: Connection, caller: Caller
) -> None:
    abandoned = new_request_id(datetime.now(UTC) - timedelta(hours=2))
    seed_reservations(superuser, caller, [abandoned], state="reserved")
    boto3.client("sqs").send_message(QueueUrl=queues["QUEUE_URL"], MessageBody="{}")
    assert load("maintenance")({}, None)["reservations_closed"] == 0
    assert row_count(superuser, caller) == 0
