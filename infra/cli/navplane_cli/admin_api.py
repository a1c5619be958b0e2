"""The admin API as the operator's commands call it: where and by whose word, the environment says."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import httpx2
import typer

URL, TOKEN = "NAVPLANE_ADMIN_URL", "NAVPLANE_ADMIN_TOKEN"
PATIENCE_SECONDS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminApi:
    """`url` ends in /admin. Whatever is no success ends the command, with the problem's own words on standard error."""

    url: str
    token: str = field(repr=False)

    @classmethod
    def from_env(cls, env: Mapping[str, str] = os.environ) -> Self:
        url, token = env.get(URL, ""), env.get(TOKEN, "")
        if not (url and token):
            raise _ended(f"Set {URL} and {TOKEN}. Locally they are in .navplane/dev.env: set -a; . .navplane/dev.env")
        return cls(url=url.rstrip("/"), token=token)

    def get(self, path: str, **params: Any) -> dict[str, Any]:
        return self._call("GET", path, params=params)

    def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        return self._call("POST", path, json=dict(body))

    def put(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        return self._call("PUT", path, json=dict(body))

    def items(self, path: str) -> Iterator[dict[str, Any]]:
        """All of a list, page by page."""
        cursor: str | None = None
        while True:
            page = self.get(path, **({"cursor": cursor} if cursor else {}))
            yield from page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                return

    def organizations(self, org: str | None, *, every: bool) -> list[str]:
        """The ids that `--org` or `--all` names: exactly one of the two must be given."""
        if (org is not None) == every:
            raise _ended("Say --org ID for one organization, or --all for every one.")
        return [org] if org is not None else [item["id"] for item in self.items("/orgs")]

    def _call(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        headers = {"authorization": f"Bearer {self.token}"}
        try:
            with httpx2.Client(trust_env=False, timeout=PATIENCE_SECONDS, headers=headers) as client:
                answer = client.request(method, self.url + path, **options)
        except httpx2.HTTPError as exc:
            raise _ended(f"{self.url} can't be reached: {type(exc).__name__}.") from exc
        if answer.is_success:
            return dict(answer.json()) if answer.content else {}
        raise _ended(f"{method} {path} was answered with {answer.status_code}: {_words(answer)}")


def _words(answer: httpx2.Response) -> str:
    try:
        problem = answer.json()
    except ValueError:
        return answer.reason_phrase
    return str(problem.get("detail") or problem.get("title") or answer.reason_phrase)


def _ended(why: str) -> typer.Exit:
    typer.echo(why, err=True)
    return typer.Exit(1)
