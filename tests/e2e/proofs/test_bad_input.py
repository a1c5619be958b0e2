"""What is wrong with a request is answered exactly, in the dialect of its surface, before any connection to a provider."""

import http.client
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import httpx2
import pytest

from tests.e2e.proofs.conftest import organization_of
from tests.e2e.proofs.surfaces import ANTHROPIC, OPENAI, SURFACES, Surface, as_json, name_of
from tests.support.demo_upstream import DemoUpstreamClient
from tests.support.local_cloud import LocalCloud
from tests.support.organization import Organization
from tests.support.provider import FakeProvider

WAYS_IN = ["base_url", "rest_url"]
INVALID = "invalid_request_error"
# Beyond what Lambda hands to a function, and beyond what `navplane serve` takes (test_serve has that one).
TOO_LARGE_FOR_AN_EVENT = 7 << 20


@pytest.fixture(autouse=True)
def _no_provider_is_reached(shared: Organization, upstream: DemoUpstreamClient, provider: FakeProvider) -> Iterator[None]:
    """Neither the one that is played, nor the demo upstream, which an organization's new key is shown to."""
    before = (provider.connections, len(provider.requests), calls_seen(upstream))
    yield
    assert (provider.connections, len(provider.requests), calls_seen(upstream)) == before


def calls_seen(upstream: DemoUpstreamClient) -> list[int]:
    return [captured.id for captured in upstream.requests() if captured.target != "/v1/models"]


@pytest.fixture(scope="module")
def shared(cloud: LocalCloud, provider: FakeProvider) -> Organization:
    """Nothing that is refused here changes it."""
    return organization_of(cloud, provider)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bad:
    """`body` makes the bytes for a surface; `openai` and `anthropic` are the status and the word for it in each dialect."""

    name: str
    openai: tuple[int, str]
    anthropic: tuple[int, str]
    body: Callable[[Surface], bytes] = lambda surface: as_json(surface.body())
    headers: Mapping[str, str] = field(default_factory=dict)
    query: str = ""

    def expected(self, surface: Surface) -> tuple[int, str]:
        return self.openai if surface is OPENAI else self.anthropic


def raw(body: bytes) -> Callable[[Surface], bytes]:
    return lambda _: body


def with_members(members: bytes) -> Callable[[Surface], bytes]:
    return lambda surface: as_json(surface.body())[:-1] + b"," + members + b"}"


def without_model(surface: Surface) -> bytes:
    return as_json({name: value for name, value in surface.body().items() if name != "model"})


def naming(model: Any) -> Callable[[Surface], bytes]:
    return lambda surface: as_json(surface.body(model=model))


UNKNOWN_KEY = f"np_{uuid4()}"
TABLE = [
    Bad(name="malformed JSON", body=raw(b'{"model": "demo",'), openai=(400, "invalid_json"), anthropic=(400, INVALID)),
    Bad(name="no body", body=raw(b""), openai=(400, "invalid_json"), anthropic=(400, INVALID)),
    Bad(name="an array", body=raw(b"[]"), openai=(400, "invalid_json"), anthropic=(400, INVALID)),
    Bad(name="trailing data", body=lambda s: as_json(s.body()) + b"{}", openai=(400, "invalid_json"), anthropic=(400, INVALID)),
    Bad(name="NaN", body=with_members(b'"top_p":NaN'), openai=(400, "invalid_json"), anthropic=(400, INVALID)),
    Bad(name="half a surrogate", body=with_members(b'"a":"\\ud800"'), openai=(400, "invalid_json"), anthropic=(400, INVALID)),
    Bad(name="not UTF-8", body=with_members(b'"a":"\xff"'), openai=(400, "invalid_json"), anthropic=(400, INVALID)),
    Bad(name="too deep", body=raw(b"[" * 10_000), openai=(400, "invalid_json"), anthropic=(400, INVALID)),
    Bad(name="model twice", body=with_members(b'"model":"demo"'), openai=(400, "invalid_model"), anthropic=(400, INVALID)),
    Bad(
        name="model twice, once escaped",
        body=with_members(b'"\\u006dodel":"demo-429"'),
        openai=(400, "invalid_model"),
        anthropic=(400, INVALID),
    ),
    Bad(name="no model", body=without_model, openai=(400, "invalid_model"), anthropic=(400, INVALID)),
    Bad(name="model is a number", body=naming(5), openai=(400, "invalid_model"), anthropic=(400, INVALID)),
    Bad(name="unknown model", body=naming("llama-9"), openai=(404, "model_not_found"), anthropic=(404, "not_found_error")),
    Bad(
        name="wrong content type",
        headers={"content-type": "text/plain"},
        openai=(415, "unsupported_media_type"),
        anthropic=(415, INVALID),
    ),
    Bad(
        name="compressed",
        headers={"content-encoding": "gzip"},
        openai=(415, "unsupported_media_type"),
        anthropic=(415, INVALID),
    ),
    Bad(
        name="two different credentials",
        headers={"x-api-key": "sk-ant-something-else"},
        openai=(400, "ambiguous_credentials"),
        anthropic=(400, INVALID),
    ),
    Bad(
        name="two different keys of ours",
        headers={"api-key": UNKNOWN_KEY},
        openai=(400, "ambiguous_credentials"),
        anthropic=(400, INVALID),
    ),
    Bad(
        name="no credential",
        headers={"authorization": ""},
        openai=(401, "invalid_api_key"),
        anthropic=(401, "authentication_error"),
    ),
    Bad(
        name="somebody else's key",
        headers={"authorization": "Bearer sk-proj-something"},
        openai=(401, "invalid_api_key"),
        anthropic=(401, "authentication_error"),
    ),
    Bad(
        name="unknown key",
        headers={"authorization": f"Bearer {UNKNOWN_KEY}"},
        openai=(401, "invalid_api_key"),
        anthropic=(401, "authentication_error"),
    ),
    Bad(name="key in the query", query=f"?key={UNKNOWN_KEY}", openai=(400, "bad_query"), anthropic=(400, INVALID)),
    Bad(
        name="more than 100 headers",
        headers={f"x-{number}": "1" for number in range(101)},
        openai=(431, "headers_too_large"),
        anthropic=(431, INVALID),
    ),
    Bad(name="a loop", headers={"x-navplane-hop": "1"}, openai=(508, "loop_detected"), anthropic=(508, "api_error")),
]


def assert_is_ours(answer: httpx2.Response) -> None:
    """The headers of an answer of NavPlane's own, which no SDK tries again and nobody keeps."""
    assert answer.headers["x-should-retry"] == "false"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert {"retry-after", "server", "x-demo-capture-id"}.isdisjoint(answer.headers)


@pytest.mark.parametrize("way_in", WAYS_IN)
@pytest.mark.parametrize("surface", SURFACES, ids=name_of)
@pytest.mark.parametrize("bad", TABLE, ids=[bad.name for bad in TABLE])
def test_bad_input_has_its_exact_answer(
    bad: Bad, surface: Surface, way_in: str, cloud: LocalCloud, shared: Organization, client: httpx2.Client
) -> None:
    headers = {**surface.asked(shared.api_key), **bad.headers}
    url = getattr(cloud, way_in) + surface.path + bad.query
    answer = client.post(url, content=bad.body(surface), headers=headers)
    assert surface.refusal(answer) == bad.expected(surface)
    assert_is_ours(answer)


@pytest.mark.parametrize("surface", SURFACES, ids=name_of)
def test_keys_that_do_not_sign_in_look_alike(
    surface: Surface, cloud: LocalCloud, organization: Organization, client: httpx2.Client
) -> None:
    revoked = organization.rotate_key()
    url, body = cloud.base_url + surface.path, surface.body()
    answers = [client.post(url, json=body, headers=surface.asked(key)) for key in (revoked, UNKNOWN_KEY, "np_nonsense")]
    assert len({(answer.status_code, answer.json()["error"]["message"]) for answer in answers}) == 1


PATHS = [
    ("POST", "/v1/nothing", (404, "unknown_endpoint")),
    ("POST", "/v1/uploads", (404, "unknown_endpoint")),
    ("GET", "/v1/files", (405, "method_not_allowed")),
    ("GET", "/v1/chat/completions", (405, "method_not_allowed")),
    ("DELETE", "/v1/models", (405, "method_not_allowed")),
    ("POST", "/v1/../admin/orgs", (400, "bad_path")),
    ("POST", "/v1/%2e%2e/v1/chat/completions", (400, "bad_path")),
    ("POST", "/v1/chat%2fcompletions", (400, "bad_path")),
    ("POST", "/v1//chat/completions", (400, "bad_path")),
    ("POST", "/@evil.example/v1/chat/completions", (400, "bad_path")),
]


@pytest.mark.parametrize(("method", "path", "expected"), PATHS)
def test_paths_that_are_not_served_are_refused_as_they_stand(
    method: str, path: str, expected: tuple[int, str], cloud: LocalCloud, shared: Organization
) -> None:
    """With http.client, since an HTTP library would tidy the path first."""
    answer = as_it_stands(cloud.base_url, method, path, OPENAI.asked(shared.api_key), as_json(OPENAI.body()))
    assert OPENAI.refusal(answer) == expected
    assert_is_ours(answer)


def test_an_unknown_path_is_answered_in_the_dialect_of_who_asks(cloud: LocalCloud, shared: Organization) -> None:
    answer = as_it_stands(cloud.base_url, "POST", "/v1/nothing", ANTHROPIC.asked(shared.api_key), b"{}")
    assert ANTHROPIC.refusal(answer) == (404, "not_found_error")


def as_it_stands(url: str, method: str, path: str, headers: dict[str, str], body: bytes) -> httpx2.Response:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return httpx2.Response(answer.status, headers=answer.getheaders(), content=answer.read())
    finally:
        connection.close()


@pytest.mark.parametrize("way_in", WAYS_IN)
def test_a_body_that_no_event_can_hold_is_413_and_no_function_is_invoked(
    way_in: str, cloud: LocalCloud, shared: Organization, client: httpx2.Client
) -> None:
    """Said by the platform, before the proxy and so in no dialect: https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html"""
    said = len(cloud.log.lines)
    headers = OPENAI.asked(shared.api_key)
    answer = client.post(getattr(cloud, way_in) + OPENAI.path, content=b" " * TOO_LARGE_FOR_AN_EVENT, headers=headers)
    assert answer.status_code == 413
    # The call before this one may be told of late.
    told = [line for function, line in cloud.log.lines[said:] if function == "proxy" and '"unknown_endpoint"' not in line]
    assert told == []


# -- refused by the gate: the caller is known, so there is a row ------------------------------------------------------------


def disable(organization: Organization) -> None:
    organization.set_enabled(False)


def block_model(organization: Organization) -> None:
    organization.call("PUT", "provider-settings", json={"block_models": ["demo*"]})


def disable_providers(organization: Organization) -> None:
    organization.call(
        "PUT", "provider-settings", json={"providers": {name: {"enabled": False} for name in ("openai", "anthropic")}}
    )


def remove_keys(organization: Organization) -> None:
    for key in organization.call("GET", "provider-keys")["items"]:
        organization.call("DELETE", f"provider-keys/{key['id']}")


DECISIONS = [
    (disable, (403, "organization_disabled"), (403, "permission_error")),
    (block_model, (403, "model_not_allowed"), (403, "permission_error")),
    (disable_providers, (403, "model_not_allowed"), (403, "permission_error")),
    (remove_keys, (400, "provider_key_missing"), (400, INVALID)),
]


@pytest.mark.parametrize(("decide", "openai", "anthropic"), DECISIONS)
def test_a_decision_against_the_call_is_answered_and_recorded(
    decide: Callable[[Organization], None],
    openai: tuple[int, str],
    anthropic: tuple[int, str],
    cloud: LocalCloud,
    organization: Organization,
    client: httpx2.Client,
) -> None:
    decide(organization)
    answers = {}
    for surface, expected in ((OPENAI, openai), (ANTHROPIC, anthropic)):
        answer = client.post(cloud.base_url + surface.path, json=surface.body(), headers=surface.asked(organization.api_key))
        assert surface.refusal(answer) == expected
        assert_is_ours(answer)
        answers[answer.headers["x-navplane-request-id"]] = answer
    if decide is remove_keys:
        assert all(f"/admin/orgs/{organization.id}/provider-keys" in answer.text for answer in answers.values())
    rows = {row["request_id"]: row for row in organization.wait_for_rows(2)}
    assert set(rows) == set(answers)
    for row in rows.values():
        found = (row["status"], row["error_code"], row["outcome"], row["usage_quality"], row["total_tokens"], row["attempts"])
        assert found == (*openai, "refused", "exact", 0, 0)
