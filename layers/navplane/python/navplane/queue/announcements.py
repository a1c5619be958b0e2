"""Tells people by way of AWS: mail through SES, and topics of SNS. Each is tried once; who calls decides about retries."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

from navplane.errors import DependencyUnavailable
from navplane.queue.sqs import client

READ_SECONDS = 10.0
# SNS takes no longer subject, and only printable ASCII.
SUBJECT_LENGTH = 100


def mail(*, sender: str, to: str, delivery_id: str, title: str, body: str) -> None:
    """Raise DependencyUnavailable when SES does not take it."""
    text = f"{title}\n\n{json.dumps(json.loads(body), indent=2)}\n\nDelivery {delivery_id}\n"
    simple = {"Subject": {"Data": f"NavPlane: {title}"}, "Body": {"Text": {"Data": text}}}
    with _translated("SES did not take the mail"):
        client("sesv2", read_timeout=READ_SECONDS).send_email(
            FromEmailAddress=sender, Destination={"ToAddresses": [to]}, Content={"Simple": simple}
        )


def publish(*, topic_arn: str, delivery_id: str, title: str, body: str) -> None:
    """The delivery's id is the attribute `delivery_id`. Raise DependencyUnavailable when SNS does not take it."""
    with _translated("SNS did not take the message"):
        client("sns", read_timeout=READ_SECONDS).publish(
            TopicArn=topic_arn,
            Subject="".join(c if " " <= c <= "~" else "?" for c in f"NavPlane: {title}")[:SUBJECT_LENGTH],
            Message=body,
            MessageAttributes={"delivery_id": {"DataType": "String", "StringValue": delivery_id}},
        )


@contextmanager
def _translated(what: str) -> Iterator[None]:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as exc:
        # The code is one of AWS's own list; the message may name what is nobody else's business.
        raise DependencyUnavailable(f"{what}: {exc.response['Error'].get('Code', 'unknown')}.") from exc
    except BotoCoreError as exc:
        raise DependencyUnavailable(f"{what}: it could not be asked.") from exc
