"""From an HTTP request to the event a function gets: payload 2.0 (Function URLs, HTTP API) and 1.0 (REST API).

https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
"""

import base64
import fnmatch
import json
import time
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, unquote
from uuid import uuid4

from navplane_local.http_request import EVENT_LIMIT, HttpRequest, RequestTooLarge
from navplane_local.resolver import ACCOUNT_ID

TEXT_TYPES = ("text/", "application/json", "application/xml", "application/javascript")


def encode(event: Mapping[str, Any]) -> bytes:
    """Raise RequestTooLarge for what Lambda would not take."""
    payload = json.dumps(event, separators=(",", ":")).encode()
    if len(payload) > EVENT_LIMIT:
        raise RequestTooLarge
    return payload


def v2(
    request: HttpRequest, *, api_id: str, account_id: str, route_key: str, path_parameters: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Repeated headers are joined by commas, cookies have a list of their own, path and query stay as they were sent."""
    body, encoded = _body(request, text=_is_text(request))
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": route_key,
        "rawPath": request.raw_path,
        "rawQueryString": request.raw_query,
        "headers": _joined(request),
        "requestContext": _v2_context(request, api_id, account_id, route_key),
        "isBase64Encoded": encoded,
    }
    cookies = [part.strip() for name, value in request.headers if name == "cookie" for part in value.split(";")]
    pairs = parse_qsl(request.raw_query, keep_blank_values=True)
    optional = {
        "cookies": cookies,
        "queryStringParameters": {name: ",".join(values) for name, values in _multi(pairs).items()},
        "pathParameters": path_parameters,
        "body": body,
    }
    return event | {name: value for name, value in optional.items() if value}


def v1(
    request: HttpRequest,
    *,
    api_id: str,
    stage: str,
    resource: str,
    path: str,
    path_parameters: Mapping[str, str],
    binary_types: Sequence[str],
) -> dict[str, Any]:
    """`path` is the part after the stage, undecoded. Path and query parameters reach the function decoded."""
    body, encoded = _body(request, text=not _matches(request.header("content-type") or "application/json", binary_types))
    headers = _multi(_with_forwarded(request))
    query = _multi(parse_qsl(request.raw_query, keep_blank_values=True))
    return {
        "resource": resource,
        "path": unquote(path),
        "httpMethod": request.method,
        "headers": {name: values[-1] for name, values in headers.items()},
        "multiValueHeaders": headers,
        "queryStringParameters": {name: values[-1] for name, values in query.items()} or None,
        "multiValueQueryStringParameters": query or None,
        "pathParameters": dict(path_parameters) or None,
        "stageVariables": None,
        "requestContext": _v1_context(request, api_id, stage, resource, path),
        "body": body,
        "isBase64Encoded": encoded,
    }


def _v2_context(request: HttpRequest, api_id: str, account_id: str, route_key: str) -> dict[str, Any]:
    now = time.time()
    return {
        "accountId": account_id,
        "apiId": api_id,
        "domainName": request.host,
        "domainPrefix": api_id,
        "http": {
            "method": request.method,
            "path": request.raw_path,
            "protocol": "HTTP/1.1",
            "sourceIp": request.source_ip,
            "userAgent": request.header("user-agent"),
        },
        "requestId": str(uuid4()),
        "routeKey": route_key,
        "stage": "$default",
        "time": time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(now)),
        "timeEpoch": int(now * 1000),
    }


def _v1_context(request: HttpRequest, api_id: str, stage: str, resource: str, path: str) -> dict[str, Any]:
    now = time.time()
    return {
        "accountId": ACCOUNT_ID,
        "apiId": api_id,
        "domainName": request.host,
        "domainPrefix": api_id,
        "httpMethod": request.method,
        "identity": {"sourceIp": request.source_ip, "userAgent": request.header("user-agent")},
        "path": f"/{stage}{path}",
        "protocol": "HTTP/1.1",
        "requestId": str(uuid4()),
        "requestTime": time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(now)),
        "requestTimeEpoch": int(now * 1000),
        "resourcePath": resource,
        "stage": stage,
    }


def _with_forwarded(request: HttpRequest) -> list[tuple[str, str]]:
    """A caller's own x-forwarded-for is kept, and its address added; the other two are replaced."""
    ours = {"x-forwarded-for", "x-forwarded-port", "x-forwarded-proto", "x-amzn-trace-id"}
    chain = [value for name, value in request.headers if name == "x-forwarded-for"]
    return [
        *((name, value) for name, value in request.headers if name not in ours),
        ("x-forwarded-for", ", ".join([*chain, request.source_ip])),
        ("x-forwarded-port", "443"),
        ("x-forwarded-proto", "https"),
        ("x-amzn-trace-id", f"Root=1-{int(time.time()):08x}-{uuid4().hex[:24]}"),
    ]


def _joined(request: HttpRequest) -> dict[str, str]:
    headers = _multi(_with_forwarded(request))
    return {name: ",".join(values) for name, values in headers.items() if name != "cookie"}


def _multi(pairs: Sequence[tuple[str, str]]) -> dict[str, list[str]]:
    collected: dict[str, list[str]] = {}
    for name, value in pairs:
        collected.setdefault(name, []).append(value)
    return collected


def _body(request: HttpRequest, *, text: bool) -> tuple[str | None, bool]:
    if not request.body:
        return None, False
    if text:
        try:
            return request.body.decode(), False
        except UnicodeDecodeError:
            pass
    return base64.b64encode(request.body).decode(), True


def _is_text(request: HttpRequest) -> bool:
    kind = request.header("content-type").lower()
    return kind.startswith(TEXT_TYPES) and not request.header("content-encoding")


def _matches(content_type: str, patterns: Sequence[str]) -> bool:
    kind = content_type.split(";")[0].strip().lower()
    return any(fnmatch.fnmatchcase(kind, pattern) for pattern in patterns)
