"""GET /v1/models and /v1/models/{id}, in the dialect of the caller. Any name is a model, but for those with `no-such`."""

from typing import Any
from urllib.parse import unquote

from navplane_local.demo_upstream.completion import unknown_model
from navplane_local.demo_upstream.exchange import Answer, Dialect, Request, json_answer
from navplane_local.demo_upstream.native_headers import native_headers

LISTED = {
    Dialect.OPENAI: ("gpt-demo", "text-embedding-demo", "demo", "demo-cached", "demo-reasoning", "demo-long-50"),
    Dialect.ANTHROPIC: ("claude-demo", "demo", "demo-cached", "demo-reasoning", "demo-long-50"),
}
_RELEASED = 1767225600


def list_models(request: Request) -> Answer:
    names = LISTED[request.dialect]
    data = [_model(request.dialect, name) for name in names]
    body: dict[str, Any] = {"object": "list", "data": data}
    if request.dialect is Dialect.ANTHROPIC:
        body = {"data": data, "has_more": False, "first_id": names[0], "last_id": names[-1]}
    return json_answer(body, headers=native_headers(request.dialect))


def get_model(request: Request) -> Answer:
    name = unquote(request.path.removeprefix("/v1/models/"))
    if "no-such" in name:
        raise unknown_model(name)
    return json_answer(_model(request.dialect, name), headers=native_headers(request.dialect))


def _model(dialect: Dialect, name: str) -> dict[str, Any]:
    if dialect is Dialect.OPENAI:
        return {"id": name, "object": "model", "created": _RELEASED, "owned_by": "demo"}
    return {
        "type": "model",
        "id": name,
        "display_name": name.replace("-", " ").title(),
        "created_at": "2026-01-01T00:00:00Z",
        "lifecycle": "active",
        "max_input_tokens": 200000,
        "max_tokens": 64000,
    }
