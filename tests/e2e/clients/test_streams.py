"""Streams arrive event by event: each event reaches the client before the provider has sent the next one."""

import json
from typing import Any

import httpx2
import pytest

from tests.support.demo_upstream import Captured, DemoUpstreamClient
from tests.support.local_cloud import LocalCloud
from tests.support.organization import Organization

MESSAGES = [{"role": "user", "content": "hi"}]
SURFACES = [
    ("/v1/chat/completions", {"messages": MESSAGES, "stream_options": {"include_usage": True}}),
    ("/v1/responses", {"input": "hi"}),
    ("/v1/messages", {"messages": MESSAGES, "max_tokens": 100}),
]


def captured(cloud: LocalCloud, capture_id: int) -> Captured:
    return next(found for found in DemoUpstreamClient(cloud.demo_url).requests(since=capture_id - 1))


def read_to(received: Any, expected: bytes) -> bytes:
    got = b""
    while len(got) < len(expected):
        got += next(received)
    return got


@pytest.mark.parametrize("way_in", ["base_url", "rest_url"])
@pytest.mark.parametrize(("path", "asked"), SURFACES)
def test_each_event_arrives_before_the_next_is_sent(
    path: str, asked: dict[str, Any], way_in: str, cloud: LocalCloud, organization: Organization
) -> None:
    upstream = DemoUpstreamClient(cloud.demo_url)
    headers = {"authorization": f"Bearer {organization.api_key}"}
    body = {"model": "demo-gated", "stream": True, **asked}
    client = httpx2.Client(trust_env=False, timeout=20)
    with client, client.stream("POST", getattr(cloud, way_in) + path, json=body, headers=headers) as answer:
        capture_id = int(answer.headers["x-demo-capture-id"])
        received = answer.iter_raw()
        got = next(received)
        for _ in range(8):
            sent = captured(cloud, capture_id).answer_body
            got += read_to(received, sent[len(got) :])
            assert got == sent
            upstream.release(capture_id)
            got += next(received)
        upstream.release(capture_id, events=1000)
        got += b"".join(received)
    whole = captured(cloud, capture_id)
    assert (whole.ended, whole.answer_body) == ("complete", got)


@pytest.mark.parametrize(("path", "asked"), SURFACES)
def test_a_stream_that_the_provider_cuts_ends_with_an_error_event(
    path: str, asked: dict[str, Any], cloud: LocalCloud, organization: Organization
) -> None:
    headers = {"authorization": f"Bearer {organization.api_key}"}
    body = {"model": "demo-cut", "stream": True, **asked}
    answer = httpx2.post(cloud.base_url + path, json=body, headers=headers, trust_env=False, timeout=20)
    assert answer.status_code == 200
    assert "error" in answer.text.strip().split("\n\n")[-1]
    assert "[DONE]" not in answer.text
    [row] = organization.wait_for_rows(1)
    assert (row["outcome"], row["stream"]) == ("failed", True)


def test_the_usage_event_that_was_not_asked_for_is_withheld_and_counted(cloud: LocalCloud, organization: Organization) -> None:
    headers = {"authorization": f"Bearer {organization.api_key}"}
    body = {"model": "demo", "stream": True, "messages": MESSAGES}
    answer = httpx2.post(f"{cloud.base_url}/v1/chat/completions", json=body, headers=headers, trust_env=False, timeout=20)
    sent = captured(cloud, int(answer.headers["x-demo-capture-id"])).answer_body
    events = sent.split(b"\n\n")
    withheld = [event for event in events if b'"choices":[]' in event]
    assert len(withheld) == 1
    assert answer.content == b"\n\n".join(event for event in events if event not in withheld)
    [row] = organization.wait_for_rows(1)
    assert (row["usage_quality"], row["output_tokens"] > 0) == ("exact", True)


@pytest.mark.parametrize(("path", "asked"), SURFACES)
def test_an_open_stream_ends_when_the_organization_is_switched_off(
    path: str, asked: dict[str, Any], cloud: LocalCloud, organization: Organization
) -> None:
    headers = {"authorization": f"Bearer {organization.api_key}"}
    body = {"model": "demo-gated", "stream": True, **asked}
    client = httpx2.Client(trust_env=False, timeout=20)
    with client, client.stream("POST", cloud.base_url + path, json=body, headers=headers) as answer:
        received = answer.iter_raw()
        got = next(received)
        organization.set_enabled(False)
        got += b"".join(received)
    assert b"error" in got.strip().split(b"\n\n")[-1]
    assert b"[DONE]" not in got
    [row] = organization.wait_for_rows(1)
    assert row["outcome"] == "terminated"


@pytest.mark.parametrize("stream", [False, True])
def test_under_observe_the_bytes_are_the_same_on_both_sides(
    stream: bool, cloud: LocalCloud, organization: Organization
) -> None:
    organization.update(stream_usage="observe")
    headers = {"authorization": f"Bearer {organization.api_key}", "content-type": "application/json"}
    body = json.dumps({"model": "demo", "stream": stream, "messages": MESSAGES}, indent=3).encode()
    url = f"{cloud.base_url}/v1/chat/completions"
    answer = httpx2.post(url, content=body, headers=headers, trust_env=False, timeout=20)
    seen = captured(cloud, int(answer.headers["x-demo-capture-id"]))
    assert (seen.body, seen.answer_body) == (body, answer.content)
    [row] = organization.wait_for_rows(1)
    assert row["usage_quality"] == ("estimated" if stream else "exact")
