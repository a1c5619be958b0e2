"""The build that the emulator runs: made once, and again only when something that goes into it has changed."""

from pathlib import Path

import pytest
from navplane_local import invoke


@pytest.fixture(scope="session")
def host_build() -> Path:
    return invoke.build_for_host()


@pytest.fixture(scope="session")
def bootstrap() -> Path:
    return invoke.runtime()
