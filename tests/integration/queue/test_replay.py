"""`navplane ledger replay`: what no queue took is back on its way, all of it or none without a word."""

from pathlib import Path

import boto3
import pytest
from navplane.queue import fallback
from navplane.queue.sqs import SqsMessages, SqsRequestLog
from navplane_cli.ledger import app
from typer.testing import CliRunner

from tests.support.log_lines import captured_log
from tests.support.moto_server import aws_environment, moto_server
from tests.support.usage_events import usage_event


def test_events_lost_to_an_outage_of_sqs_are_replayed_from_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events = [usage_event() for _ in range(3)]
    for name, value in aws_environment("http://127.0.0.1:1").items():
        monkeypatch.setenv(name, value)
    with captured_log() as log:
        for event in events:
            SqsRequestLog(queue_url="http://127.0.0.1:1/1/usage").publish(event)
    file = tmp_path / "proxy.log"
    file.write_text("START RequestId: 1\n" + log.getvalue() + "END RequestId: 1\n")

    with moto_server() as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        queue_url = boto3.client("sqs").create_queue(QueueName="usage")["QueueUrl"]
        monkeypatch.setenv("QUEUE_URL", queue_url)
        done = CliRunner().invoke(app, ["replay", str(file)])
        assert (done.exit_code, done.output) == (0, "3 usage events are on their way again.\n")
        taken = SqsMessages(queue_url=queue_url).take(10, wait_seconds=0)
    assert {message.body for message in taken} == {event.to_json() for event in events}


def test_a_replay_that_cannot_send_says_so_and_how_far_it_got(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in aws_environment("http://127.0.0.1:1").items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("QUEUE_URL", "http://127.0.0.1:1/1/usage")
    with captured_log() as log:
        fallback.write(usage_event(), reason="x")
    file = tmp_path / "proxy.log"
    file.write_text(log.getvalue())
    done = CliRunner().invoke(app, ["replay", str(file)])
    assert done.exit_code == 1
    assert "0 events before it were sent" in done.stderr
