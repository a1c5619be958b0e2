import json
from typing import Any

from navplane_runtime.response import prelude


def document(status: int, headers: list[tuple[bytes, bytes]], *, rest: bool = False) -> dict[str, Any]:
    written = prelude(status, headers, rest=rest)
    assert written.endswith(b"\0" * 8)
    assert written.count(b"\0") == 8
    parsed: dict[str, Any] = json.loads(written[:-8])
    return parsed


def test_prelude_has_status_and_headers() -> None:
    assert document(201, [(b"Content-Type", b"text/plain")]) == {
        "statusCode": 201,
        "headers": {"content-type": "text/plain"},
        "cookies": [],
    }


def test_repeated_headers_are_joined_with_commas_for_a_function_url() -> None:
    assert document(200, [(b"vary", b"a"), (b"Vary", b"b")])["headers"] == {"vary": "a, b"}


def test_cookies_stay_apart_for_a_function_url() -> None:
    got = document(200, [(b"set-cookie", b"a=1; Expires=Thu, 1 Jan"), (b"x", b"y"), (b"Set-Cookie", b"b=2")])
    assert got["cookies"] == ["a=1; Expires=Thu, 1 Jan", "b=2"]
    assert got["headers"] == {"x": "y"}


def test_repeated_headers_and_cookies_stay_apart_for_a_rest_api() -> None:
    got = document(200, [(b"vary", b"a"), (b"x", b"y"), (b"vary", b"b"), (b"set-cookie", b"c")], rest=True)
    assert got == {"statusCode": 200, "headers": {"x": "y", "set-cookie": "c"}, "multiValueHeaders": {"vary": ["a", "b"]}}


def test_headers_of_the_connection_are_left_out() -> None:
    headers = [(b"Connection", b"close"), (b"transfer-encoding", b"chunked"), (b"keep-alive", b"1"), (b"x", b"y")]
    assert document(200, headers)["headers"] == {"x": "y"}


def test_header_bytes_and_nul_survive_as_json() -> None:
    assert document(200, [(b"x", b"caf\xe9\x00")])["headers"] == {"x": "caf\xe9\x00"}
