"""A running local NavPlane to take parts away from, and an organization of the test's own in it."""

from collections.abc import Iterator

import pytest

from tests.support.local_cloud import LocalCloud, cloud, running_cloud, temporary_state
from tests.support.organization import Organization

__all__ = ["cloud"]


@pytest.fixture
def organization(cloud: LocalCloud) -> Organization:
    return Organization.create(admin_url=cloud.admin_url, admin_token=cloud.admin_token)


@pytest.fixture(scope="module")
def kms_cloud() -> Iterator[LocalCloud]:
    """One whose KEK is a KMS key."""
    with temporary_state() as state_dir, running_cloud(state_dir, kek_provider="aws_kms") as running:
        yield running
