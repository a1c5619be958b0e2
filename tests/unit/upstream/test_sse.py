"""The splitter of server-sent events, against httpx-sse as the oracle."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from navplane.upstream.sse import Splitter, data_of

from tests.support.sse_oracle import events_of

LIMIT = 1 << 20
LINE_ENDS = (b"\n", b"\r\n", b"\r")

pieces_of_streams = st.lists(
    st.one_of(
        st.sampled_from(
            [b"data: x", b"data:y", b"data", b": comment", b"event: message", b"id: 1", b'data: {"a":"\xc3\xa9"}', b"nonsense"]
        ),
        st.sampled_from([b"\n", b"\r\n", b"\r", b"\n\n", b"\r\n\r\n", b"\r\r", b"\n\r\n"]),
    ),
    max_size=40,
).map(b"".join)


def cut(stream: bytes, at: list[int]) -> list[bytes]:
    places = sorted({place % (len(stream) + 1) for place in at})
    return [stream[start:end] for start, end in zip([0, *places], [*places, len(stream)], strict=True)]


def split(chunks: list[bytes], *, limit: int = LIMIT) -> list[bytes]:
    splitter = Splitter(limit=limit)
    pieces = [piece for chunk in chunks for piece in splitter.feed(chunk)]
    rest = splitter.finish()
    return [*pieces, rest] if rest else pieces


def oracle(stream: bytes) -> list[bytes]:
    return [event.data.encode() for event in events_of(stream)]


@given(stream=pieces_of_streams, at=st.lists(st.integers(0, 10_000), max_size=12))
def test_pieces_joined_are_the_stream(stream: bytes, at: list[int]) -> None:
    assert b"".join(split(cut(stream, at))) == stream


@given(stream=pieces_of_streams, at=st.lists(st.integers(0, 10_000), max_size=12))
def test_events_are_those_that_the_oracle_reads_wherever_chunks_end(stream: bytes, at: list[int]) -> None:
    whole = stream + b"\n\n"
    ours = [data_of(piece) for piece in split(cut(whole, at))]
    assert [data for data in ours if data] == [data for data in oracle(whole) if data]


@given(stream=st.binary(max_size=300), at=st.lists(st.integers(0, 300), max_size=12), limit=st.integers(1, 40))
def test_no_bytes_make_it_raise_or_lose_any(stream: bytes, at: list[int], limit: int) -> None:
    pieces = split(cut(stream, at), limit=limit)
    assert b"".join(pieces) == stream
    for piece in pieces:
        data_of(piece)


@pytest.mark.parametrize("line_end", LINE_ENDS)
def test_one_byte_at_a_time_gives_the_same_events(line_end: bytes) -> None:
    stream = b"data: one\n\nevent: e\ndata: two\ndata: more\n\n: note\n\ndata: [DONE]\n\n".replace(b"\n", line_end)
    chunks = [stream[i : i + 1] for i in range(len(stream))]
    data = [found for piece in split(chunks) if (found := data_of(piece))]
    assert data == [b"one", b"two\nmore", b"[DONE]"]


def test_lf_of_a_crlf_that_arrives_later_is_a_piece_of_its_own() -> None:
    splitter = Splitter(limit=LIMIT)
    assert splitter.feed(b"data: a\r\n\r") == [b"data: a\r\n\r"]
    assert splitter.feed(b"\ndata: b\r\n\r\n") == [b"\n", b"data: b\r\n\r\n"]


def test_last_event_without_its_blank_line_is_what_finish_gives() -> None:
    splitter = Splitter(limit=LIMIT)
    assert splitter.feed(b"data: a\n\ndata: b") == [b"data: a\n\n"]
    assert splitter.finish() == b"data: b"
    assert splitter.finish() == b""


def test_giant_event_is_let_go_in_parts_of_bounded_size() -> None:
    splitter = Splitter(limit=100)
    held = 0
    for _ in range(1000):
        splitter.feed(b"x" * 90)
        held = max(held, len(splitter.finish()))
    assert held <= 190


def test_event_arrives_with_the_chunk_that_completes_it() -> None:
    splitter = Splitter(limit=LIMIT)
    assert splitter.feed(b"data: 1") == []
    assert splitter.feed(b"\n") == []
    assert splitter.feed(b"\n") == [b"data: 1\n\n"]
