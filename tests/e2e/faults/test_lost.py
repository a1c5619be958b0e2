"""The proxy's process dies in the middle of a stream: the reservation it leaves becomes exactly one `lost` row."""

import httpx2
import pytest
from pg8000.native import Connection

from tests.support.demo_upstream import DemoUpstreamClient
from tests.support.local_cloud import LocalCloud
from tests.support.organization import Organization


def expire_leases(cloud: LocalCloud, organization: Organization) -> int:
    """As if the lease, which outlives any invocation, had passed. Returns how many were open."""
    with cloud.superuser() as connection:
        return len(age(connection, organization))


def age(connection: Connection, organization: Organization) -> list[list[str]]:
    rows: list[list[str]] = connection.run(
        "UPDATE public.reservations SET lease_until = now() - interval '1 day', created_at = now() - interval '1 day'"
        " WHERE org_id = :org AND state <> 'final' RETURNING request_id",
        org=organization.id,
    )
    return rows


def test_killed_proxy_leaves_one_lost_row(cloud: LocalCloud, organization: Organization) -> None:
    body = {"model": "demo-gated", "stream": True, "messages": [{"role": "user", "content": "hi"}]}
    headers = {"authorization": f"Bearer {organization.api_key}"}
    url = f"{cloud.base_url}/v1/chat/completions"
    with httpx2.stream("POST", url, json=body, headers=headers, timeout=60, trust_env=False) as response:
        assert response.status_code == 200
        request_id = response.headers["x-navplane-request-id"]
        chunks = response.iter_raw()
        next(chunks)
        cloud.kill("ProxyFunction")
        with pytest.raises(httpx2.RemoteProtocolError):
            for _ in chunks:
                pass
    assert DemoUpstreamClient(cloud.demo_url).requests()[-1].ended != "complete"
    assert expire_leases(cloud, organization) == 1
    for _ in range(2):
        cloud.invoke("MaintenanceFunction")
    (row,) = organization.rows()
    assert (row["request_id"], row["outcome"], row["usage_quality"]) == (request_id, "lost", "lost")
    assert expire_leases(cloud, organization) == 0
