"""Usage of batches: what a batch says of itself, and what its lines add up to, however they are cut."""

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from navplane.model.reading import Reading
from navplane.model.usage import Usage
from navplane.upstream.usage_batches import MAX_LINE_BYTES, BatchLinesReader, BatchReader


def output_line(n: int, usage: dict[str, Any]) -> bytes:
    return json.dumps({"custom_id": f"r{n}", "response": {"status_code": 200, "body": {"model": "m", "usage": usage}}}).encode()


LINES = [
    output_line(1, {"prompt_tokens": 10, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 4}}),
    output_line(2, {"input_tokens": 7, "output_tokens": 2, "output_tokens_details": {"reasoning_tokens": 1}}),
    output_line(3, {"prompt_tokens": 5, "total_tokens": 5}),
    json.dumps({"result": {"type": "succeeded", "message": {"usage": {"input_tokens": 1, "output_tokens": 1}}}}).encode(),
    b'{"custom_id":"r5","response":{"status_code":429,"body":{"error":{}}},"error":null}',
    b'{"result":{"type":"expired"}}',
]
TOTAL = Usage(input_tokens=23, output_tokens=6, cached_input_tokens=4, reasoning_tokens=1)


def read(*chunks: bytes) -> Reading:
    reader = BatchLinesReader()
    for chunk in chunks:
        reader.chunk(chunk)
    reader.body(b"")
    return reader.reading()


@given(st.lists(st.integers(0, 900), max_size=12), st.booleans())
def test_lines_add_up_however_they_are_cut(cuts: list[int], ended: bool) -> None:
    text = b"\r\n".join(LINES) + (b"\n" if ended else b"")
    bounds = [0, *sorted(cuts), len(text)]
    reading = read(*(text[start:end] for start, end in pairwise(bounds)))
    assert (reading.usage, reading.final, reading.service_tier) == (TOTAL, True, "batch")
    assert reading.raw == {"answers": 4, "largest_input_tokens": 10}


@pytest.mark.parametrize(
    "broken",
    [
        b'{"response":',
        b"[1]",
        b"null",
        b"\xff",
        b'{"something":"else"}',
        b'{"response":{"status_code":200,"body":{}}}',
        b'{"result":{"type":"succeeded","message":{"content":[]}}}',
    ],
)
def test_a_line_that_can_not_be_read_leaves_the_whole_without_a_last_word(broken: bytes) -> None:
    reading = read(b"\n".join([*LINES, broken]))
    assert (reading.usage, reading.final) == (None, False)


def test_a_line_without_end_is_not_kept() -> None:
    reader = BatchLinesReader()
    for _ in range(MAX_LINE_BYTES // (1 << 20) + 2):
        reader.chunk(b"x" * (1 << 20))
    reader.body(b"")
    assert not reader.reading().final


def of(**members: Any) -> Reading:
    reader = BatchReader()
    reader.body(json.dumps({"id": "batch_1", **members}).encode())
    return reader.reading()


def test_a_batch_that_is_under_way_has_no_usage_yet_whatever_it_says() -> None:
    for status in ("validating", "in_progress", "finalizing", "cancelling"):
        reading = of(status=status, usage={"input_tokens": 3}, request_counts={"completed": 0})
        assert (reading.final, reading.usage, reading.finish_reason) == (False, None, status)


def test_answers_without_a_count_are_not_taken_for_nothing() -> None:
    zero = {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}
    for usage in (None, zero):
        assert not of(status="completed", usage=usage, request_counts={"completed": 2}).final
    assert not of(status="completed").final
    assert not of(processing_status="ended", request_counts={"succeeded": 1, "errored": 3}).final
    nothing = of(processing_status="ended", request_counts={"succeeded": 0, "errored": 3})
    assert (nothing.final, nothing.usage) == (True, Usage())


def test_files_are_told_by_whether_usage_stands_in_them() -> None:
    reader = BatchReader()
    reader.body(b'{"id":"batch_1","status":"completed","output_file_id":"file-1","error_file_id":"file-2"}')
    assert reader.files == (("file-1", True), ("file-2", False))
