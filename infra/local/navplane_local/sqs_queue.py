"""A queue behind an SQS endpoint, for the event source and for what is kept between two runs."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from navplane_local.sqs_source import Message

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

BATCH = 10


class SqsQueue:
    """Implements MessageQueue on boto3. What goes wrong on the way rises as OSError."""

    def __init__(self, client: "SQSClient", *, url: str, arn: str) -> None:
        self._client, self.url, self._arn = client, url, arn

    @property
    def arn(self) -> str:
        return self._arn

    def receive(self, limit: int) -> Sequence[Message]:
        answer = self._call("receive_message", MaxNumberOfMessages=limit, AttributeNames=["All"], MessageAttributeNames=["All"])
        return [message_from(found) for found in answer.get("Messages", ())]

    def delete(self, messages: Sequence[Message]) -> None:
        for entries in _entries(messages):
            self._call("delete_message_batch", Entries=entries)

    def release(self, messages: Sequence[Message], *, after_seconds: int) -> None:
        for entries in _entries(messages):
            timed = [{**entry, "VisibilityTimeout": after_seconds} for entry in entries]
            self._call("change_message_visibility_batch", Entries=timed)

    def send(self, body: str) -> None:
        self._call("send_message", MessageBody=body)

    def _call(self, operation: str, **arguments: Any) -> Mapping[str, Any]:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            answer: Mapping[str, Any] = getattr(self._client, operation)(QueueUrl=self.url, **arguments)
        except (BotoCoreError, ClientError) as exc:
            raise OSError(f"{operation} at {self.url}: {exc}") from exc
        return answer


def message_from(found: Mapping[str, Any]) -> Message:
    attributes = found.get("MessageAttributes", {})
    return Message(
        message_id=found["MessageId"],
        receipt_handle=found["ReceiptHandle"],
        body=found["Body"],
        md5=found["MD5OfBody"],
        attributes=found.get("Attributes", {}),
        message_attributes={name: _attribute(value) for name, value in attributes.items()},
    )


def _attribute(value: Mapping[str, Any]) -> dict[str, Any]:
    return {"stringValue": value.get("StringValue"), "dataType": value["DataType"]}


def _entries(messages: Sequence[Message]) -> list[list[dict[str, Any]]]:
    entries = [{"Id": str(index), "ReceiptHandle": message.receipt_handle} for index, message in enumerate(messages)]
    return [entries[start : start + BATCH] for start in range(0, len(entries), BATCH)]
