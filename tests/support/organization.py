"""An organization of a running NavPlane, made through the admin API and driven as its owner would."""

import time
from dataclasses import dataclass, field
from typing import Any, Self
from uuid import uuid4

import httpx2

from tests.support.demo_upstream import NO_TLS

ROWS_SECONDS = 5.0


@dataclass(slots=True, kw_only=True)
class Organization:
    """`api_key` follows a rotation. Provider keys begin with `sk-demo-`, so the demo upstream answers."""

    admin_url: str
    admin_token: str = field(repr=False)
    id: str
    api_key: str = field(repr=False)

    @classmethod
    def create(cls, *, admin_url: str, admin_token: str, provider_keys: bool = True) -> Self:
        made = _call("POST", f"{admin_url}/admin/orgs", admin_token, json={"name": f"test {uuid4().hex[:8]}"})
        organization = cls(admin_url=admin_url, admin_token=admin_token, id=made["id"], api_key=made["api_key"])
        for provider in ("openai", "anthropic") if provider_keys else ():
            organization.add_provider_key(provider, f"sk-demo-{uuid4().hex}")
        return organization

    def add_provider_key(self, provider: str, api_key: str) -> dict[str, Any]:
        return self.call("POST", "provider-keys", json={"provider": provider, "label": "test", "api_key": api_key})

    def rotate_key(self) -> str:
        """Return the key that is refused from here on."""
        old, self.api_key = self.api_key, str(self.call("POST", "rotate-key")["api_key"])
        return old

    def set_enabled(self, enabled: bool) -> None:
        self.call("PUT", "enabled", json={"enabled": enabled})

    def update(self, **changes: Any) -> None:
        _call("PUT", f"{self.admin_url}/admin/orgs/{self.id}", self.admin_token, json=changes)

    def delete(self) -> None:
        _call("DELETE", f"{self.admin_url}/admin/orgs/{self.id}", self.admin_token)

    def rows(self) -> list[dict[str, Any]]:
        """Every row, oldest first."""
        rows: list[dict[str, Any]] = []
        cursor: str | None = None
        while True:
            page = self.call("GET", "requests", params={"limit": 100} | ({"cursor": cursor} if cursor else {}))
            rows += page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                return rows[::-1]

    def wait_for_rows(self, count: int) -> list[dict[str, Any]]:
        """The rows once there are `count` of them, which must be within five seconds."""
        deadline = time.monotonic() + ROWS_SECONDS
        while len(rows := self.rows()) < count:
            assert time.monotonic() < deadline, f"{len(rows)} of {count} rows after {ROWS_SECONDS} seconds"
            time.sleep(0.05)
        return rows

    def call(self, method: str, what: str, **options: Any) -> dict[str, Any]:
        return _call(method, f"{self.admin_url}/admin/orgs/{self.id}/{what}", self.admin_token, **options)


def _call(method: str, url: str, token: str, **options: Any) -> dict[str, Any]:
    headers = {"authorization": f"Bearer {token}"}
    answer = httpx2.request(method, url, headers=headers, timeout=30, trust_env=False, verify=NO_TLS, **options)
    assert answer.is_success, f"{answer.status_code} {answer.text}"
    return dict(answer.json() if answer.content else {})
