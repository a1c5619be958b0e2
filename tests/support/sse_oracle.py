"""httpx-sse's reading of an event stream: the oracle for ours.

Its package imports httpx, of which only the successor is installed here; its decoders need neither.
"""

import importlib
import importlib.util
import sys
from types import ModuleType
from typing import Any


def _decoders() -> Any:
    found = importlib.util.find_spec("httpx_sse")
    assert found is not None
    package = ModuleType("httpx_sse")
    package.__path__ = list(found.submodule_search_locations or ())
    replaced = sys.modules.get("httpx_sse")
    sys.modules["httpx_sse"] = package
    try:
        return importlib.import_module("httpx_sse._decoders")
    finally:
        del sys.modules["httpx_sse"]
        if replaced is not None:
            sys.modules["httpx_sse"] = replaced


_DECODERS = _decoders()


def events_of(stream: bytes) -> list[Any]:
    """Each event with its `event`, `data` and `id`."""
    lines, decoder = _DECODERS.SSELineDecoder(), _DECODERS.SSEDecoder()
    text = stream.decode()
    read = [*(lines.decode(text) if text else []), *lines.flush()]
    return [event for line in read if (event := decoder.decode(line)) is not None]
