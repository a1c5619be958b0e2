"""Usage events through SQS (moto's server, over HTTP): taken, buried, aged, and what happens when it is away."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from navplane.errors import DependencyUnavailable
from navplane.queue import fallback
from navplane.queue.message import DeadLetter, Message
from navplane.queue.sqs import SqsDeadLetters, SqsMessages, SqsQueueAge, SqsRequestLog

from tests.support.http_script import Answer, ScriptedServer, serving
from tests.support.log_lines import captured_log
from tests.support.moto_server import aws_environment, moto_server
from tests.support.usage_events import usage_event


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with moto_server() as url:
        yield url


@pytest.fixture
def sick_sqs(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedServer]:
    """An SQS that answers whatever a test says; at first that it is unavailable."""
    with serving(lambda request: Answer(status=503)) as server:
        for name, value in aws_environment(server.url).items():
            monkeypatch.setenv(name, value)
        yield server


@pytest.fixture
def queue_url(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> str:
    for name, value in aws_environment(endpoint).items():
        monkeypatch.setenv(name, value)
    sqs = boto3.client("sqs")
    url: str = sqs.create_queue(QueueName=f"usage-{usage_event().request_id}")["QueueUrl"]
    return url


def bodies(queue_url: str) -> list[dict[str, Any]]:
    answer = boto3.client("sqs").receive_message(
        QueueUrl=queue_url, MaxNumberOfMessages=10, MessageAttributeNames=["All"], VisibilityTimeout=0
    )
    return [dict(message) for message in answer.get("Messages", [])]


def test_a_published_event_is_in_the_queue_as_its_wire_form(queue_url: str) -> None:
    event = usage_event()
    SqsRequestLog(queue_url=queue_url).publish(event)
    [message] = bodies(queue_url)
    assert message["Body"] == event.to_json()


def test_messages_are_taken_until_the_limit_and_gone_once_acknowledged(queue_url: str) -> None:
    log, source = SqsRequestLog(queue_url=queue_url), SqsMessages(queue_url=queue_url)
    for _ in range(23):
        log.publish(usage_event())
    taken = source.take(21, wait_seconds=0)
    assert len({message.id for message in taken}) == 21
    source.acknowledge(taken)
    rest = source.take(100, wait_seconds=0)
    assert len(rest) == 2
    source.acknowledge(rest)
    assert SqsQueueAge(queue_url=queue_url).oldest_event_age_seconds() == 0


def test_a_dead_letter_keeps_its_body_and_says_why(queue_url: str) -> None:
    letter = DeadLetter(message=Message(id="m-1", body="{not json"), reason="not a usage event")
    SqsDeadLetters(queue_url=queue_url).bury([letter])
    [message] = bodies(queue_url)
    assert message["Body"] == "{not json"
    attributes = {name: value["StringValue"] for name, value in message["MessageAttributes"].items()}
    assert attributes == {"reason": "not a usage event", "source_message_id": "m-1"}


def test_the_age_is_unknown_while_nothing_has_been_measured(queue_url: str) -> None:
    SqsRequestLog(queue_url=queue_url).publish(usage_event())
    assert SqsQueueAge(queue_url=queue_url).oldest_event_age_seconds() is None


def test_the_age_grows_from_the_last_measurement(queue_url: str) -> None:
    SqsRequestLog(queue_url=queue_url).publish(usage_event())
    measured_at = datetime.now(UTC) - timedelta(minutes=3)
    measure(queue_url, at=measured_at - timedelta(minutes=5), age=4000)
    measure(queue_url, at=measured_at, age=100)
    age = SqsQueueAge(queue_url=queue_url).oldest_event_age_seconds()
    assert age is not None
    # CloudWatch cuts times to the minute, so up to one more minute counts.
    assert 100 + 180 <= age <= 100 + 180 + 120


def measure(queue_url: str, *, at: datetime, age: float) -> None:
    dimensions = [{"Name": "QueueName", "Value": queue_url.rsplit("/", 1)[-1]}]
    datum = {"MetricName": "ApproximateAgeOfOldestMessage", "Dimensions": dimensions, "Timestamp": at, "Value": age}
    boto3.client("cloudwatch").put_metric_data(Namespace="AWS/SQS", MetricData=[datum])


def test_ready_says_yes_while_the_queue_answers(queue_url: str) -> None:
    SqsRequestLog(queue_url=queue_url).ready()


def test_a_queue_that_is_gone_is_not_ready_and_of_unknown_age(queue_url: str) -> None:
    boto3.client("sqs").delete_queue(QueueUrl=queue_url)
    with pytest.raises(DependencyUnavailable):
        SqsRequestLog(queue_url=queue_url).ready()
    assert SqsQueueAge(queue_url=queue_url).oldest_event_age_seconds() is None


def test_an_event_that_no_try_delivers_becomes_one_fallback_line_with_all_of_it(sick_sqs: ScriptedServer) -> None:
    event = usage_event()
    with captured_log() as log:
        SqsRequestLog(queue_url=f"{sick_sqs.url}/1/usage").publish(event)
    assert len(sick_sqs.requests) == 3
    [line] = log.getvalue().splitlines()
    assert json.loads(line)["level"] == "ERROR"
    assert list(fallback.read([line])) == [event]


def test_an_event_that_the_second_try_delivers_leaves_no_fallback_line(sick_sqs: ScriptedServer) -> None:
    accepted = Answer(headers={"content-type": "application/x-amz-json-1.0"}, body=b'{"MessageId":"m"}')
    sick_sqs.script = lambda request: accepted if len(sick_sqs.requests) > 1 else Answer(status=500)
    with captured_log() as log:
        SqsRequestLog(queue_url=f"{sick_sqs.url}/1/usage").publish(usage_event())
    assert len(sick_sqs.requests) == 2
    assert log.getvalue() == ""


def test_nothing_listening_is_a_fallback_line_too(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in aws_environment("http://127.0.0.1:1").items():
        monkeypatch.setenv(name, value)
    event = usage_event()
    with captured_log() as log:
        SqsRequestLog(queue_url="http://127.0.0.1:1/1/usage").publish(event)
    assert list(fallback.read(log.getvalue().splitlines())) == [event]


def test_a_dead_letter_queue_that_is_away_is_a_dependency_that_is_away(sick_sqs: ScriptedServer) -> None:
    letter = DeadLetter(message=Message(id="m-1", body="{"), reason="not a usage event")
    with pytest.raises(DependencyUnavailable):
        SqsDeadLetters(queue_url=f"{sick_sqs.url}/1/dead").bury([letter])


def test_a_queue_that_is_away_can_be_neither_read_nor_acknowledged(sick_sqs: ScriptedServer) -> None:
    source = SqsMessages(queue_url=f"{sick_sqs.url}/1/usage")
    with pytest.raises(DependencyUnavailable):
        source.take(10, wait_seconds=0)
    with pytest.raises(DependencyUnavailable):
        source.acknowledge([Message(id="m-1", body="", receipt="r")])
