"""The one model of a multipart form: what parsers could read differently is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from navplane.errors import AmbiguousModel, BadMultipart
from navplane.gateway.multipart import read_form

CONTENT_TYPE = ((b"content-type", b"multipart/form-data; boundary=xYz"),)
FILE = b'Content-Disposition: form-data; name="file"; filename="a.mp3"\r\nContent-Type: audio/mpeg\r\n\r\n\x00\xff\r\n--x'


def field(value: bytes, name: bytes = b"model", extra: bytes = b"") -> bytes:
    return b'Content-Disposition: form-data; name="' + name + b'"' + extra + b"\r\n\r\n" + value


def form(*parts: bytes) -> bytes:
    return b"".join(b"--xYz\r\n" + part + b"\r\n" for part in parts) + b"--xYz--\r\n"


def test_model_is_read_beside_a_file_of_any_bytes() -> None:
    request = read_form(form(FILE, field(b"whisper-1"), field(b"true", b"stream")), CONTENT_TYPE)
    assert (request.model, request.stream) == ("whisper-1", True)


@pytest.mark.parametrize(
    "content_type",
    [b"multipart/form-data; boundary=xYz", b'Multipart/Form-Data;boundary="xYz"', b"multipart/form-data ; Boundary=xYz "],
)
def test_boundary_may_be_spelled_as_clients_do(content_type: bytes) -> None:
    assert read_form(form(field(b"m")), ((b"content-type", content_type),)).model == "m"


@pytest.mark.parametrize(
    "content_type",
    [
        b"multipart/form-data",
        b"multipart/form-data; boundary=",
        b"multipart/form-data; boundary=xYz; boundary=abc",
        b"multipart/form-data; charset=utf-8; boundary=xYz",
        b"multipart/mixed; boundary=xYz",
        b"multipart/form-data; boundary=" + b"x" * 71,
        b"multipart/form-data; boundary=x\tYz",
    ],
)
def test_any_other_content_type_is_refused(content_type: bytes) -> None:
    with pytest.raises(BadMultipart):
        read_form(form(field(b"m")), ((b"content-type", content_type),))


AMBIGUOUS = {
    "missing": form(FILE),
    "twice": form(field(b"a"), field(b"b")),
    "twice the same": form(field(b"a"), field(b"a")),
    "as a list": form(field(b"a", b"model[]")),
    "both ways": form(field(b"a"), field(b"b", b"model[]")),
    "in another case": form(field(b"a", b"Model")),
    "in two cases": form(field(b"a"), field(b"b", b"MODEL")),
    "as a file": form(field(b"a", extra=b'; filename="m.txt"')),
    "empty": form(field(b"")),
    "with a line break": form(field(b"a\r\nb")),
    "too long": form(field(b"a" * 257)),
    "stream twice": form(field(b"a"), field(b"true", b"stream"), field(b"false", b"stream")),
}


@pytest.mark.parametrize("case", AMBIGUOUS)
def test_model_that_is_not_one_is_refused(case: str) -> None:
    with pytest.raises(AmbiguousModel):
        read_form(AMBIGUOUS[case], CONTENT_TYPE)


MALFORMED = {
    "nothing": b"",
    "no delimiter": b"model=a",
    "only the end": b"--xYz--\r\n",
    "preamble": b"hello\r\n" + form(field(b"a")),
    "epilogue": form(field(b"a")) + b"more",
    "no end": form(field(b"a"))[:-4],
    "end twice": form(field(b"a")) + b"--xYz--\r\n",
    "padding behind the boundary": form(field(b"a")).replace(b"--xYz\r\n", b"--xYz \r\n"),
    "delimiters that only a lenient parser sees": form(field(b"a\n--xYz\nContent-Disposition: form-data; name=\"model\"\n\nb")),
    "boundary inside a field": form(field(b"a--xYz")),
    "line ends of another kind": form(field(b"a")).replace(b"\r\n", b"\n"),
    "no header": form(b"\r\na"),
    "no disposition": form(b"Content-Type: text/plain\r\n\r\na"),
    "two dispositions": form(b'Content-Disposition: form-data; name="file"\r\n' + field(b"a")),
    "two names": form(field(b"a", extra=b'; name="file"')),
    "an encoded name": form(field(b"a", extra=b"; name*=utf-8''model")),
    "a name without quotes": form(b"Content-Disposition: form-data; name=model\r\n\r\na"),
    "a name with a backslash": form(field(b"a", b"mo\\del")),
    "a folded header": form(b'Content-Disposition: form-data;\r\n name="model"\r\n\r\na'),
    "a space before the colon": form(b'Content-Disposition : form-data; name="model"\r\n\r\na'),
    "a bare line feed in a header": form(b'Content-Disposition: form-data; name="model"\nX: y\r\n\r\na'),
    "a coding": form(b"Content-Transfer-Encoding: base64\r\n" + field(b"bW9kZWw=")),
    "an unknown header": form(b"X-Model: b\r\n" + field(b"a")),
    "another kind of part": form(b'Content-Disposition: attachment; name="model"\r\n\r\na'),
    "not UTF-8": form(field(b"\xff\xfe")),
    "too many parts": form(field(b"a"), *[field(b"", b"x%d" % n) for n in range(200)]),
}  # fmt: skip


@pytest.mark.parametrize("case", MALFORMED)
def test_form_that_parsers_could_read_differently_is_refused(case: str) -> None:
    with pytest.raises(BadMultipart):
        read_form(MALFORMED[case], CONTENT_TYPE)


def test_path_and_form_must_name_the_same_model() -> None:
    assert read_form(form(FILE), CONTENT_TYPE, named="a").model == "a"
    assert read_form(form(field(b"a")), CONTENT_TYPE, named="a").model == "a"
    with pytest.raises(AmbiguousModel):
        read_form(form(field(b"b")), CONTENT_TYPE, named="a")


@given(st.lists(st.sampled_from([b"--xYz", b"\r\n", b"--", b"\n", field(b"a"), b"model", b'name="model"', b"\r\n\r\n", FILE])))
def test_any_bytes_are_a_form_or_refused(pieces: list[bytes]) -> None:
    try:
        read_form(b"".join(pieces), CONTENT_TYPE)
    except (BadMultipart, AmbiguousModel):
        return
