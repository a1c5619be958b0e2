"""The demo organization and its demo provider keys, made through the real admin API; and the call that proves it works."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx2

NAME = "Demo"
PROVIDER_KEYS = {"openai": "sk-demo-openai", "anthropic": "sk-demo-anthropic"}
LABEL = "demo"
MODEL = "demo-chat"
ROW_SECONDS = 20.0
POLL_SECONDS = 0.1


class SelfTestFailed(RuntimeError):
    """What was expected, and what came instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoOrganization:
    org_id: str
    api_key: str


class Admin:
    """The admin API as a platform admin sees it. Raise SelfTestFailed for an answer that isn't a success."""

    def __init__(self, url: str, token: str) -> None:
        headers = {"Authorization": f"Bearer {token}"}
        self._client = httpx2.Client(base_url=url, headers=headers, timeout=60, trust_env=False)

    def __enter__(self) -> "Admin":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._client.close()

    def call(self, method: str, path: str, body: Mapping[str, object] | None = None) -> dict[str, Any]:
        response = self._client.request(method, path, json=body)
        if not response.is_success:
            raise SelfTestFailed(f"{method} {path} was answered with {response.status_code}: {response.text[:500]}")
        answer: dict[str, Any] = response.json()
        return answer

    def items(self, path: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        cursor = ""
        while True:
            page = self.call("GET", f"{path}{cursor}")
            found += page["items"]
            if not page.get("next_cursor"):
                return found
            cursor = f"?cursor={page['next_cursor']}"


def ensure(admin: Admin, known: DemoOrganization) -> DemoOrganization:
    """`known` if that organization is still there; else a new one, or a new key of the one that is. With both demo
    provider keys."""
    demo = _organization(admin, known)
    path = f"/admin/orgs/{demo.org_id}/provider-keys"
    present = {key["provider"] for key in admin.items(path)}
    for provider, key in PROVIDER_KEYS.items():
        if provider not in present:
            admin.call("POST", path, {"provider": provider, "label": LABEL, "api_key": key})
    return demo


def _organization(admin: Admin, known: DemoOrganization) -> DemoOrganization:
    organizations = admin.items("/admin/orgs")
    mine = [org["id"] for org in organizations if org["id"] == known.org_id or (not known.org_id and org["name"] == NAME)]
    if not mine:
        made = admin.call("POST", "/admin/orgs", {"name": NAME})
        return DemoOrganization(org_id=made["id"], api_key=made["api_key"])
    if known.api_key:
        return known
    rotated = admin.call("POST", f"/admin/orgs/{mine[0]}/rotate-key")
    return DemoOrganization(org_id=mine[0], api_key=rotated["api_key"])


def streamed_call(base_url: str, demo: DemoOrganization) -> tuple[int, str, int]:
    """A streamed chat completion. Returns its status, NavPlane's request id, and how many events came."""
    headers = {"Authorization": f"Bearer {demo.api_key}"}
    body = {"model": MODEL, "stream": True, "messages": [{"role": "user", "content": "Hello from the self-test"}]}
    with (
        httpx2.Client(timeout=60, trust_env=False) as client,
        client.stream("POST", f"{base_url}/v1/chat/completions", json=body, headers=headers) as response,
    ):
        events = sum(line.startswith("data:") for line in response.iter_lines())
        return response.status_code, response.headers.get("x-navplane-request-id", ""), events


def await_row(admin: Admin, demo: DemoOrganization, request_id: str) -> dict[str, Any]:
    """The row of that call, once it shows up through the admin API."""
    deadline = time.monotonic() + ROW_SECONDS
    while time.monotonic() < deadline:
        page = admin.call("GET", f"/admin/orgs/{demo.org_id}/requests?limit=20")
        for row in page["items"]:
            if row["request_id"] == request_id:
                return dict(row)
        time.sleep(POLL_SECONDS)
    raise SelfTestFailed(f"the row of request {request_id} did not show up within {ROW_SECONDS:.0f} seconds")
