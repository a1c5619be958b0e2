import json

import pytest
from navplane_runtime.event import UnknownEvent, parse

from tests.support.runtime_api import function_url_event, rest_event


def scope_of(event: object) -> dict[str, object]:
    return parse(json.dumps(event).encode())[0]


def body_of(event: object) -> bytes:
    return parse(json.dumps(event).encode())[1]


def test_function_url_event_becomes_an_http_scope() -> None:
    event = function_url_event(
        requestContext={"http": {"method": "POST", "protocol": "HTTP/2.0", "sourceIp": "192.0.2.9"}},
        headers={"host": "np.example:8443", "content-type": "application/json", "x-forwarded-proto": "http"},
    )
    scope = scope_of(event)
    assert scope["type"] == "http"
    assert scope["method"] == "POST"
    assert scope["http_version"] == "2.0"
    assert scope["scheme"] == "http"
    assert scope["server"] == ("np.example", 8443)
    assert scope["client"] == ("192.0.2.9", 0)
    assert scope["headers"] == [
        (b"host", b"np.example:8443"),
        (b"content-type", b"application/json"),
        (b"x-forwarded-proto", b"http"),
    ]
    assert scope["aws.event"] == event


@pytest.mark.parametrize("raw", ["/v1/a%2Fb", "/%2e%2e/x", "/v1//chat", "/caf%C3%A9", "/a;b=c:@&=+$,!*'()~[]|\\\"<>^`{}#?"])
def test_raw_path_of_a_function_url_is_kept_verbatim(raw: str) -> None:
    assert scope_of(function_url_event(rawPath=raw))["raw_path"] == raw.encode()


def test_characters_that_no_request_line_can_carry_are_percent_encoded() -> None:
    assert scope_of(function_url_event(rawPath="/é \x00"))["raw_path"] == b"/%C3%A9%20%00"


@pytest.mark.parametrize("raw", ["a=1&a=2&b=%20+", "key=%6b", "=&&", "q=%E2%82%AC"])
def test_query_string_of_a_function_url_is_kept_verbatim(raw: str) -> None:
    assert scope_of(function_url_event(rawQueryString=raw))["query_string"] == raw.encode()


def test_path_is_the_raw_path_decoded() -> None:
    assert scope_of(function_url_event(rawPath="/caf%C3%A9/a%2Fb"))["path"] == "/café/a/b"


def test_stage_of_an_http_api_moves_into_the_root_path() -> None:
    scope = scope_of(function_url_event(rawPath="/live/v1/models", requestContext={"stage": "live"}))
    assert (scope["root_path"], scope["raw_path"]) == ("/live", b"/v1/models")
    assert scope_of(function_url_event(rawPath="/live", requestContext={"stage": "live"}))["raw_path"] == b"/"


def test_a_path_that_only_begins_like_the_stage_is_left_alone() -> None:
    scope = scope_of(function_url_event(rawPath="/lively", requestContext={"stage": "live"}))
    assert (scope["root_path"], scope["raw_path"]) == ("", b"/lively")


def test_cookies_of_a_function_url_become_one_header() -> None:
    event = function_url_event(headers={"host": "h", "cookie": "a=1;b=2"}, cookies=["a=1", "b=2"])
    assert scope_of(event)["headers"] == [(b"host", b"h"), (b"cookie", b"a=1; b=2")]


def test_rest_event_becomes_an_http_scope() -> None:
    scope = scope_of(rest_event(httpMethod="DELETE", path="/v1/x", requestContext={"path": "/live/v1/x"}))
    assert scope["method"] == "DELETE"
    assert scope["raw_path"] == b"/v1/x"
    assert scope["root_path"] == "/live"
    assert scope["client"] == ("192.0.2.8", 0)
    assert scope["headers"] == [(b"host", b"np.example")]
    assert scope["query_string"] == b""


@pytest.mark.parametrize(
    ("path", "raw"),
    [("/v1/a b", b"/v1/a%20b"), ("/é", b"/%C3%A9"), ("/50%", b"/50%25"), ("/a?b#c", b"/a%3Fb%23c"), ("/a:b@c", b"/a:b@c")],
)
def test_decoded_path_of_a_rest_event_is_encoded_again(path: str, raw: bytes) -> None:
    scope = scope_of(rest_event(path=path))
    assert (scope["raw_path"], scope["path"]) == (raw, path)


def test_decoded_query_of_a_rest_event_is_encoded_again() -> None:
    query = {"a": ["1", "2 & 3"], "ü": ["€"], "empty": [""], "plus": ["a+b"], "slash": ["x/y"]}
    scope = scope_of(rest_event(multiValueQueryStringParameters=query))
    assert scope["query_string"] == b"a=1&a=2%20%26%203&%C3%BC=%E2%82%AC&empty=&plus=a%2Bb&slash=x%2Fy"


def test_single_valued_query_of_a_rest_event_serves_when_there_is_no_other() -> None:
    scope = scope_of(rest_event(queryStringParameters={"limit": "5"}))
    assert scope["query_string"] == b"limit=5"


def test_repeated_headers_of_a_rest_event_stay_apart() -> None:
    event = rest_event(headers={"X-Twice": "2"}, multiValueHeaders={"X-Twice": ["1", "2"]})
    assert scope_of(event)["headers"] == [(b"x-twice", b"1"), (b"x-twice", b"2")]


def test_header_values_keep_their_bytes() -> None:
    scope = scope_of(function_url_event(headers={"x-latin": "caf\xe9", "x-wide": "€"}))
    assert scope["headers"] == [(b"x-latin", b"caf\xe9"), (b"x-wide", "€".encode())]


def test_long_headers_arrive_whole() -> None:
    scope = scope_of(function_url_event(headers={"x-long": "v" * 60_000}))
    assert scope["headers"] == [(b"x-long", b"v" * 60_000)]


def test_text_body_is_utf8() -> None:
    assert body_of(function_url_event(body='{"text":"grüße"}')) == '{"text":"grüße"}'.encode()


def test_base64_body_is_decoded() -> None:
    assert body_of(rest_event(body="AP+A", isBase64Encoded=True)) == b"\x00\xff\x80"


def test_missing_body_is_empty() -> None:
    assert body_of(rest_event(body=None)) == b""
    assert body_of(function_url_event()) == b""


def test_lone_surrogate_in_a_body_reaches_the_app_as_invalid_utf8() -> None:
    event = json.dumps(function_url_event(body="BODY")).replace("BODY", "\\ud800")
    with pytest.raises(UnicodeDecodeError):
        parse(event.encode())[1].decode()


@pytest.mark.parametrize(
    "event",
    [
        {},
        [],
        "text",
        None,
        {"Records": []},
        {"httpMethod": "GET"},
        {"requestContext": {"http": None}},
        function_url_event(body="not base64!", isBase64Encoded=True),
        function_url_event(headers={"x": None}),
        function_url_event(headers={"€": "name"}),
    ],
)
def test_anything_else_is_an_unknown_event(event: object) -> None:
    with pytest.raises(UnknownEvent):
        parse(json.dumps(event).encode())


def test_what_is_not_json_is_an_unknown_event() -> None:
    with pytest.raises(UnknownEvent):
        parse(b"{")
