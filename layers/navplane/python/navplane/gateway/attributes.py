"""What a route's conditions may look at: a few harmless request headers, and the caller's own tags."""

import re
from collections.abc import Mapping

from navplane.errors import BadTags
from navplane.gateway.asgi import RawHeaders, values_of
from navplane.model.route import HEADERS, TAG

TAGS_HEADER = b"x-navplane-tags"
_NAMES = frozenset(name.encode() for name in HEADERS)
MAX_TAGS = 20
MAX_CHARACTERS = 200
_TAG = re.compile(rf"({TAG})=([ -+\--~]{{1,200}})")


def attributes_of(headers: RawHeaders) -> Mapping[str, str]:
    """`header.<name>` and `tag.<key>`, each with a short text. Raise BadTags."""
    # Backwards, so that of a header that is there twice the first one stays.
    found = {
        f"header.{name.decode()}": value.decode("latin-1")[:MAX_CHARACTERS]
        for name, value in reversed(headers)
        if name in _NAMES
    }
    return found | {f"tag.{key}": value for key, value in _tags(values_of(headers, TAGS_HEADER)).items()}


def _tags(values: list[bytes]) -> dict[str, str]:
    """`x-navplane-tags: team=search, env=prod`, in one header or in several."""
    pairs = [pair.strip() for value in values for pair in value.decode("latin-1").split(",") if pair.strip()]
    found = [_TAG.fullmatch(pair) for pair in pairs]
    tags = {match[1]: match[2] for match in found if match}
    if len(tags) != len(pairs) or len(pairs) > MAX_TAGS:
        raise BadTags(
            f"x-navplane-tags takes up to {MAX_TAGS} pairs like team=search, separated by commas: keys of a-z, 0-9, _, . and "
            "-, each once, with values of up to 200 printable ASCII characters."
        )
    return tags
