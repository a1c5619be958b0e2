"""The two surfaces as a caller knows them: where they are, what a call looks like, and how a refusal reads."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx2


@dataclass(frozen=True, slots=True, kw_only=True)
class Surface:
    """`native` is the model that routes to the surface's own provider; `demo` and `demo-…` route to either."""

    name: str
    path: str
    native: str
    id_header: str
    headers: Mapping[str, str]

    def body(self, text: str = "hi", **changes: Any) -> dict[str, Any]:
        return {"model": "demo", "max_tokens": 50, "messages": [{"role": "user", "content": text}]} | changes

    def asked(self, key: str, **more: str) -> dict[str, str]:
        """The headers of a call with this API key."""
        return {"authorization": f"Bearer {key}", "content-type": "application/json", **self.headers, **more}

    def refusal(self, answer: httpx2.Response) -> tuple[int, str]:
        """The status, and the word that names the error in this dialect, whose whole shape is checked on the way."""
        body, ours = answer.json(), answer.headers["x-navplane-request-id"]
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers[self.id_header] == ours
        if self.name == "anthropic":
            assert (set(body), body["type"], body["request_id"]) == ({"type", "error", "request_id"}, "error", ours)
            assert set(body["error"]) == {"type", "message"}
            return answer.status_code, str(body["error"]["type"])
        assert set(body) == {"error"}
        assert set(body["error"]) == {"message", "type", "param", "code"}
        return answer.status_code, str(body["error"]["code"])


OPENAI = Surface(name="openai", path="/v1/chat/completions", native="gpt-5", id_header="x-request-id", headers={})
ANTHROPIC = Surface(
    name="anthropic",
    path="/v1/messages",
    native="claude-opus-5",
    id_header="request-id",
    headers={"anthropic-version": "2023-06-01"},
)
SURFACES = [OPENAI, ANTHROPIC]


def name_of(value: object) -> str | None:
    """For pytest's ids."""
    return value.name if isinstance(value, Surface) else None


def as_json(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body).encode()
