"""The watch over all tests' logs: it does find what it looks for."""

import base64
import json
from collections.abc import Callable
from urllib.parse import quote

import pytest
from navplane.telemetry import logger

from tests.support.canary_watch import watched

CANARY = "sk-watched+0a1b2c3d4e5f"


@pytest.mark.parametrize(
    "spelled",
    [
        str,
        lambda secret: json.dumps({"key": secret}),
        lambda secret: quote(secret),
        lambda secret: secret.encode().hex(),
        lambda secret: base64.b64encode(b"Bearer " + secret.encode()).decode(),
    ],
    ids=["as it is", "in JSON", "in a URL", "in hexadecimal", "in base64"],
)
def test_a_canary_is_found_in_a_message_an_extra_and_a_traceback(spelled: Callable[[str], str]) -> None:
    secret = spelled(CANARY)
    with watched(CANARY) as watch:
        logger.warning("nothing to see")
        assert watch.hits == []
        logger.warning(secret)
        logger.warning("extra", extra={"detail": secret})
        try:
            raise ValueError(secret)
        except ValueError:
            logger.exception("failed")
    assert [hit.split()[0] for hit in watch.hits] == [logger.name] * 3
