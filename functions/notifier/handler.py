"""notifier: every minute, sends the alerts that wait. Postgres as navplane_notifier; the KEK to unwrap the secrets of webhooks
and of nothing else; HTTP to addresses that somebody typed, SES and SNS."""

from typing import Any

from navplane import wiring
from navplane.config import NotifierSettings

settings = NotifierSettings.from_env()
notifier = wiring.notifier(settings)


def handler(_event: dict[str, Any], _context: Any) -> dict[str, int]:
    """Answers what was done, as counts."""
    return notifier.run()
