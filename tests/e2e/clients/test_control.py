"""The kill switch and key rotation, seen by an application, and by the provider that must see nothing."""

import json
from collections.abc import Callable
from typing import Any

import anthropic
import httpx2
import openai
import pytest

from tests.support.demo_upstream import DemoUpstreamClient
from tests.support.local_cloud import LocalCloud
from tests.support.organization import Organization

MESSAGES: Any = [{"role": "user", "content": "hi"}]


def call_openai(cloud: LocalCloud, api_key: str, **extra: Any) -> Any:
    http = httpx2.Client(trust_env=False)
    with openai.OpenAI(base_url=f"{cloud.base_url}/v1", api_key=api_key, http_client=http) as client:
        return client.chat.completions.create(model="demo", messages=MESSAGES, **extra)


def call_anthropic(cloud: LocalCloud, api_key: str, **extra: Any) -> Any:
    http = httpx2.Client(trust_env=False)
    with anthropic.Anthropic(base_url=cloud.base_url, api_key=api_key, http_client=http) as client:
        return client.messages.create(model="demo", max_tokens=99, messages=MESSAGES, **extra)


CALLS: list[Callable[..., Any]] = [call_openai, call_anthropic]
DENIED = (openai.PermissionDeniedError, anthropic.PermissionDeniedError)
UNAUTHENTICATED = (openai.AuthenticationError, anthropic.AuthenticationError)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("call", CALLS)
def test_the_kill_switch_stops_the_very_next_call(
    call: Callable[..., Any], stream: bool, cloud: LocalCloud, organization: Organization
) -> None:
    upstream = DemoUpstreamClient(cloud.demo_url)
    call(cloud, organization.api_key)
    seen = upstream.requests()[-1].id
    organization.set_enabled(False)
    with pytest.raises(DENIED):
        call(cloud, organization.api_key, stream=stream)
    assert upstream.requests(since=seen) == []
    organization.set_enabled(True)
    call(cloud, organization.api_key)
    assert [row["status"] for row in organization.wait_for_rows(3)] == [200, 403, 200]


def test_each_surface_hears_of_it_in_its_own_dialect(cloud: LocalCloud, organization: Organization) -> None:
    organization.set_enabled(False)
    with pytest.raises(openai.PermissionDeniedError) as refused:
        call_openai(cloud, organization.api_key)
    assert refused.value.code == "organization_disabled"
    with pytest.raises(anthropic.PermissionDeniedError) as denied:
        call_anthropic(cloud, organization.api_key)
    assert denied.value.type == "permission_error"


@pytest.mark.parametrize("call", CALLS)
def test_a_rotated_key_is_refused_at_once(call: Callable[..., Any], cloud: LocalCloud, organization: Organization) -> None:
    call(cloud, organization.api_key)
    seen = DemoUpstreamClient(cloud.demo_url).requests()[-1].id
    old = organization.rotate_key()
    with pytest.raises(UNAUTHENTICATED):
        call(cloud, old)
    assert DemoUpstreamClient(cloud.demo_url).requests(since=seen) == []
    call(cloud, organization.api_key)


@pytest.mark.parametrize("call", CALLS)
def test_no_caller_credential_reaches_the_provider(
    call: Callable[..., Any], cloud: LocalCloud, organization: Organization
) -> None:
    call(cloud, organization.api_key, extra_headers={"x-api-key": organization.api_key, "cookie": "session=1"})
    captured = DemoUpstreamClient(cloud.demo_url).requests()[-1]
    sent = repr(captured.headers).encode() + captured.body
    assert organization.api_key.encode() not in sent
    assert captured.header("cookie") is None
    presented = captured.header("x-api-key") or captured.header("authorization") or ""
    assert presented.removeprefix("Bearer ").startswith("sk-demo-")


def test_an_organization_without_a_provider_key_is_told_so(cloud: LocalCloud) -> None:
    bare = Organization.create(admin_url=cloud.admin_url, admin_token=cloud.admin_token, provider_keys=False)
    with pytest.raises(openai.BadRequestError) as refused:
        call_openai(cloud, bare.api_key)
    assert refused.value.code == "provider_key_missing"


def test_a_route_leads_the_very_next_call_to_what_it_names(cloud: LocalCloud, organization: Organization) -> None:
    targets = [{"provider": "openai", "model": "demo"}]
    organization.call("POST", "routes", json={"name": "quick", "match": "fast", "targets": targets})
    http = httpx2.Client(trust_env=False)
    with openai.OpenAI(base_url=f"{cloud.base_url}/v1", api_key=organization.api_key, http_client=http) as client:
        answer = client.chat.completions.with_raw_response.create(model="fast", messages=MESSAGES)
    assert answer.headers["x-navplane-route"] == "quick"
    assert json.loads(DemoUpstreamClient(cloud.demo_url).requests()[-1].body)["model"] == "demo"
    (row,) = organization.wait_for_rows(1)
    detail = organization.call("GET", f"requests/{row['request_id']}")
    assert (detail["model"], detail["route"], detail["status"]) == ("fast", "quick", 200)


def test_a_policy_refuses_the_very_next_call(cloud: LocalCloud, organization: Organization) -> None:
    call_openai(cloud, organization.api_key)
    organization.call("POST", "policies", json={"scope": "organization", "block_models": ["demo*"]})
    with pytest.raises(openai.PermissionDeniedError) as refused:
        call_openai(cloud, organization.api_key)
    assert refused.value.code == "model_not_allowed"
