"""The real proxy and admin functions through each gateway of the template."""

from collections.abc import Iterator
from contextlib import contextmanager

import httpx2
import pytest

from tests.support.demo_upstream import DemoUpstreamClient
from tests.support.local_cloud import LocalCloud
from tests.support.organization import Organization

# The usage is asked for, so no event is withheld from the client.
BODY = {
    "model": "demo-gated",
    "stream": True,
    "stream_options": {"include_usage": True},
    "messages": [{"role": "user", "content": "hi"}],
}


@pytest.fixture
def organization(cloud: LocalCloud) -> Organization:
    return Organization.create(admin_url=cloud.admin_url, admin_token=cloud.admin_token)


@contextmanager
def stream(url: str, organization: Organization) -> Iterator[httpx2.Response]:
    headers = {"authorization": f"Bearer {organization.api_key}"}
    with httpx2.stream(
        "POST", f"{url}/v1/chat/completions", json=BODY, headers=headers, timeout=60, trust_env=False
    ) as response:
        yield response


@pytest.mark.parametrize("way", ["function_url", "rest_api"])
def test_each_event_arrives_before_the_provider_sends_the_next(way: str, cloud: LocalCloud, organization: Organization) -> None:
    upstream = DemoUpstreamClient(cloud.demo_url)
    with stream(cloud.base_url if way == "function_url" else cloud.rest_url, organization) as response:
        assert response.status_code == 200
        assert response.headers["x-navplane-request-id"]
        capture = int(response.headers["x-demo-capture-id"])
        received = b""
        for piece in response.iter_raw():
            received += piece
            # The provider sends nothing more until it is released, so this was passed on while the answer was unfinished.
            upstream.release(capture)
    assert received.endswith(b"data: [DONE]\n\n")
    (row,) = organization.wait_for_rows(1)
    assert (row["stream"], row["usage_quality"], row["outcome"]) == (True, "exact", "ok")


def admin(cloud: LocalCloud, method: str, path: str) -> httpx2.Response:
    headers = {"authorization": f"Bearer {cloud.admin_token}"}
    return httpx2.request(method, cloud.admin_url + path, headers=headers, timeout=60, trust_env=False)


def test_admin_paths_go_to_their_functions_and_all_others_to_the_proxy(cloud: LocalCloud) -> None:
    assert admin(cloud, "GET", "/admin/orgs").status_code == 200
    assert {provider["name"] for provider in admin(cloud, "GET", "/providers").json()["items"]} >= {"openai", "anthropic"}
    assert admin(cloud, "GET", "/health").status_code == 200
    assert admin(cloud, "GET", "/ready").status_code == 200
    unknown = admin(cloud, "GET", "/admin/nothing/here")
    assert (unknown.status_code, unknown.headers["content-type"]) == (404, "application/problem+json")
    for path in ("/v1/nothing", "/%61dmin/orgs", "/ADMIN/orgs", "//admin/orgs"):
        refused = admin(cloud, "GET", path)
        assert refused.status_code in (400, 404)
        assert "error" in refused.json()


def test_document_of_the_admin_api_covers_the_routes_of_every_function(cloud: LocalCloud) -> None:
    paths = admin(cloud, "GET", "/admin/openapi.json").json()["paths"]
    assert {"/admin/orgs", "/providers", "/admin/orgs/{org_id}/provider-keys", "/admin/orgs/{org_id}/requests"} <= set(paths)


def test_no_secret_is_in_a_log_an_answer_or_the_database(cloud: LocalCloud, organization: Organization) -> None:
    canary = "sk-demo-canary-6f1d8a90b2"
    bare = Organization.create(admin_url=cloud.admin_url, admin_token=cloud.admin_token, provider_keys=False)
    seen = [str(bare.add_provider_key("openai", canary))]
    headers = {"authorization": f"Bearer {bare.api_key}"}
    for model in ("demo", "demo-echo-key", "demo-500"):
        body = {"model": model, "messages": [{"role": "user", "content": "hi"}]}
        answered = httpx2.post(f"{cloud.base_url}/v1/chat/completions", json=body, headers=headers, timeout=60, trust_env=False)
        seen += [answered.text, str(answered.headers)]
    bare.wait_for_rows(3)
    seen += [admin(cloud, "GET", f"/admin/orgs/{bare.id}/{what}").text for what in ("provider-keys", "requests")]
    seen += [cloud.log.text(), cloud.dump()]
    assert canary in str([captured.headers for captured in DemoUpstreamClient(cloud.demo_url).requests()])
    for secret in (canary, bare.api_key):
        assert not [text for text in seen if secret in text]
