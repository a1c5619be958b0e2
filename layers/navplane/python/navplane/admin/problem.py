"""Errors of the admin API as problem documents (RFC 9457): one shape for every refusal, and nothing of ours or yours in it."""

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from navplane.errors import Invalid, InvalidJSON, MethodNotAllowed, NavPlaneError, NotFound, UnknownEndpoint

MEDIA_TYPE = "application/problem+json"
# RFC 9110's phrases, spelled out: the interpreter's own have changed between releases.
TITLES = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    409: "Conflict",
    410: "Gone",
    412: "Precondition Failed",
    413: "Content Too Large",
    422: "Unprocessable Content",
    429: "Too Many Requests",
    500: "Internal Server Error",
    503: "Service Unavailable",
}
# What may be repeated of the name of a field that somebody sent: a secret in the wrong place does not look like this.
FIELD_NAME = re.compile(r"[a-z][a-z_]{0,40}")
MAX_ERRORS = 20


class FieldProblem(BaseModel):
    field: str = Field(examples=["body.name"])
    message: str = Field(examples=["Field required"])


class Problem(BaseModel):
    """What went wrong. `code` is stable and meant for programs, `detail` for people; ids of requests are in our logs."""

    type: str = Field(examples=["urn:navplane:problem:not_found"])
    title: str = Field(examples=["Not Found"])
    status: int = Field(examples=[404])
    detail: str = Field(examples=["There is no such organization."])
    code: str = Field(examples=["not_found"])
    request_id: str = Field(examples=["0b0f6f2e-7c0e-4c58-8f0b-0e4a5a1f9f1e"])
    errors: list[FieldProblem] | None = Field(default=None, description="With code `invalid`: each field that was refused.")


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What an operation documents: the given refusals and those that every operation can answer with."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {
        status: {"description": TITLES[status], "content": content} for status in sorted({*statuses, 401, 403, 429, 500, 503})
    }


def document(*, status: int, code: str, detail: str, request_id: str, **extensions: object) -> dict[str, object]:
    return {
        "type": f"urn:navplane:problem:{code}",
        "title": TITLES.get(status) or HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        "request_id": request_id,
        **extensions,
    }


def response(
    error: NavPlaneError, *, request_id: str, headers: Mapping[str, str] | None = None, **extensions: object
) -> JSONResponse:
    # What is ours to mend is described in our logs, not to a stranger.
    detail = error.message if error.status != 500 else "Something went wrong on our side. The request id finds it in the logs."
    body = document(status=error.status, code=error.code, detail=detail, request_id=request_id, **extensions)
    sent = {**_headers(error), **(headers or {})}
    return JSONResponse(body, status_code=error.status, headers=sent, media_type=MEDIA_TYPE)


def _headers(error: NavPlaneError) -> dict[str, str]:
    headers = {}
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    return headers


async def of_ours(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, NavPlaneError)
    request.state.error_code = error.code
    return response(error, request_id=request.state.request_id)


async def of_routing(request: Request, error: Exception) -> JSONResponse:
    """What Starlette and FastAPI refuse by themselves: an unknown path, a wrong method, a body that can't be parsed."""
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        return await of_ours(request, UnknownEndpoint("There is nothing at this path."))
    if error.status_code == 405:
        refused = MethodNotAllowed("This path does not take this method; the Allow header says which it takes.")
        return response(refused, request_id=request.state.request_id, headers={"allow": _allowed(request)})
    return await of_ours(request, InvalidJSON("The body is not JSON."))


def _allowed(request: Request) -> str:
    """All methods of the path. Starlette tells those of the first of its routes only."""
    routes = (route for router in request.app.state.routers for route in router.routes if isinstance(route, APIRoute))
    path = request.scope["path"]
    return ", ".join(sorted({method for route in routes if route.path_regex.match(path) for method in route.methods or ()}))


async def of_validation(request: Request, error: Exception) -> JSONResponse:
    """The values that were sent are never repeated: one of them may be a secret in the wrong place."""
    assert isinstance(error, RequestValidationError)
    found: Sequence[Mapping[str, Any]] = error.errors()
    if any(one["type"] == "json_invalid" for one in found):
        return await of_ours(request, InvalidJSON("The body is not JSON."))
    if any(one["loc"][0] == "path" for one in found):
        return await of_ours(request, NotFound("There is nothing of that id."))
    refused = Invalid("Some of what was sent can't be accepted; `errors` says what.")
    request.state.error_code = refused.code
    errors = [{"field": _field(one["loc"]), "message": _message(one)} for one in found[:MAX_ERRORS]]
    return response(refused, request_id=request.state.request_id, errors=errors)


def _message(found: Mapping[str, Any]) -> str:
    """The rule that was broken. A body under another media type is not parsed, which the rule alone would not tell."""
    if found["type"] == "model_attributes_type":
        return "Must be a JSON object, sent with `Content-Type: application/json`."
    return str(found["msg"])


def _field(location: Sequence[object]) -> str:
    return ".".join(str(part) if isinstance(part, int) or FIELD_NAME.fullmatch(str(part)) else "?" for part in location)
