"""The dead-letter queue in SQS, as an operator works on it: look, put back, redrive."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from navplane.queue.redrive import NO_REASON, BuriedLetter
from navplane.queue.sqs import client, translated

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import MessageTypeDef

BATCH = 10  # SQS's own limit for one call
# As long as looking at all of them, and sending them, may take.
HIDDEN_SECONDS = 300
# SQS answers a look at a part of its servers only: nothing twice in a row is taken for nothing.
EMPTY_LOOKS = 2


class SqsShelf:
    """A Shelf. `queue_url` is where letters go when they are redriven."""

    def __init__(self, *, dead_letter_queue_url: str, queue_url: str) -> None:
        self._dead_url, self._queue_url = dead_letter_queue_url, queue_url
        self._sqs: SQSClient = client("sqs", read_timeout=10)

    def letters(self, limit: int) -> Sequence[BuriedLetter]:
        found: dict[str, BuriedLetter] = {}
        empty = 0
        while len(found) < limit and empty < EMPTY_LOOKS:
            looked = self._look(min(BATCH, limit - len(found)))
            empty = 0 if looked else empty + 1
            found.update({letter.id: letter for letter in looked})
        return list(found.values())

    def put_back(self, letters: Sequence[BuriedLetter]) -> None:
        for chunk in _chunks(letters):
            with translated("take back what was looked at"):
                # One that fails is visible again by itself, a little later.
                self._sqs.change_message_visibility_batch(
                    QueueUrl=self._dead_url,
                    Entries=[
                        {"Id": str(n), "ReceiptHandle": letter.receipt, "VisibilityTimeout": 0}
                        for n, letter in enumerate(chunk)
                    ],
                )

    def redrive(self, letters: Sequence[BuriedLetter]) -> int:
        return sum(self._redrive(chunk) for chunk in _chunks(letters))

    def _redrive(self, chunk: Sequence[BuriedLetter]) -> int:
        with translated("take what was redriven"):
            answer = self._sqs.send_message_batch(
                QueueUrl=self._queue_url,
                Entries=[{"Id": str(n), "MessageBody": letter.body} for n, letter in enumerate(chunk)],
            )
        sent = [chunk[int(entry["Id"])] for entry in answer.get("Successful", [])]
        if sent:
            with translated("let go of what was redriven"):
                self._sqs.delete_message_batch(
                    QueueUrl=self._dead_url,
                    Entries=[{"Id": str(n), "ReceiptHandle": letter.receipt} for n, letter in enumerate(sent)],
                )
        return len(sent)

    def _look(self, limit: int) -> list[BuriedLetter]:
        with translated("be read"):
            answer = self._sqs.receive_message(
                QueueUrl=self._dead_url,
                MaxNumberOfMessages=limit,
                VisibilityTimeout=HIDDEN_SECONDS,
                MessageAttributeNames=["reason"],
                MessageSystemAttributeNames=["SentTimestamp"],
            )
        return [_letter(message) for message in answer.get("Messages", [])]


def _letter(message: "MessageTypeDef") -> BuriedLetter:
    attribute = message.get("MessageAttributes", {}).get("reason")
    reason = attribute["StringValue"] if attribute and "StringValue" in attribute else NO_REASON
    sent = datetime.fromtimestamp(int(message["Attributes"]["SentTimestamp"]) / 1000, UTC)
    return BuriedLetter(
        id=message["MessageId"], body=message["Body"], reason=reason, buried_at=sent, receipt=message["ReceiptHandle"]
    )


def _chunks(letters: Sequence[BuriedLetter]) -> Iterator[Sequence[BuriedLetter]]:
    for start in range(0, len(letters), BATCH):
        yield letters[start : start + BATCH]
