"""What the harnesses share: of thousands of calls only errors are worth a line of the log."""

import logging
from collections.abc import Iterator

import pytest
from navplane.telemetry import logger


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    before = logger.log_level
    logger.setLevel(logging.ERROR)
    yield
    logger.setLevel(before)
