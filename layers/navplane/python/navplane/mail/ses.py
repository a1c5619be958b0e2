"""Mail through Amazon SES (API v2)."""

from functools import cached_property
from typing import Any

from navplane.errors import DependencyUnavailable
from navplane.model.mail import Mail

# A transaction waits for it: what is invited and what is mailed agree.
CONNECT_SECONDS, READ_SECONDS = 1.0, 3.0


class SesMailer:
    """A Mailer. `sender` is an address of a verified identity. Tried once: whoever asked can ask again."""

    def __init__(self, *, sender: str) -> None:
        self._sender = sender

    def send(self, mail: Mail) -> None:
        from botocore.exceptions import BotoCoreError, ClientError

        body = {"Text": {"Data": mail.text, "Charset": "UTF-8"}}
        subject = {"Data": mail.subject, "Charset": "UTF-8"}
        try:
            self._client.send_email(
                FromEmailAddress=self._sender,
                Destination={"ToAddresses": [mail.to]},
                Content={"Simple": {"Subject": subject, "Body": body}},
            )
        except (BotoCoreError, ClientError) as exc:
            raise DependencyUnavailable("The mail could not be sent. Nothing has changed: try again.") from exc

    @cached_property
    def _client(self) -> Any:
        """Made at the first use: importing boto3 must not delay a cold start."""
        import boto3
        from botocore.config import Config

        config = Config(connect_timeout=CONNECT_SECONDS, read_timeout=READ_SECONDS, retries={"total_max_attempts": 1})
        return boto3.session.Session().client("sesv2", config=config)
