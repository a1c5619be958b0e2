"""No usage event is lost on its way to the writer: retention, visibility, partial failures, dead letters; and what the logs say
of the ledger is what the alarms listen for."""

import re
from pathlib import Path

import navplane

from tests.contract.template.cloudformation import Template, functions, of_type

FOURTEEN_DAYS = 14 * 24 * 60 * 60


def test_events_are_kept_as_long_as_sqs_can_keep_them_and_encrypted(template: Template) -> None:
    queues = of_type(template, "AWS::SQS::Queue")
    assert queues.keys() == {"UsageQueue", "UsageDeadLetterQueue"}
    for queue in queues.values():
        assert queue["MessageRetentionPeriod"] == FOURTEEN_DAYS
        assert queue["SqsManagedSseEnabled"] is True


def test_an_outage_does_not_empty_good_events_into_the_dead_letter_queue(template: Template) -> None:
    redrive = of_type(template, "AWS::SQS::Queue")["UsageQueue"]["RedrivePolicy"]
    assert redrive == {"deadLetterTargetArn": {"Fn::GetAtt": ["UsageDeadLetterQueue", "Arn"]}, "maxReceiveCount": 1000}


def test_the_writer_reports_partial_failures_within_two_seconds_of_an_event(template: Template) -> None:
    (source,) = of_type(template, "AWS::Lambda::EventSourceMapping").values()
    assert source["EventSourceArn"] == {"Fn::GetAtt": ["UsageQueue", "Arn"]}
    assert source["FunctionName"] == {"Ref": "RequestLogWriterFunction"}
    assert source["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert source["ScalingConfig"]["MaximumConcurrency"] >= 2
    # SQS wants a window where a batch is larger than ten.
    assert source["BatchSize"] > 10
    assert 1 <= source["MaximumBatchingWindowInSeconds"] <= 2


def test_a_batch_stays_invisible_for_six_times_the_writers_timeout(template: Template) -> None:
    (source,) = of_type(template, "AWS::Lambda::EventSourceMapping").values()
    longest = 6 * functions(template)["RequestLogWriterFunction"]["Timeout"] + source["MaximumBatchingWindowInSeconds"]
    assert of_type(template, "AWS::SQS::Queue")["UsageQueue"]["VisibilityTimeout"] >= longest


def test_dead_letters_and_a_stuck_queue_raise_an_alarm(template: Template) -> None:
    watched = {
        (alarm["MetricName"], alarm["Dimensions"][0]["Value"]["Fn::GetAtt"][0])
        for alarm in of_type(template, "AWS::CloudWatch::Alarm").values()
        if alarm["Namespace"] == "AWS/SQS"
    }
    assert watched == {
        ("ApproximateNumberOfMessagesVisible", "UsageDeadLetterQueue"),
        ("ApproximateAgeOfOldestMessage", "UsageQueue"),
    }


def test_every_log_line_that_an_alarm_listens_for_is_one_that_is_written(template: Template) -> None:
    source = "\n".join(path.read_text(encoding="utf-8") for path in Path(navplane.__path__[0]).rglob("*.py"))
    heard = {
        transformation["MetricName"]: re.findall(r'\$\.message = "([^"]+)"', found["FilterPattern"])
        for found in of_type(template, "AWS::Logs::MetricFilter").values()
        for transformation in found["MetricTransformations"]
    }
    assert {"LedgerDrift": ["rollups.drift"]}.items() <= heard.items()
    for messages in heard.values():
        assert messages
        assert all(f'"{message}"' in source for message in messages)
    watched = {
        alarm["MetricName"]
        for alarm in of_type(template, "AWS::CloudWatch::Alarm").values()
        if not str(alarm["Namespace"]).startswith("AWS/")
    }
    assert "LedgerDrift" in watched
    assert watched <= heard.keys()
