"""The admin API as the console sees it: called with the token of whoever is signed in, so that it shows what they may see."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx2

from navplane.errors import DependencyUnavailable, Forbidden, NavPlaneError, NotFound, RateLimited, Unauthenticated

TIMEOUT_SECONDS = 20.0
PAGE_SIZE = 200
MAX_PAGES = 5
REFUSALS: Mapping[int, type[NavPlaneError]] = {401: Unauthenticated, 403: Forbidden, 404: NotFound, 429: RateLimited}


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """Items of a list, newest first. `more`: there are others behind them."""

    items: list[dict[str, Any]]
    more: bool


class AdminApi:
    """`transport` makes what requests go through, where they don't go over the network: `navplane serve` asks itself."""

    def __init__(self, url: str, *, transport: Callable[[], httpx2.AsyncBaseTransport] | None = None) -> None:
        self._url, self._transport = url.rstrip("/"), transport

    async def organizations(self, token: str) -> Listed:
        return await self._listed("/admin/orgs", token)

    async def organization(self, token: str, org_id: UUID) -> dict[str, Any]:
        """Raise NotFound for one that they may not see."""
        return await self._read(f"/admin/orgs/{org_id}", token)

    async def workspaces(self, token: str, org_id: UUID) -> Listed:
        return await self._listed(f"/admin/orgs/{org_id}/workspaces", token)

    async def _listed(self, path: str, token: str) -> Listed:
        items: list[dict[str, Any]] = []
        cursor: str | None = None
        for _ in range(MAX_PAGES):
            page = await self._read(path, token, limit=str(PAGE_SIZE), **({"cursor": cursor} if cursor else {}))
            items += page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        return Listed(items=items, more=cursor is not None)

    async def _read(self, path: str, token: str, **query: str) -> dict[str, Any]:
        """Raise what the admin API refused with, and DependencyUnavailable when it is away or fails."""
        # A client for each call: on Lambda no connection may outlive the event loop that opened it.
        transport = self._transport() if self._transport else None
        try:
            async with httpx2.AsyncClient(timeout=TIMEOUT_SECONDS, trust_env=False, transport=transport) as client:
                headers = {"authorization": f"Bearer {token}"}
                response = await client.get(self._url + path, params=query, headers=headers)
                answer = response.json()
        except (httpx2.HTTPError, httpx2.InvalidURL, ValueError) as exc:
            raise DependencyUnavailable("The admin API could not be reached.", retry_after=2) from exc
        if response.status_code != 200:
            refusal = REFUSALS.get(response.status_code, DependencyUnavailable)
            raise refusal(_detail(answer) or "The admin API did not answer.", retry_after=_seconds(response))
        return dict(answer)


def _detail(problem: Any) -> str | None:
    detail = problem.get("detail") if isinstance(problem, dict) else None
    return detail if isinstance(detail, str) else None


def _seconds(response: httpx2.Response) -> int | None:
    value = response.headers.get("retry-after", "")
    return int(value) if value.isdecimal() else None
