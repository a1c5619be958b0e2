"""No usage event is lost on its way to the writer: retention, visibility, partial failures, dead letters."""

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
