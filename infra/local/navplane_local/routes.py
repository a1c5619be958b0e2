"""Which route of an API a request takes: `{name}` is one segment, `{name+}` the rest; the more literal route wins."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from navplane_local.stack import Route


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """Path parameters are decoded."""

    route: Route
    parameters: Mapping[str, str]


def match(routes: Sequence[Route], *, method: str, path: str) -> Match | None:
    """`path` is undecoded: an encoded slash never makes a new segment."""
    for route in sorted(routes, key=_rank):
        if route.method in ("ANY", method) and (parameters := _parameters(route.path, path)) is not None:
            return Match(route=route, parameters=parameters)
    return None


def _rank(route: Route) -> tuple[list[int], bool]:
    return [_openness(segment) for segment in route.path.split("/")], route.method == "ANY"


def _openness(segment: str) -> int:
    return 2 if segment.endswith("+}") else 1 if segment.startswith("{") else 0


def _parameters(pattern: str, path: str) -> dict[str, str] | None:
    found: dict[str, str] = {}
    wanted, given = pattern.split("/"), path.split("/")
    for index, segment in enumerate(wanted):
        rest = given[index:]
        if segment.endswith("+}"):
            return found | {segment[1:-2]: unquote("/".join(rest))} if any(rest) else None
        if not rest or not _takes(segment, rest[0]):
            return None
        if segment.startswith("{"):
            found[segment[1:-1]] = unquote(rest[0])
    return found if len(given) == len(wanted) else None


def _takes(segment: str, given: str) -> bool:
    return bool(given) if segment.startswith("{") else segment == given
