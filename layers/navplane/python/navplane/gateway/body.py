"""Reading a request body strictly, without changing it: what we authorise is what the provider will read.

Parsers differ on duplicate keys, numbers beyond a double, half surrogate pairs and byte order marks. Where a body could mean
two things it is refused; where it can't, its original bytes go on.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from json.decoder import scanstring  # type: ignore[attr-defined]
from typing import Any, NoReturn

from navplane.errors import AmbiguousModel, InvalidJSON

MAX_DEPTH = 200
# An array or object costs twenty times its bytes in memory, and a key up here a step of ours: no request needs as many.
MAX_CONTAINERS = 250_000
MAX_PAIRS = 500_000
MAX_MEMBERS = 1000
MAX_MODEL_CHARACTERS = 256

# What bounds the output is among them: what is reserved must be what the provider goes by.
_READ_KEYS = frozenset(
    {
        "model",
        "stream",
        "stream_options",
        "previous_response_id",
        "background",
        "max_completion_tokens",
        "max_output_tokens",
        "max_tokens",
        "max_tool_calls",
        "n",
    }
)
_SPACE = re.compile(r"[ \t\n\r]*")
_EXPONENT = re.compile(rb"[eE]\+?[0-9]{3}")
_DIGITS = bytes(ord("0") if chr(byte) in "0123456789" else ord(" ") for byte in range(256))
_MAYBE_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
# An open end matches too: were it to fail there, it would be tried again from every quote behind it.
_STRINGS = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_STEP = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One member of an object: its value, and where the value stands in the text, in characters."""

    key: str
    value: Any
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCall:
    """What the gateway reads of a body. `members` are the top-level members it looked at, by key; `everything` are all of them,
    those that are there twice included."""

    text: str
    model: str
    stream: bool
    members: dict[str, Member]
    everything: tuple[Member, ...]

    def says(self, name: str) -> bool:
        """Whether one of the members that the gateway looks at is true, and no mere text or number."""
        return name in self.members and self.members[name].value is True

    def text_of(self, name: str) -> str | None:
        """Of one of the members that the gateway looks at; anything but a text is the provider's to judge."""
        value = self.members[name].value if name in self.members else None
        return value if isinstance(value, str) else None


def parse(body: bytes, *, named: str | None = None) -> ModelCall:
    """`named` is the model that the path names, if it does. Raise InvalidJSON, or AmbiguousModel when `model` is missing (but
    for the path), there twice, no plain text, or another than the path's."""
    text = _decode(body)
    everything = _members_of(body, text)
    members = _members_read(everything)
    model = checked_model(members["model"].value if "model" in members else named, named=named)
    stream = "stream" in members and members["stream"].value is True
    return ModelCall(text=text, model=model, stream=stream, members=members, everything=tuple(everything))


def strict_object(body: bytes) -> dict[str, Any]:
    """The one JSON object of a body that is no model call itself. Raise InvalidJSON, also where an object in it has two
    members of one name."""
    text = _decode(body)
    try:
        found = json.loads(text, object_pairs_hook=_unambiguous, parse_constant=_refuse, parse_float=_finite)
    except (ValueError, RecursionError) as exc:
        raise InvalidJSON("It is not one valid JSON object without repeated members.") from exc
    if not isinstance(found, dict):
        raise InvalidJSON("It is not a JSON object.")
    return found


def _unambiguous(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a member is there twice")
    return found


def checked_model(model: object, *, named: str | None = None) -> str:
    """A model's name that is one, and the one that the path names, if it does. Raise AmbiguousModel."""
    if named is not None and model != named:
        raise AmbiguousModel("The path and the body name different models. Send the deployment's name in both, or no model.")
    if not isinstance(model, str):
        raise AmbiguousModel('The body must name one model, as a string: {"model": "…"}.')
    if not (0 < len(model) <= MAX_MODEL_CHARACTERS and model.isprintable()):
        raise AmbiguousModel("The model's name must be printable and at most 256 characters long.")
    return model


def object_members(text: str, start: int, scan: Any = None) -> tuple[list[Member], int]:
    """The members of the object that begins at `start`, duplicates included, and where it ends.

    Raise ValueError or StopIteration when there is no object.
    """
    scan = scan or _scan
    members: list[Member] = []
    at = _skip(text, _expect(text, start, "{"))
    while not text.startswith("}", at):
        if members:
            at = _skip(text, _expect(text, at, ","))
        key, at = scanstring(text, _expect(text, at, '"'), True)
        value_start = _skip(text, _expect(text, _skip(text, at), ":"))
        value, value_end = scan(text, value_start)
        members.append(Member(key=key, value=value, start=value_start, end=value_end))
        if len(members) > MAX_MEMBERS:
            raise ValueError("more members than any request has")
        at = _skip(text, value_end)
    return members, at + 1


def _decode(body: bytes) -> str:
    if body.count(b"[") + body.count(b"{") > MAX_DEPTH or body.count(b":") > MAX_PAIRS:
        _check_nesting(body)
    try:
        return body.decode()
    except UnicodeDecodeError as exc:
        raise InvalidJSON("The body is not UTF-8.") from exc


def _members_of(body: bytes, text: str) -> list[Member]:
    scan = _scan_strictly if _may_be_huge(body) else _scan
    try:
        everything, end = object_members(text, _skip(text, 0), scan)
        if _MAYBE_SURROGATE.search(body):
            json.dumps([(member.key, member.value) for member in everything], ensure_ascii=False).encode()
    except (ValueError, StopIteration, RecursionError) as exc:
        raise InvalidJSON("The body is not one valid JSON object.") from exc
    if _skip(text, end) != len(text):
        raise InvalidJSON("Something follows the JSON object in the body.")
    return everything


def _members_read(everything: Sequence[Member]) -> dict[str, Member]:
    found: dict[str, Member] = {}
    for member in everything:
        _keep(found, member)
    return found


def _keep(found: dict[str, Member], member: Member) -> None:
    """Some parsers take the first of two equal keys and some the last, and some don't tell `model` from `Model`."""
    key = "model" if member.key.casefold() == "model" else member.key
    if key not in _READ_KEYS:
        return
    if key in found and key == "model":
        raise AmbiguousModel("The body names its model twice. Parsers differ on which one counts, so neither does.")
    if key in found:
        raise InvalidJSON(f"The body has {key} twice.")
    if key != member.key:
        raise AmbiguousModel(f"The body has {member.key!r}; the name of the member is model.")
    found[key] = member


def _check_nesting(body: bytes) -> None:
    """How deep and how many, counted without parsing: a parser would recurse, and make an object of each."""
    bare = _STRINGS.sub(b"", body)
    brackets = bare.translate(None, delete=_NOT_BRACKETS)
    if len(brackets) > 2 * MAX_CONTAINERS or bare.count(b":") > MAX_PAIRS:
        raise InvalidJSON(f"The body has more than {MAX_CONTAINERS} arrays and objects, or {MAX_PAIRS} members of them.")
    if max(accumulate(map(_STEP.__getitem__, brackets)), default=0) > MAX_DEPTH:
        raise InvalidJSON(f"The body is nested deeper than {MAX_DEPTH} levels.")


def _may_be_huge(body: bytes) -> bool:
    """Whether it may have a number beyond a double. A search in one pass: a pattern would begin anew at every digit."""
    return b"0" * 300 in body.translate(_DIGITS) or _EXPONENT.search(body) is not None


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _finite(number: str) -> float:
    value = float(number)
    if value in (float("inf"), float("-inf")):
        raise ValueError("a number is too large")
    return value


def _representable(number: str) -> int:
    _finite(number)
    return int(number)


# CPython's scanner, in C: one value from a position, and where it ends.
_scan = json.JSONDecoder(parse_constant=_refuse).scan_once  # type: ignore[attr-defined]
# Slower, and only where the text has what could be a number beyond a double.
_strict = json.JSONDecoder(parse_constant=_refuse, parse_float=_finite, parse_int=_representable)
_scan_strictly = _strict.scan_once  # type: ignore[attr-defined]


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    assert found is not None
    return found.end()


def _expect(text: str, at: int, character: str) -> int:
    if not text.startswith(character, at):
        raise ValueError(f"{character} is missing")
    return at + 1
