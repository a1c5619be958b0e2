"""Reading request bodies strictly."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from navplane.errors import AmbiguousModel, InvalidJSON
from navplane.gateway.body import MAX_CONTAINERS, MAX_DEPTH, MAX_MEMBERS, MAX_PAIRS, object_members, parse

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
ordinary_keys = st.text(max_size=12).filter(lambda key: key.casefold() != "model" and key not in ("stream", "stream_options"))


@given(
    members=st.dictionaries(ordinary_keys, json_values, max_size=6),
    model=st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=20),
    ascii_only=st.booleans(),
    indent=st.none() | st.integers(0, 3),
)
def test_model_is_what_any_parser_reads(members: dict[str, Any], model: str, ascii_only: bool, indent: int | None) -> None:
    body = json.dumps({**members, "model": model}, ensure_ascii=ascii_only, indent=indent)
    try:
        encoded = body.encode()
    except UnicodeEncodeError:
        return
    if any("\ud800" <= character <= "\udfff" for text in strings_of(members) for character in text):
        return
    assert parse(encoded).model == model


@given(st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_no_bytes_raise_anything_but_a_refusal(body: bytes) -> None:
    with contextlib.suppress(AmbiguousModel, InvalidJSON):
        parse(body)


@given(st.dictionaries(st.text(max_size=6), json_values, max_size=5), st.none() | st.integers(0, 2))
def test_members_stand_where_it_is_said(document: dict[str, Any], indent: int | None) -> None:
    text = json.dumps(document, indent=indent)
    members, end = object_members(text, 0)
    assert end == len(text)
    assert [(member.key, json.loads(text[member.start : member.end])) for member in members] == list(document.items())


def strings_of(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for key, inner in value.items() for text in [key, *strings_of(inner)]]
    if isinstance(value, list):
        return [text for inner in value for text in strings_of(inner)]
    return [value] if isinstance(value, str) else []


INVALID = {
    "empty": b"",
    "spaces": b"   ",
    "array": b'["model"]',
    "string": b'"model"',
    "null": b"null",
    "cut": b'{"model":"m"',
    "trailing data": b'{"model":"m"} {}',
    "trailing comma": b'{"model":"m",}',
    "missing comma": b'{"model":"m" "a":1}',
    "no colon": b'{"model" "m"}',
    "single quotes": b"{'model':'m'}",
    "comment": b'{"model":"m"/* */}',
    "NaN": b'{"model":"m","temperature":NaN}',
    "Infinity": b'{"model":"m","temperature":Infinity}',
    "-Infinity": b'{"model":"m","temperature":-Infinity}',
    "nested NaN": b'{"model":"m","a":[{"b":NaN}]}',
    "huge float": b'{"model":"m","temperature":1e999}',
    "huge negative float": b'{"model":"m","temperature":-1E+400}',
    "huge integer": b'{"model":"m","seed":' + b"9" * 400 + b"}",
    "integer of 5000 digits": b'{"model":"m","seed":' + b"9" * 5000 + b"}",
    "leading zero": b'{"model":"m","seed":01}',
    "plus": b'{"model":"m","seed":+1}',
    "control character": b'{"model":"m","a":"\n"}',
    "BOM": b'\xef\xbb\xbf{"model":"m"}',
    "UTF-16": '{"model":"m"}'.encode("utf-16"),
    "UTF-16 without BOM": '{"model":"m"}'.encode("utf-16-le"),
    "UTF-32": '{"model":"m"}'.encode("utf-32"),
    "latin-1": '{"model":"m","a":"é"}'.encode("latin-1"),
    "half surrogate": b'{"model":"m","a":"\\ud800"}',
    "second half surrogate": b'{"model":"m","a":"\\uDC00x"}',
    "half surrogate in a key": b'{"model":"m","\\ud83d":1}',
    "nested half surrogate": b'{"model":"m","a":[{"b":"\\ud83d"}]}',
    "half surrogate encoded": b'{"model":"m","a":"\xed\xa0\x80"}',
    "deep array": b'{"model":"m","a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "deep object": b'{"model":"m","a":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"}",
    "just too deep": b'{"model":"m","a":' + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH + b"}",
    "unclosed depth": b"[" * 100_000,
    "NUL": b'{"model":"m"}\x00',
    "stream twice": b'{"model":"m","stream":false,"stream":true}',
    "stream_options twice": b'{"model":"m","stream_options":{},"stream_options":{}}',
    "form feed": b'{"model":"m"}\x0c',
    # Where a pattern would try again from every quote, this takes hours.
    "unclosed text full of quotes": b"[" * (MAX_DEPTH + 1) + b'"' + b'\\"' * 500_000,
    "more arrays than memory is for": b'{"model":"m","a":[' + b"[]," * MAX_CONTAINERS + b"[]]}",
    "more members than memory is for": b'{"model":"m","a":{' + b'"":1,' * MAX_PAIRS + b'"":1}}',
    "more members than any request has": b"{" + b"".join(b'"%d":1,' % n for n in range(MAX_MEMBERS)) + b'"model":"m"}',
}


@pytest.mark.parametrize("body", INVALID.values(), ids=INVALID.keys())
def test_what_is_no_plain_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidJSON):
        parse(body)


AMBIGUOUS = {
    "missing": b'{"messages":[]}',
    "twice": b'{"model":"a","model":"b"}',
    "twice the same": b'{"model":"a","model":"a"}',
    "escaped": b'{"model":"a","\\u006dodel":"b"}',
    "escaped first": b'{"\\u006d\\u006F\\u0064el":"a","model":"b"}',
    "other case as well": b'{"model":"a","Model":"b"}',
    "other case": b'{"MODEL":"a"}',
    "number": b'{"model":5}',
    "null": b'{"model":null}',
    "list": b'{"model":["a","b"]}',
    "object": b'{"model":{"name":"a"}}',
    "empty": b'{"model":""}',
    "NUL": b'{"model":"a\\u0000"}',
    "line break": b'{"model":"a\\nb"}',
    "long": b'{"model":"' + b"a" * 257 + b'"}',
    "nested only": b'{"a":{"model":"m"}}',
}


@pytest.mark.parametrize("body", AMBIGUOUS.values(), ids=AMBIGUOUS.keys())
def test_what_names_no_one_model_is_refused(body: bytes) -> None:
    with pytest.raises(AmbiguousModel):
        parse(body)


FINE = {
    "space around": b' \r\n\t{ "model" : "m" } \n',
    "nested model": b'{"model":"m","a":{"model":"x","model":"y"}}',
    "pairs of surrogates": b'{"model":"m","a":"\\ud83d\\ude00"}',
    "escaped backslash before ud800": b'{"model":"m","a":"\\\\ud800"}',
    "long digits in text": b'{"model":"m","a":"' + b"9" * 5000 + b'"}',
    "exponent in text": b'{"model":"m","a":"1e999"}',
    "long numbers": b'{"model":"m","a":[' + (b"1" * 299 + b",") * 1000 + b"1]}",
    "300 digits after the point": b'{"model":"m","a":0.' + b"1" * 400 + b"}",
    "tiny number": b'{"model":"m","a":1e-999}',
    "brackets in text": b'{"model":"m","a":"' + b"[" * 100_000 + b'"}',
    "quotes in text": b'{"model":"m","a":"' + b'\\"[' * 10_000 + b'"}',
    "many flat arrays": b'{"model":"m","a":[' + b"[]," * 10_000 + b"[]]}",
    "just deep enough": b'{"model":"m","a":' + b"[" * (MAX_DEPTH - 1) + b"]" * (MAX_DEPTH - 1) + b"}",
    "raw unicode": '{"model":"m","a":"héllo 😀 \u2028"}'.encode(),
    "duplicates that nobody here reads": b'{"model":"m","a":1,"a":2}',
    "empty key": b'{"":1,"model":"m"}',
}


@pytest.mark.parametrize("body", FINE.values(), ids=FINE.keys())
def test_what_only_looks_odd_is_accepted(body: bytes) -> None:
    assert parse(body).model == "m"


@pytest.mark.parametrize(
    ("value", "stream"), [("true", True), ("false", False), ("null", False), ('"true"', False), ("1", False)]
)
def test_only_true_is_a_stream(value: str, stream: bool) -> None:
    assert parse(f'{{"model":"m","stream":{value}}}'.encode()).stream is stream
