"""A US and an EU stack as processes of their own, on one database: a call that is pinned to the other never leaves."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import httpx2
import pytest
from navplane_local.issuer import Issuer

from tests.integration.serve.conftest import Replica, replica
from tests.support.demo_upstream import DemoUpstreamServer

BODY = {"model": "demo", "messages": [{"role": "user", "content": "hello"}]}
OTHER = {"us": "eu", "eu": "us"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stacks:
    """`keys`: an API key of a workspace in each region, of one organization."""

    urls: dict[str, str]
    admin: dict[str, str]
    org_id: str
    keys: dict[str, str]
    workspaces: dict[str, str]

    def ask(self, region: str, method: str, path: str, **more: Any) -> httpx2.Response:
        url = f"{self.urls[region]}/admin/orgs/{self.org_id}/{path}"
        return httpx2.request(method, url, headers=self.admin, timeout=30, trust_env=False, **more)

    def call(self, region: str, key: str) -> httpx2.Response:
        headers = {"authorization": f"Bearer {key}"}
        url = f"{self.urls[region]}/v1/chat/completions"
        return httpx2.post(url, json=BODY, headers=headers, timeout=30, trust_env=False)


@pytest.fixture(scope="module")
def stacks(environment: dict[str, str], issuer: Issuer) -> Iterator[Stacks]:
    # The second one finds the roles as the first has made them: both derive their passwords from the same secret.
    with (
        replica({**environment, "NAVPLANE_REGION": "us"}) as us,
        replica({**environment, "NAVPLANE_REGION": "eu"}) as eu,
    ):
        yield seeded(us, eu, {"authorization": f"Bearer {issuer.mint('local|admin')}"})


def seeded(us: Replica, eu: Replica, admin: dict[str, str]) -> Stacks:
    urls = {"us": us.url, "eu": eu.url}
    made = httpx2.post(f"{us.url}/admin/orgs", json={"name": "Both"}, headers=admin, timeout=30, trust_env=False).json()
    stacks = Stacks(urls=urls, admin=admin, org_id=made["id"], keys={"us": made["api_key"]}, workspaces={})
    for region in urls:
        key = {"provider": "openai", "label": region, "api_key": f"sk-demo-{region}-0123456789"}
        stored = stacks.ask(region, "POST", "provider-keys", json=key)
        if region == "us":
            assert stored.status_code == 201, stored.text
            stacks.workspaces["us"] = stacks.ask("us", "GET", "workspaces").json()["items"][0]["id"]
            continue
        assert (stored.status_code, stored.json()["code"]) == (403, "region_mismatch"), "it has no workspace there yet"
        europe = stacks.ask("eu", "POST", "workspaces", json={"name": "Europe", "region": "eu"}).json()
        stacks.workspaces["eu"] = europe["id"]
        assert stacks.ask("eu", "POST", "provider-keys", json=key).status_code == 201
        issued = stacks.ask("eu", "POST", "api-keys", json={"name": "Europe", "workspace_id": europe["id"]})
        stacks.keys["eu"] = issued.json()["api_key"]
    return stacks


@pytest.mark.parametrize("region", ["us", "eu"])
def test_a_workspace_is_served_in_its_region_with_its_key_and_refused_in_the_other_before_any_upstream_call(
    stacks: Stacks, provider: DemoUpstreamServer, region: str
) -> None:
    answer = stacks.call(region, stacks.keys[region])
    assert answer.status_code == 200, answer.text
    calls = len(provider.requests())
    refused = stacks.call(OTHER[region], stacks.keys[region])
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "region_mismatch")
    assert len(provider.requests()) == calls


@pytest.mark.parametrize("region", ["us", "eu"])
def test_a_workspace_is_read_in_its_region_and_refused_in_the_other(stacks: Stacks, region: str) -> None:
    for path in (f"workspaces/{stacks.workspaces[region]}", f"requests?workspace_id={stacks.workspaces[region]}"):
        assert stacks.ask(region, "GET", path).status_code == 200
        refused = stacks.ask(OTHER[region], "GET", path)
        assert (refused.status_code, refused.json()["code"]) == (403, "region_mismatch")


def test_a_provider_without_a_host_in_the_region_is_not_reconciled_there(stacks: Stacks) -> None:
    new = {"name": "European", "home_region": "eu"}
    made = httpx2.post(f"{stacks.urls['eu']}/admin/orgs", json=new, headers=stacks.admin, timeout=30, trust_env=False)
    european = replace(stacks, org_id=made.json()["id"])
    key = {"provider": "anthropic", "admin_key": "sk-admin-0123456789"}
    refused = european.ask("eu", "POST", "reconciliation/keys", json=key)
    assert (refused.status_code, refused.json()["code"]) == (403, "region_mismatch"), made.text
    assert european.ask("eu", "POST", "reconciliation/keys", json={**key, "provider": "openai"}).status_code == 201
