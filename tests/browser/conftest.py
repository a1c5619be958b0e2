"""A running NavPlane and a browser; without a browser on the machine these tests are left out, and say so."""

from collections.abc import Iterator

import pytest

from tests.support.chromium import Chromium, chromium, missing
from tests.support.local_cloud import cloud

__all__ = ["cloud"]


@pytest.fixture
def browser(request: pytest.FixtureRequest) -> Iterator[Chromium]:
    reason = missing()
    if reason:
        pytest.skip(f"{reason}; tests/integration/console reads the same pages without one")
    with chromium() as started:
        yield started
