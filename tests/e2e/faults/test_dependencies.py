"""A dependency of ours is away: the exact answer, nothing sent to the provider, and no row lost once it is back."""

import json
from typing import Any

import httpx2
import pytest

from tests.support.demo_upstream import DemoUpstreamClient
from tests.support.local_cloud import LocalCloud
from tests.support.organization import Organization

BODY = {"model": "demo", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 20}
SURFACES = ["/v1/chat/completions", "/v1/messages"]


def call(cloud: LocalCloud, organization: Organization, path: str = SURFACES[0], **body: Any) -> httpx2.Response:
    headers = {"authorization": f"Bearer {organization.api_key}", "anthropic-version": "2023-06-01"}
    return httpx2.post(cloud.base_url + path, json=BODY | body, headers=headers, timeout=60, trust_env=False)


@pytest.mark.parametrize("path", SURFACES)
def test_postgres_down_is_503_before_the_provider_is_called_and_passes_by_itself(
    path: str, cloud: LocalCloud, organization: Organization
) -> None:
    assert call(cloud, organization, path).status_code == 200
    upstream = DemoUpstreamClient(cloud.demo_url)
    seen = upstream.requests()[-1].id
    with cloud.without_postgres():
        refused = call(cloud, organization, path)
        assert refused.status_code == 503
        assert int(refused.headers["retry-after"]) <= 2
        error = refused.json()["error"]
        assert (error.get("code"), error["type"]) in {("unavailable", "server_error"), (None, "api_error")}
    assert upstream.requests(since=seen) == []
    assert call(cloud, organization, path).status_code == 200


def test_admin_api_says_503_while_postgres_is_down(cloud: LocalCloud, organization: Organization) -> None:
    url, headers = f"{cloud.admin_url}/admin/orgs/{organization.id}", {"authorization": f"Bearer {cloud.admin_token}"}
    with cloud.without_postgres():
        refused = httpx2.get(url, headers=headers, timeout=60, trust_env=False)
        assert refused.status_code == 503
        assert refused.headers["content-type"] == "application/problem+json"
        assert httpx2.get(f"{cloud.base_url}/health", timeout=60, trust_env=False).status_code == 200
        assert httpx2.get(f"{cloud.base_url}/ready", timeout=60, trust_env=False).status_code == 503
    assert httpx2.get(url, headers=headers, timeout=60, trust_env=False).status_code == 200


def test_rows_of_calls_whose_events_met_a_database_that_was_down_arrive_once_it_is_back(
    cloud: LocalCloud, organization: Organization
) -> None:
    with cloud.paused("RequestLogWriterFunction"):
        called = [call(cloud, organization).headers["x-navplane-request-id"] for _ in range(3)]
        cloud.settle("ProxyFunction")
        said = len(cloud.log.lines)
        cloud.stop_postgres()
    try:
        cloud.log.wait_for("usage.batch_failed", after=said)
    finally:
        cloud.start_postgres()
    rows = organization.wait_for_rows(3)
    assert sorted(row["request_id"] for row in rows) == sorted(called)
    assert {row["usage_quality"] for row in rows} == {"exact"}


def test_queue_down_leaves_the_client_alone_and_its_event_in_the_table_for_maintenance(
    cloud: LocalCloud, organization: Organization
) -> None:
    with cloud.without_aws():
        answered = call(cloud, organization)
        assert answered.status_code == 200
        cloud.settle("ProxyFunction")
        request_id = answered.headers["x-navplane-request-id"]
        assert any("ledger.second_place" in line and request_id in line for _, line in cloud.log.lines)
        assert json.loads(cloud.invoke("MaintenanceFunction"))["events_recorded"] >= 1
    (row,) = organization.wait_for_rows(1)
    assert (row["request_id"], row["usage_quality"], row["outcome"]) == (request_id, "exact", "ok")


def test_kms_down_is_503_for_a_key_that_must_be_opened_and_harmless_for_one_that_is(kms_cloud: LocalCloud) -> None:
    organization = Organization.create(admin_url=kms_cloud.admin_url, admin_token=kms_cloud.admin_token)
    assert call(kms_cloud, organization).status_code == 200
    # The environment that has opened the key is free again, so the next call is its own.
    kms_cloud.settle("ProxyFunction")
    upstream = DemoUpstreamClient(kms_cloud.demo_url)
    with kms_cloud.without_aws():
        assert call(kms_cloud, organization).status_code == 200
        kms_cloud.kill("ProxyFunction")
        seen = upstream.requests()[-1].id
        refused = call(kms_cloud, organization)
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "key_unavailable")
        assert upstream.requests(since=seen) == []
    assert call(kms_cloud, organization).status_code == 200
