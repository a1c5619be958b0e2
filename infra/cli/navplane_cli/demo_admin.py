"""The admin calls that the demo application makes."""

from dataclasses import dataclass, field
from typing import Any, Self

import httpx2


@dataclass(frozen=True, slots=True, kw_only=True)
class Admin:
    """One organization, as a platform admin. `url` ends in /admin. What is no success rises as httpx2.HTTPStatusError."""

    url: str
    token: str = field(repr=False)
    org_id: str

    @classmethod
    def of_the_only_organization(cls, *, url: str, token: str) -> Self:
        """The one that a new NavPlane is seeded with."""
        [organization] = _call("GET", f"{url}/orgs", token)["items"]
        return cls(url=url, token=token, org_id=organization["id"])

    def rotate_key(self) -> str:
        """Replace the default key; the old one is refused from here on."""
        return str(self._call("POST", "rotate-key")["api_key"])

    def set_enabled(self, enabled: bool) -> None:
        self._call("PUT", "enabled", json={"enabled": enabled})

    def requests(self) -> list[dict[str, Any]]:
        """The latest rows, newest first."""
        return list(self._call("GET", "requests", params={"limit": 100})["items"])

    def _call(self, method: str, what: str, **options: Any) -> dict[str, Any]:
        return _call(method, f"{self.url}/orgs/{self.org_id}/{what}", self.token, **options)


def _call(method: str, url: str, token: str, **options: Any) -> dict[str, Any]:
    # Proxies of the environment are for other hosts than this machine.
    with httpx2.Client(trust_env=False, timeout=30, headers={"authorization": f"Bearer {token}"}) as client:
        answer = client.request(method, url, **options)
    return dict(answer.raise_for_status().json() if answer.content else {})
