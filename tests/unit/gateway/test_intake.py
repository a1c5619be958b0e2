"""Framing, sizes and types of requests."""

import asyncio
from collections.abc import Iterable

import pytest
from navplane.errors import BadFraming, BodyTooLarge, HeadersTooLarge, LoopDetected, UnsupportedMediaType
from navplane.gateway.asgi import Message, RawHeaders
from navplane.gateway.intake import MAX_HEADER_BYTES, MAX_HEADERS, ClientLeft, check_headers, check_media_type, read_body


def raw(*headers: tuple[str, str]) -> RawHeaders:
    return tuple((name.encode(), value.encode("latin-1")) for name, value in headers)


@pytest.mark.parametrize(
    "headers",
    [
        [("content-length", "5"), ("content-length", "6")],
        [("content-length", "5"), ("content-length", "5")],
        [("content-length", "5"), ("transfer-encoding", "chunked")],
        [("content-length", "-5")],
        [("content-length", "+5")],
        [("content-length", "5, 5")],
        [("content-length", "0x5")],
        [("content-length", "")],
        [("transfer-encoding", "gzip, chunked")],
        [("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")],
        [("transfer-encoding", "identity")],
        [("host", "a"), ("host", "b")],
        [("x-a", "b\r\nx-evil: 1")],
        [("x-a", "b\x00")],
        [("x-a", "b\x7f")],
        [("x-a", "b\x1b[31m")],
        [("x-a", "\xff\xfe")],
        [("x a", "b")],
        [("", "b")],
        [("x-a:", "b")],
    ],
)
def test_ambiguous_framing_and_stray_characters_are_refused(headers: list[tuple[str, str]]) -> None:
    with pytest.raises(BadFraming):
        check_headers(raw(*headers))


def test_ordinary_headers_pass() -> None:
    check_headers((*raw(("content-length", "5"), ("x-tab", "a\tb")), (b"x-utf8", "é".encode())))
    check_headers(raw(("transfer-encoding", "Chunked")))


def test_many_or_large_headers_are_refused() -> None:
    with pytest.raises(HeadersTooLarge):
        check_headers(raw(*[("x", "y")] * (MAX_HEADERS + 1)))
    with pytest.raises(HeadersTooLarge):
        check_headers(raw(("x", "y" * MAX_HEADER_BYTES)))


@pytest.mark.parametrize("header", [("x-navplane-hop", "1"), ("via", "1.1 NavPlane")])
def test_request_from_a_gateway_of_ours_is_a_loop(header: tuple[str, str]) -> None:
    with pytest.raises(LoopDetected):
        check_headers(raw(header))


@pytest.mark.parametrize(
    "media_type",
    [
        "application/json",
        "Application/JSON",
        "application/json; charset=utf-8",
        'application/json;charset="UTF-8"',
        "application/json; a=b",
    ],
)
def test_json_in_utf8_is_taken(media_type: str) -> None:
    check_media_type(raw(("content-type", media_type), ("content-encoding", "identity")))


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("content-type", "")],
        [("content-type", "text/plain")],
        [("content-type", "multipart/form-data; boundary=x")],
        [("content-type", "application/x-www-form-urlencoded")],
        [("content-type", "application/json; charset=utf-16")],
        [("content-type", "application/json; charset=latin-1")],
        [("content-type", "application/jsonp")],
        [("content-type", "application/json"), ("content-type", "text/plain")],
        [("content-type", "application/json"), ("content-encoding", "gzip")],
        [("content-type", "application/json"), ("content-encoding", "identity"), ("content-encoding", "br")],
    ],
)
def test_other_types_and_compressed_bodies_are_refused(headers: list[tuple[str, str]]) -> None:
    with pytest.raises(UnsupportedMediaType):
        check_media_type(raw(*headers))


def read(chunks: Iterable[bytes], *headers: tuple[str, str], limit: int = 10, leaves: bool = False) -> tuple[bytes, int]:
    """The body, and how many messages were received for it."""
    messages: list[Message] = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    messages[-1]["more_body"] = False
    if leaves:
        messages[-1] = {"type": "http.disconnect"}
    asked = 0

    async def receive() -> Message:
        nonlocal asked
        asked += 1
        return messages[asked - 1]

    return asyncio.run(read_body(receive, raw(*headers), limit=limit)), asked


def test_body_is_read_whole() -> None:
    assert read([b"ab", b"", b"cd"], ("content-length", "4")) == (b"abcd", 3)
    assert read([b""]) == (b"", 1)


@pytest.mark.parametrize("stated", ["11", "999999999999999999999999"])
def test_body_that_is_said_to_be_too_large_is_not_read(stated: str) -> None:
    with pytest.raises(BodyTooLarge):
        asyncio.run(read_body(_never, raw(("content-length", stated)), limit=10))


async def _never() -> Message:
    raise AssertionError("the body was read")


def test_body_that_turns_out_too_large_is_read_no_further() -> None:
    with pytest.raises(BodyTooLarge):
        read([b"123456", b"123456", b"never"])


@pytest.mark.parametrize("stated", ["3", "5"])
def test_length_that_lies_is_refused(stated: str) -> None:
    with pytest.raises(BadFraming):
        read([b"abcd"], ("content-length", stated))


def test_client_that_leaves_while_sending_is_noticed() -> None:
    with pytest.raises(ClientLeft):
        read([b"ab", b"cd"], leaves=True)
