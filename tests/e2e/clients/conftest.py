"""A running local NavPlane, and an organization of the test's own in it."""

import pytest

from tests.support.local_cloud import LocalCloud, cloud
from tests.support.organization import Organization

__all__ = ["cloud"]


@pytest.fixture
def organization(cloud: LocalCloud) -> Organization:
    return Organization.create(admin_url=cloud.admin_url, admin_token=cloud.admin_token)
