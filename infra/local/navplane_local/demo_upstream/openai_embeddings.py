"""POST /v1/embeddings: unit vectors drawn from a hash of the text, as floats or as base64."""

import base64
import hashlib
import math
import struct
from typing import Any

from navplane_local.demo_upstream import tokens
from navplane_local.demo_upstream.completion import Served
from navplane_local.demo_upstream.exchange import Answer, Dialect, ProviderError
from navplane_local.demo_upstream.native_headers import native_headers

DEFAULT_DIMENSIONS = 256


def embeddings(served: Served) -> Answer:
    texts = _inputs(served.body.get("input"))
    dimensions = served.body.get("dimensions") or DEFAULT_DIMENSIONS
    encode = _base64 if served.body.get("encoding_format") == "base64" else list
    data = [
        {"object": "embedding", "index": index, "embedding": encode(vector(text, dimensions))}
        for index, text in enumerate(texts)
    ]
    used = sum(_count(text) for text in texts)
    body: dict[str, Any] = {"object": "list", "data": data, "model": served.model}
    usage = {} if served.script.has("no-usage") else {"usage": {"prompt_tokens": used, "total_tokens": used}}
    return served.whole(body | usage, headers=native_headers(Dialect.OPENAI))


def vector(text: object, dimensions: int) -> tuple[float, ...]:
    """A vector of length one that depends on nothing but the text."""
    drawn = struct.unpack(f"<{dimensions}h", hashlib.shake_256(repr(text).encode()).digest(2 * dimensions))
    length = math.sqrt(sum(value * value for value in drawn)) or 1.0
    return tuple(value / length for value in drawn)


def _base64(values: tuple[float, ...]) -> str:
    return base64.b64encode(struct.pack(f"<{len(values)}f", *values)).decode()


def _inputs(given: object) -> list[Any]:
    """One text, several texts, one list of token numbers, or several of those."""
    if isinstance(given, str) or (isinstance(given, list) and given and isinstance(given[0], int)):
        return [given]
    if not isinstance(given, list) or not given:
        raise ProviderError(400, "'$.input' is invalid. Please check the API reference.", param="input")
    return given


def _count(text: object) -> int:
    return len(text) if isinstance(text, list) else tokens.count(str(text))
