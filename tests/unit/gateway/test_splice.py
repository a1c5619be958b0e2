"""The two edits of a body, as splices: `include_usage`, and the one value of `model`."""

import json
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from navplane.gateway.body import parse
from navplane.gateway.splice import Splice, include_usage, replace_model

texts = st.text(st.characters(codec="utf-8"), max_size=8)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-1000, 1000) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
other_members = st.dictionaries(
    texts.filter(lambda key: key.casefold() not in ("model", "stream", "stream_options")), values, max_size=4
)
options = st.none() | st.dictionaries(texts | st.just("include_usage"), values, max_size=3)


def spliced(body: bytes) -> Splice:
    return include_usage(body, parse(body))


@given(
    others=other_members, given_options=options, left_out=st.booleans(), ascii_only=st.booleans(), indent=st.none() | st.just(1)
)
def test_spliced_body_means_the_same_with_the_option_on(
    others: dict[str, Any], given_options: dict[str, Any] | None, left_out: bool, ascii_only: bool, indent: int | None
) -> None:
    document = {**others, "model": "gpt-5", "stream": True}
    if not left_out:
        document["stream_options"] = given_options
    body = json.dumps(document, ensure_ascii=ascii_only, indent=indent).encode()
    splice = spliced(body)
    expected = {**document, "stream_options": {**(document.get("stream_options") or {}), "include_usage": True}}
    assert json.loads(splice.body) == expected
    assert splice.injected is ((document.get("stream_options") or {}).get("include_usage") is not True)


@given(others=other_members, given_options=options)
def test_all_other_bytes_stay_as_they_are(others: dict[str, Any], given_options: dict[str, Any] | None) -> None:
    body = json.dumps({**others, "stream_options": given_options, "model": "gpt-5"}, ensure_ascii=False).encode()
    result = spliced(body).body
    start = next((i for i, (old, new) in enumerate(zip(body, result, strict=False)) if old != new), len(body))
    tail = 0
    while tail < len(body) - start and body[-1 - tail] == result[-1 - tail]:
        tail += 1
    replaced = body[start : len(body) - tail]
    # What is gone is at most the old value of the option or of the options, or a part of it.
    assert len(replaced) <= len(json.dumps(given_options, ensure_ascii=False).encode())


EXAMPLES = [
    (b'{"model":"m"}', b'{"stream_options":{"include_usage":true},"model":"m"}'),
    (b' {\n "model":"m"}', b' {"stream_options":{"include_usage":true},\n "model":"m"}'),
    (b'{"model":"m","stream_options":{}}', b'{"model":"m","stream_options":{"include_usage":true}}'),
    (b'{"model":"m","stream_options":{ }}', b'{"model":"m","stream_options":{"include_usage":true }}'),
    (
        b'{"model":"m","stream_options":{"include_obfuscation":false}}',
        b'{"model":"m","stream_options":{"include_usage":true,"include_obfuscation":false}}',
    ),
    (b'{"model":"m","stream_options":null}', b'{"model":"m","stream_options":{"include_usage":true}}'),
    (
        b'{"model":"m","stream_options":{"include_usage" : false , "x":1}}',
        b'{"model":"m","stream_options":{"include_usage" : true , "x":1}}',
    ),
    (b'{"model":"m","stream_options":{"include_usage":null}}', b'{"model":"m","stream_options":{"include_usage":true}}'),
    (
        '{"a":"é😀","model":"m","stream_options":{"b":"ü","include_usage":false}}'.encode(),
        '{"a":"é😀","model":"m","stream_options":{"b":"ü","include_usage":true}}'.encode(),
    ),
    (
        b'{"a":{"stream_options":{"include_usage":true}},"model":"m"}',
        b'{"stream_options":{"include_usage":true},"a":{"stream_options":{"include_usage":true}},"model":"m"}',
    ),
]


@pytest.mark.parametrize(("body", "expected"), EXAMPLES)
def test_only_the_option_is_added(body: bytes, expected: bytes) -> None:
    assert spliced(body) == Splice(body=expected, injected=True)


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"m","stream_options":{"include_usage":true}}',
        b'{"model":"m","stream_options":{"x":1, "include_usage" : true}}',
        b'{"model":"m","stream_options":{"\\u0069nclude_usage":true}}',
        b'{"model":"m","stream_options":{"include_usage":false,"include_usage":true}}',
        b'{"model":"m","stream_options":{"include_usage":false,"include_usage":false}}',
        b'{"model":"m","stream_options":"include_usage"}',
        b'{"model":"m","stream_options":[]}',
        b'{"model":"m","stream_options":true}',
    ],
)
def test_what_is_on_already_or_makes_no_sense_is_left_alone(body: bytes) -> None:
    assert spliced(body) == Splice(body=body, injected=False)


@given(
    before=other_members,
    after=other_members,
    old=st.sampled_from(["gpt-5", 'q"uote', "modèle", "🙂"]),
    new=texts.filter(bool),
    ascii_only=st.booleans(),
)
def test_model_is_replaced_and_every_other_byte_stays(
    before: dict[str, Any], after: dict[str, Any], old: str, new: str, ascii_only: bool
) -> None:
    assume(not before.keys() & after.keys())  # A member the gateway reads may be there once only.
    head = json.dumps(before, ensure_ascii=ascii_only)[:-1] + (", " if before else "")
    tail = (", " if after else "") + json.dumps(after, ensure_ascii=ascii_only)[1:]
    body = f'{head}"model" :  {json.dumps(old, ensure_ascii=ascii_only)} {tail}'.encode()
    expected = f'{head}"model" :  {json.dumps(new, ensure_ascii=False)} {tail}'.encode()
    assert replace_model(body, parse(body), new) == expected
