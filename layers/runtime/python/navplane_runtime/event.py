"""A Lambda event of a function URL (payload 2.0) or of a REST API (payload 1.0) → an ASGI http scope and the body."""

import base64
import binascii
import json
import string
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote, unquote

Event = Mapping[str, Any]
Scope = dict[str, Any]
Headers = list[tuple[bytes, bytes]]

VISIBLE_ASCII = "".join(c for c in string.printable if c.isprintable() and c != " ")
# What RFC 3986 (3.3) lets stand in a path; everything else is percent-encoded when a decoded path is written again.
PATH_CHARACTERS = "/!$&'()*+,;=:@"


class UnknownEvent(ValueError):
    """The event is not an HTTP request in one of the two payload formats."""


def parse(event: bytes) -> tuple[Scope, bytes]:
    """Raise UnknownEvent for anything that is not an HTTP request."""
    try:
        document = json.loads(event)
        return to_scope(document), body_of(document)
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise UnknownEvent(f"the event is not an HTTP request of a function URL or a REST API: {exc!r}") from exc


def is_rest(event: Event) -> bool:
    return "httpMethod" in event


def to_scope(event: Event) -> Scope:
    parts = _rest(event) if is_rest(event) else _function_url(event)
    headers: Headers = parts["headers"]
    named = dict(headers)
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": parts.pop("protocol", "HTTP/1.1").removeprefix("HTTP/"),
        "scheme": named.get(b"x-forwarded-proto", b"https").decode("latin-1"),
        "server": _server(named.get(b"host", b"").decode("latin-1")),
        "path": unquote(parts["raw_path"].decode("ascii")),
        "extensions": {},
        "aws.event": event,
        **parts,
    }


def _function_url(event: Event) -> Scope:
    context = event["requestContext"]
    http = context["http"]
    raw_path, prefix = _without_stage(event["rawPath"], context.get("stage", "$default"))
    return {
        "method": http["method"],
        # Both verbatim: what the client sent is what is authorised and forwarded.
        "raw_path": _verbatim(raw_path),
        "query_string": _verbatim(event.get("rawQueryString") or ""),
        "root_path": prefix,
        "headers": _headers(event),
        "client": (http.get("sourceIp", ""), 0),
        "protocol": http.get("protocol", "HTTP/1.1"),
    }


def _rest(event: Event) -> Scope:
    context = event["requestContext"]
    path = event["path"]
    stage = f"/{context.get('stage', '')}"
    return {
        "method": event["httpMethod"],
        "raw_path": quote(path, safe=PATH_CHARACTERS).encode(),
        "query_string": _query(event).encode(),
        "root_path": stage if context.get("path") == stage + path else "",
        "headers": _multi_value_headers(event),
        "client": (context.get("identity", {}).get("sourceIp", ""), 0),
        "protocol": context.get("protocol") or "HTTP/1.1",
    }


def _without_stage(path: str, stage: str) -> tuple[str, str]:
    prefix = f"/{stage}"
    if stage != "$default" and (path == prefix or path.startswith(prefix + "/")):
        return path.removeprefix(prefix) or "/", prefix
    return path, ""


def _verbatim(text: str) -> bytes:
    """The same characters; only those that no request line can carry are percent-encoded."""
    return quote(text, safe=VISIBLE_ASCII, errors="surrogatepass").encode()


def _query(event: Event) -> str:
    """API Gateway hands over the query decoded. The order of different names is its own, not the client's."""
    many = event.get("multiValueQueryStringParameters")
    if many is None:
        many = {name: [value] for name, value in (event.get("queryStringParameters") or {}).items()}
    return "&".join(f"{_quoted(name)}={_quoted(value)}" for name, values in many.items() for value in values)


def _quoted(text: str) -> str:
    return quote(text, safe="", errors="surrogatepass")


def _headers(event: Event) -> Headers:
    """Names are lower-case and repeats comma-joined already; cookies come apart and are joined again (RFC 6265, 5.4)."""
    cookies = event.get("cookies") or []
    fields = [(name, value) for name, value in (event.get("headers") or {}).items() if not cookies or name.lower() != "cookie"]
    return _encoded([*fields, ("cookie", "; ".join(cookies))] if cookies else fields)


def _multi_value_headers(event: Event) -> Headers:
    many = event.get("multiValueHeaders")
    if many is None:
        return _encoded((event.get("headers") or {}).items())
    return _encoded((name, value) for name, values in many.items() for value in values)


def _encoded(fields: Iterable[tuple[str, str]]) -> Headers:
    return [(name.lower().encode("latin-1"), _field_value(value)) for name, value in fields]


def _field_value(value: str) -> bytes:
    try:
        return value.encode("latin-1")
    except UnicodeEncodeError:
        return value.encode("utf-8", "surrogatepass")


def _server(host: str) -> tuple[str, int | None]:
    name, _, port = host.rpartition(":")
    return (name, int(port)) if name and port.isdecimal() else (host, 443)


def body_of(event: Event) -> bytes:
    body: str = event.get("body") or ""
    if not event.get("isBase64Encoded"):
        # A lone surrogate can't be told apart from text here; as bytes it is invalid UTF-8, which the app can refuse.
        return body.encode("utf-8", "surrogatepass")
    try:
        return base64.b64decode(body, validate=True)
    except binascii.Error as exc:
        raise UnknownEvent(f"the body is not base64: {exc}") from exc
