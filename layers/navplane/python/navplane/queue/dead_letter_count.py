"""How many dead letters SQS holds."""

from navplane.queue.sqs import client


class SqsDeadLetterCount:
    def __init__(self, *, dead_letter_queue_url: str) -> None:
        self._url = dead_letter_queue_url

    def __call__(self) -> int | None:
        """About how many; None when that can't be told just now."""
        from botocore.exceptions import BotoCoreError, ClientError

        wanted = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        try:
            found = client("sqs", read_timeout=2).get_queue_attributes(QueueUrl=self._url, AttributeNames=wanted)
        except (BotoCoreError, ClientError):
            return None
        return sum(int(count) for count in found["Attributes"].values())
