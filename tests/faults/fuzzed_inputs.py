"""What the fuzzer does to inputs that are good, and what must hold for whatever becomes of them.

Each check takes one input and returns a word when something is wrong with what our code made of it, else None. `subject` is our
code, or a mutant of it. What our code refuses it must refuse with an error of its own, below 500.
"""

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from navplane.errors import NavPlaneError
from navplane.gateway.body import ModelCall
from navplane.gateway.route import Route, offering_of, path_of
from navplane.upstream.providers import PROVIDERS
from navplane.upstream.sse import Splitter
from navplane_runtime.event import UnknownEvent

EVENTS = Path(__file__).parents[1] / "events"
PIECES: Sequence[bytes] = (
    b"..", b"/", b"//", b"\\", b"@evil.example", b"%2e%2e", b"%2f", b"%00", b"\x00", b"#", b"?", b"http://evil.example",
    b":", b";", b"{model}", b"\r\n", b"\n", b"\r", b"\n\n", b"\r\n\r\n", b'"model"', b'"\\u006dodel":"x"', b",", b"{",
    b"}", b"[" * 40, b"1e999", b"NaN", b"\xef\xbb\xbf", b"\xff\xfe", b"\xed\xa0\x80", b"\\ud800", b"null", b"true",
    b"-0", b"9" * 30, b"data: ", b"event: ", b":", b" ", b"\t", b"alg", b"none", b".", b"=", b"_", b"A" * 50,
)  # fmt: skip
PATHS = tuple(
    path.encode()
    for path in (
        "/v1/chat/completions", "/v1/messages", "/openai/v1/models/gpt-5", "/azure/openai/deployments/d/chat/completions",
        "/v1/responses/resp_123/cancel", "/google/v1/chat/completions", "/anthropic/v1/messages/batches/b_1/results",
    )
)  # fmt: skip
BODIES = (
    b'{"model":"gpt-5","messages":[{"role":"user","content":"a \\u00e9 \\ud83d\\ude00"}],"stream":true}',
    b'{"model": "claude-opus-5", "max_tokens": 10, "metadata": {"model": "inner"}, "x": [1.5e3, -0, null]}',
    b'{"model":"gpt-5","messages":[],"model":"gpt-5-pro"}',
)
STREAMS = (b'event: a\r\ndata: {"b":1}\r\n\r\ndata: c\n\n: note\rid: 7\r\rdata: [DONE]\n\n', b"data: x\n\ndata: y")
LAMBDA_EVENTS = tuple((EVENTS / name).read_bytes() for name in ("proxy-chat.json", "proxy-health.json", "proxy-rest-v1.json"))

Check = Callable[[bytes, Any], str | None]


def mutated(rng: random.Random, seeds: Sequence[bytes]) -> bytes:
    """One of the seeds with up to five changes: a piece put in or over, a part taken out or repeated, a byte flipped."""
    data = bytearray(rng.choice(seeds))
    for _ in range(rng.randint(0, 5)):
        at, length = rng.randint(0, len(data)), rng.choice((0, 0, 1, 2, 8))
        match rng.randrange(4):
            case 0:
                data[at : at + length] = rng.choice(PIECES)
            case 1:
                del data[at : at + length]
            case 2:
                data[at:at] = data[at : at + 20]
            case _ if at < len(data):
                data[at] = rng.randrange(256)
    return bytes(data)


def path_stays_at_its_provider(raw_path: bytes, subject: Callable[..., Route]) -> str | None:
    """Whatever the path, the address that is dialled is the provider's own, as any parser of URLs reads it."""
    for method in ("POST", "GET"):
        try:
            route = subject(method, raw_path, ())
        except NavPlaneError as error:
            if error.status >= 500:
                return f"a {error.status}"
            continue
        names = [route.provider.name] if route.provider else offering_of(route)
        for provider in (PROVIDERS[name] for name in names):
            if provider.origin is None:
                continue
            path = path_of(route, provider)
            read = urlsplit(f"https://{provider.origin.host}{path}")
            if (read.hostname, read.path, read.query, read.fragment) != (provider.origin.host, path, "", ""):
                return "another address"
            if {".", ".."} & set(path.split("/")) or set("%\\") & set(path) or not path.isprintable():
                return "a path that can be read in two ways"
    return None


def model_is_the_only_one(body: bytes, subject: Callable[[bytes], ModelCall]) -> str | None:
    """What is taken for the model is what every JSON parser takes for it: there is one, and it is a text."""
    try:
        call = subject(body)
    except NavPlaneError as error:
        return f"a {error.status}" if error.status >= 500 else None
    try:
        pairs = json.loads(body, object_pairs_hook=lambda pairs: pairs)
    except ValueError:
        return "no JSON at all"
    named = [value for key, value in pairs if key == "model"]
    return None if named == [call.model] else "another model"


def stream_stays_whole(data: bytes, subject: Callable[..., Splitter]) -> str | None:
    """The pieces joined are the stream, wherever it was cut."""
    splitter, rng, at, pieces = subject(limit=64), random.Random(data), 0, []
    while at < len(data):
        size = rng.choice((1, 1, 2, 3, 17, 400))
        pieces += splitter.feed(data[at : at + size])
        at += size
    return None if b"".join([*pieces, splitter.finish()]) == data else "other bytes"


def event_makes_a_request_or_none(event: bytes, subject: Callable[[bytes], tuple[dict[str, Any], bytes]]) -> str | None:
    """What an app is handed is of the types that ASGI says, whatever the event."""
    try:
        scope, body = subject(event)
    except UnknownEvent:
        return None
    texts = (scope["method"], scope["path"], scope["scheme"], scope["http_version"])
    if not all(isinstance(text, str) for text in texts) or not isinstance(body, bytes):
        return "another type"
    if not all(isinstance(part, bytes) for part in (scope["raw_path"], scope["query_string"])):
        return "another type"
    if not all(isinstance(name, bytes) and isinstance(value, bytes) for name, value in scope["headers"]):
        return "headers of another type"
    return None if all(0x21 <= byte < 0x7F for byte in scope["raw_path"]) else "a path that no request line can carry"


def token_is_refused(token: bytes, subject: Callable[[str], object]) -> str | None:
    """Whatever is not the token that was issued opens nothing."""
    try:
        subject(token.decode("latin-1"))
    except NavPlaneError as error:
        return None if error.status == 401 else f"a {error.status}"
    return "it was let in"
