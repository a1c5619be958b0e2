"""YAML from strangers: plain maps, lists and scalars within bounds, and the line of each, for messages that say where."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from navplane.errors import Invalid

MAX_BYTES = 64 * 1024
MAX_DEPTH = 10
MAX_NODES = 5000
INTEGER = re.compile(r"[-+]?[0-9]{1,18}")
WORDS: Mapping[str, bool | None] = {"true": True, "false": False, "null": None, "~": None, "": None}
Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """`lines`: of each path into `value`, counted from 1."""

    value: Any
    lines: Mapping[Path, int]

    def line_of(self, path: Path) -> int:
        """Of the path, or of what it would be in."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)


def refusal(line: int, message: str) -> Invalid:
    return Invalid(f"The document can't be accepted. Line {line}: {message}")


def parse(text: str) -> Parsed:
    """Scalars without quotes are true, false, null, whole numbers, or else text: nothing becomes a float or a date. Raise
    Invalid, with the line, for what isn't YAML or is more than this."""
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise Invalid(f"The document is longer than {MAX_BYTES} bytes: make it shorter, or two workflows of it.")
    try:
        return _Reader(yaml.parse(text, Loader=yaml.SafeLoader)).read()
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark or exc.context_mark
        raise refusal(mark.line + 1 if mark else 1, f"this is not YAML: {exc.problem}.") from exc
    except yaml.YAMLError as exc:
        raise Invalid("The document is not YAML: it has characters that can't be printed. Save it as plain UTF-8.") from exc


class _Reader:
    def __init__(self, events: Iterator[Any]) -> None:
        self._events, self._nodes = events, 0
        self._lines: dict[Path, int] = {}

    def read(self) -> Parsed:
        next(self._events)
        event = next(self._events)
        if isinstance(event, yaml.StreamEndEvent):
            raise refusal(1, "the document is empty. It needs `format` at least.")
        value = self._value(next(self._events), ())
        next(self._events)
        more = next(self._events)
        if not isinstance(more, yaml.StreamEndEvent):
            raise refusal(more.start_mark.line + 1, "a second document begins: a workflow is one.")
        return Parsed(value=value, lines=self._lines)

    def _value(self, event: Any, path: Path) -> Any:
        self._bound(event, path)
        self._lines.setdefault(path, event.start_mark.line + 1)
        if isinstance(event, yaml.ScalarEvent):
            return _scalar(event)
        return self._list(path) if isinstance(event, yaml.SequenceStartEvent) else self._map(path)

    def _bound(self, event: Any, path: Path) -> None:
        line, self._nodes = event.start_mark.line + 1, self._nodes + 1
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
            raise refusal(line, "anchors (&) and aliases (*) are not taken: write it out, or put it in quotes if it is text.")
        if event.tag is not None:
            raise refusal(line, "tags (!) are not taken: leave it out, or put it in quotes if it is text.")
        if len(path) > MAX_DEPTH:
            raise refusal(line, f"this is nested deeper than {MAX_DEPTH} levels.")
        if self._nodes > MAX_NODES:
            raise refusal(line, f"the document has more than {MAX_NODES} values: make two workflows of it.")

    def _list(self, path: Path) -> list[Any]:
        values: list[Any] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            values.append(self._value(event, (*path, len(values))))
        return values

    def _map(self, path: Path) -> dict[str, Any]:
        values: dict[str, Any] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            self._bound(event, path)
            line = event.start_mark.line + 1
            if not isinstance(event, yaml.ScalarEvent):
                raise refusal(line, "a key must be text.")
            if event.value in values:
                raise refusal(line, f"{event.value[:60]!r} is there twice: keep one of them.")
            self._lines[(*path, event.value)] = line
            values[event.value] = self._value(next(self._events), (*path, event.value))
        return values


def _scalar(event: Any) -> Any:
    text: str = event.value
    if event.style is not None:
        return text
    if text in WORDS:
        return WORDS[text]
    return int(text) if INTEGER.fullmatch(text) else text
