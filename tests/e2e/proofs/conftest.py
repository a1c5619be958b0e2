"""A running local NavPlane whose providers a test can also play itself, and organizations of the test's own in it."""

from collections.abc import Iterator
from uuid import uuid4

import httpx2
import pytest

from tests.support.demo_upstream import DemoUpstreamClient
from tests.support.local_cloud import LocalCloud, running_cloud, temporary_state
from tests.support.organization import Organization
from tests.support.provider import FakeProvider, json_answer


@pytest.fixture(scope="session")
def provider() -> Iterator[FakeProvider]:
    """Takes the place of both providers, for keys that are not demo keys."""
    with FakeProvider() as playing:
        yield playing


@pytest.fixture(scope="session")
def cloud(provider: FakeProvider) -> Iterator[LocalCloud]:
    """Shared by all proofs: keep to an organization of your own, and mend what you break. Its KEK is a KMS key."""
    options = {"overrides": {"openai": provider.url, "anthropic": provider.url}, "kek_provider": "aws_kms"}
    with temporary_state() as state_dir, running_cloud(state_dir, **options) as running:
        yield running


@pytest.fixture
def upstream(cloud: LocalCloud) -> DemoUpstreamClient:
    return DemoUpstreamClient(cloud.demo_url)


@pytest.fixture
def organization(cloud: LocalCloud) -> Organization:
    """With demo provider keys: the demo upstream answers it."""
    return Organization.create(admin_url=cloud.admin_url, admin_token=cloud.admin_token)


@pytest.fixture
def played(cloud: LocalCloud, provider: FakeProvider) -> Organization:
    return organization_of(cloud, provider)


def organization_of(cloud: LocalCloud, provider: FakeProvider) -> Organization:
    """One whose calls go to the provider that the test plays."""
    made = Organization.create(admin_url=cloud.admin_url, admin_token=cloud.admin_token, provider_keys=False)
    provider.script(json_answer(b"{}"))
    for name in ("openai", "anthropic"):
        made.add_provider_key(name, f"sk-live-{uuid4().hex}")
    return made


@pytest.fixture(scope="session")
def client() -> Iterator[httpx2.Client]:
    with httpx2.Client(trust_env=False, timeout=60) as http:
        yield http
