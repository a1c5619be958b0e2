"""Mail that stays on this machine: each in a file that a developer can read. Local mode only."""

import os
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path

from navplane.errors import DependencyUnavailable
from navplane.model.ids import new_id
from navplane.model.mail import Mail


class OutboxMailer:
    """A Mailer. Its files are named by time, newest last, and readable by their owner only: there are secrets in them."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def send(self, mail: Mail) -> None:
        message = EmailMessage()
        message["To"], message["Subject"], message["Date"] = mail.to, mail.subject, datetime.now(UTC)
        message.set_content(mail.text)
        path = self._directory / f"{datetime.now(UTC):%Y%m%dT%H%M%S.%f}-{new_id()}.eml"
        try:
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(bytes(message))
        except OSError as exc:
            raise DependencyUnavailable("The mail could not be put into the local outbox.") from exc
