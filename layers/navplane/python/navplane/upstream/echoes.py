"""How an answer may repeat a key that was sent with its request."""

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from urllib.parse import quote

from navplane.model.reading import Reading

# No encoder changes these characters.
_PLAIN = re.compile(rb"[A-Za-z0-9_.~-]*")


def spellings(secret: bytes) -> tuple[bytes, ...]:
    """How an answer may repeat `secret`: as it is, in a URL, or in JSON, where some encoders escape slashes (PHP) and some
    HTML's signs (Go). The longest come first."""
    if _PLAIN.fullmatch(secret):
        return (secret,)
    text = secret.decode("latin-1")
    in_json = json.dumps(text)[1:-1]
    for_html = in_json.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    spelled = {text, quote(text), quote(text, safe=""), in_json, in_json.replace("/", "\\/"), for_html}
    return tuple(sorted((form.encode("latin-1") for form in spelled), key=len, reverse=True))


def without_secret(reading: Reading, spelled: Sequence[bytes]) -> Reading:
    """What is kept of an answer that repeats the provider's key is its counts."""
    texts = (reading.response_model, reading.service_tier, reading.finish_reason)
    kept = json.dumps([reading.raw, texts]).encode() + b"".join(text.encode() for text in texts if text)
    if not any(spelling in kept for spelling in spelled):
        return reading
    return replace(reading, raw=None, response_model=None, service_tier=None, finish_reason=None)
