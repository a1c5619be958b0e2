"""Reading the one `model` field of a multipart form strictly, without changing the form (RFC 7578, RFC 2046 section 5.1).

Where two parsers could read a form differently it is refused; where they can't, its original bytes go on.
"""

import re

from navplane.errors import AmbiguousModel, BadMultipart
from navplane.gateway.asgi import RawHeaders, first_of
from navplane.gateway.body import Member, ModelCall, checked_model

MAX_PARTS = 200
MAX_PART_HEADER_BYTES = 4096
_BOUNDARY = re.compile(
    rb"""multipart/form-data[ \t]*;[ \t]*boundary=(?:"([0-9A-Za-z'()+_,./:=?-]{1,70})"|([0-9A-Za-z'+_.-]{1,70}))[ \t]*""",
    re.IGNORECASE,
)
_DISPOSITION = re.compile(
    rb'form-data;[ ]?name="([^"\\\r\n]{1,200})"((?:;[ ]?filename(?:="[^"\\\r\n]*"|\*=[^";\\\r\n ]+))*)', re.IGNORECASE
)
# Anything else could be read as another name, another coding or another file by some parser.
_PART_HEADERS = frozenset({b"content-disposition", b"content-type", b"content-length"})
_STRAY_LINE_END = re.compile(rb"\r(?!\n)|(?<!\r)\n")
_READ = frozenset({"model", "stream", "n"})


def read_form(body: bytes, headers: RawHeaders, *, named: str | None = None) -> ModelCall:
    """`named` is the model that the path names, if it does. Raise BadMultipart, or AmbiguousModel when `model` is missing (but
    for the path), there twice, no plain text, or another than the path's."""
    fields: dict[str, bytes] = {}
    for part in _parts(body, _boundary_of(headers)):
        name, is_file, value = _read_part(part)
        folded = name.casefold().removesuffix("[]")
        if folded not in _READ:
            continue
        if folded in fields:
            raise AmbiguousModel(f"The form has {folded} twice. Parsers differ on which one counts, so neither does.")
        if name != folded or is_file:
            raise AmbiguousModel(f"The form has {name!r}; {folded} must be a plain field of that name.")
        fields[folded] = value
    model = checked_model(_text(fields["model"]) if "model" in fields else named, named=named)
    stream = fields.get("stream", b"").strip().lower() in (b"true", b"1")
    return ModelCall(text="", model=model, stream=stream, members=_members(fields), everything=())


def form_fields(body: bytes, headers: RawHeaders, names: frozenset[str]) -> dict[str, bytes]:
    """The fields and files of these names, and of no other. Raise BadMultipart, also for one that is there twice."""
    found: dict[str, bytes] = {}
    for part in _parts(body, _boundary_of(headers)):
        name, _, value = _read_part(part)
        folded = name.casefold().removesuffix("[]")
        if folded in names and (folded in found or folded != name):
            raise BadMultipart(f"The form must have {folded} once, under just that name.")
        if folded in names:
            found[folded] = value
    return found


def _boundary_of(headers: RawHeaders) -> bytes:
    found = _BOUNDARY.fullmatch((first_of(headers, b"content-type") or b"").strip())
    if found is None:
        raise BadMultipart("The content-type must name the form's boundary, and nothing else.")
    return found[1] or found[2]


def _members(fields: dict[str, bytes]) -> dict[str, Member]:
    """`n`, if it is a number; whether it makes sense is the provider's to judge."""
    digits = fields.get("n", b"").strip()
    return {"n": Member(key="n", value=int(digits), start=0, end=0)} if digits.isdigit() and len(digits) < 10 else {}


def _parts(body: bytes, boundary: bytes) -> list[bytes]:
    """What stands between the delimiters. Nothing may stand before the first one or after the last."""
    delimiter = b"\r\n--" + boundary
    first, *parts = (b"\r\n" + body).split(delimiter)
    # A parser that takes other line ends would find more delimiters.
    told_apart = body.count(b"--" + boundary) == len(parts)
    if first or len(parts) < 2 or parts[-1] not in (b"--", b"--\r\n") or not told_apart:
        raise BadMultipart("The body is not one whole multipart form of the boundary that content-type names.")
    if len(parts) - 1 > MAX_PARTS:
        raise BadMultipart(f"The form has more than {MAX_PARTS} parts.")
    if not all(part.startswith(b"\r\n") for part in parts[:-1]):
        raise BadMultipart("A boundary of the form is followed by something else than a line end.")
    return [part[2:] for part in parts[:-1]]


def _read_part(part: bytes) -> tuple[str, bool, bytes]:
    """A part's name, whether it is a file, and its value."""
    head, blank, value = part.partition(b"\r\n\r\n")
    if not blank or len(head) > MAX_PART_HEADER_BYTES:
        raise BadMultipart("A part of the form has no end of its header.")
    headers = [(name.lower(), text.strip()) for name, _, text in (line.partition(b":") for line in head.split(b"\r\n"))]
    names = [name for name, _ in headers]
    disposition = _DISPOSITION.fullmatch(first_of(headers, b"content-disposition") or b"")
    plain = len(set(names)) == len(names) and _PART_HEADERS.issuperset(names) and not _STRAY_LINE_END.search(head)
    if disposition is None or not plain:
        raise BadMultipart("A part of the form has a header that parsers could read differently.")
    return _text(disposition[1]), bool(disposition[2]), value


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as exc:
        raise BadMultipart("A name or a field of the form is not UTF-8.") from exc
