"""What this process logs, as text, for as long as a test listens."""

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager

from navplane.telemetry import logger


@contextmanager
def captured_log() -> Iterator[io.StringIO]:
    """The product's log lines, in the form in which they leave the process."""
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    handler.setFormatter(logger.registered_formatter)
    logger.addHandler(handler)
    try:
        yield text
    finally:
        logger.removeHandler(handler)  # type: ignore[attr-defined]  # Powertools passes it on to logging
