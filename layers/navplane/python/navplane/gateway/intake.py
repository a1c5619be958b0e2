"""What a request must be before anyone looks at its meaning: framing, sizes, types, and its body read whole."""

import re

from navplane.errors import BadFraming, BodyTooLarge, HeadersTooLarge, LoopDetected, UnsupportedMediaType
from navplane.gateway.asgi import RawHeaders, Receive, first_of, values_of
from navplane.upstream.provider import HOP_HEADER

MAX_HEADERS = 100
MAX_HEADER_BYTES = 64 * 1024
# All names joined by commas, all values by NULs: one search for each is a third of one for every header.
_NAMES = re.compile(rb"(?:[!#$%&'*+.^_`|~0-9a-z-]+,)*")
_CONTROL = re.compile(rb"[\x01-\x08\x0a-\x1f\x7f]")


class ClientLeft(Exception):
    """The client went away; nobody is left to answer."""


def check_headers(headers: RawHeaders) -> None:
    """Raise HeadersTooLarge, BadFraming or LoopDetected."""
    if len(headers) > MAX_HEADERS or sum(len(name) + len(value) for name, value in headers) > MAX_HEADER_BYTES:
        raise HeadersTooLarge(f"More than {MAX_HEADERS} headers, or more than {MAX_HEADER_BYTES // 1024} KB of them.")
    names, values = b"".join(name + b"," for name, _ in headers), b"".join(value + b"\0" for _, value in headers)
    counted = names.count(b",") == values.count(b"\0") == len(headers)
    if not (counted and _NAMES.fullmatch(names) and _is_text(values)) or _CONTROL.search(values):
        raise BadFraming("A header has a character that does not belong there.")
    _check_framing(headers)
    if first_of(headers, HOP_HEADER) is not None or any(b"navplane" in via.lower() for via in values_of(headers, b"via")):
        raise LoopDetected("This request came from a NavPlane. A provider's address points back at one.")


def _check_framing(headers: RawHeaders) -> None:
    lengths, codings = values_of(headers, b"content-length"), values_of(headers, b"transfer-encoding")
    if len(lengths) > 1 or (lengths and codings) or any(not length.isdigit() for length in lengths):
        raise BadFraming("The request's length is stated in two ways, or not as a number.")
    if len(values_of(headers, b"host")) > 1:
        raise BadFraming("The request names two hosts.")
    if codings and [coding.strip().lower() for coding in codings] != [b"chunked"]:
        raise BadFraming("The only transfer coding that is understood is chunked.")


def check_media_type(headers: RawHeaders, *, form: bool = False) -> None:
    """Raise UnsupportedMediaType for anything but plain JSON in UTF-8, or (`form`) a multipart form."""
    types = set(values_of(headers, b"content-type"))
    if form and (len(types) != 1 or not types.pop().lower().startswith(b"multipart/form-data")):
        raise UnsupportedMediaType("The body must be a form: send content-type: multipart/form-data with its boundary.")
    if not form and (len(types) != 1 or not _is_json(types.pop().lower())):
        raise UnsupportedMediaType("The body must be JSON: send content-type: application/json.")
    if any(coding.strip().lower() not in (b"", b"identity") for coding in values_of(headers, b"content-encoding")):
        raise UnsupportedMediaType("The body must not be compressed: leave content-encoding out.")


async def read_body(receive: Receive, headers: RawHeaders, *, limit: int) -> bytes:
    """The whole body. Raise BodyTooLarge as soon as that is known, BadFraming when its length was stated wrong, ClientLeft."""
    stated = first_of(headers, b"content-length")
    if stated is not None and (len(stated) > 18 or int(stated) > limit):
        raise _too_large(limit)
    chunks, size, more = [], 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientLeft
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if size > limit:
            raise _too_large(limit)
        more = message.get("more_body", False)
    if stated is not None and int(stated) != size:
        raise BadFraming("The body is not as long as content-length says.")
    return b"".join(chunks)


def _is_json(media_type: bytes) -> bool:
    essence, *parameters = (part.strip() for part in media_type.split(b";"))
    charsets = [value.strip(b' "') for name, _, value in (part.partition(b"=") for part in parameters) if name == b"charset"]
    return essence == b"application/json" and all(charset in (b"utf-8", b"utf8") for charset in charsets)


def _too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge(f"The body is larger than {limit} bytes.")


def _is_text(values: bytes) -> bool:
    """Header values go on as text, so they must be UTF-8; nearly all are ASCII."""
    if values.isascii():
        return True
    try:
        values.decode()
    except UnicodeDecodeError:
        return False
    return True
