"""A mail to one person, and who can send it."""

from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """Plain text. It may hold a secret that nobody but its reader is to see, so it shows itself without its text."""

    to: str
    subject: str
    text: str = field(repr=False)


class Mailer(Protocol):
    def send(self, mail: Mail) -> None:
        """Raise DependencyUnavailable when it was not taken."""
