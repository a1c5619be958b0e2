"""The two edits of a body, as splices of its bytes: nothing is serialised again. One adds `stream_options.include_usage` to a
chat request, the other puts the model that a provider is called with in the place of the name that the client wrote."""

import json
from dataclasses import dataclass

from navplane.gateway.body import Member, ModelCall, object_members

_OPTION = '"include_usage":true'


@dataclass(frozen=True, slots=True, kw_only=True)
class Splice:
    """`injected`: the option is ours, so the event it brings is not for the client."""

    body: bytes
    injected: bool


def include_usage(body: bytes, call: ModelCall) -> Splice:
    """The body with the option switched on, where the client left it off.

    What the provider would refuse (options that are no object), and what two parsers would read differently (the option
    twice), is left as it is: the provider judges it.
    """
    options = call.members.get("stream_options")
    if options is None:
        opened = call.text.index("{") + 1
        return _spliced(body, call.text, opened, opened, f'"stream_options":{{{_OPTION}}},')
    if options.value is None:
        return _spliced(body, call.text, options.start, options.end, f"{{{_OPTION}}}")
    if not isinstance(options.value, dict):
        return Splice(body=body, injected=False)
    return _switch_on(body, call.text, options)


def replace_model(body: bytes, call: ModelCall, model: str) -> bytes:
    """The body with another value of its one `model`, and every other byte as it was."""
    member = call.members["model"]
    return _spliced(body, call.text, member.start, member.end, json.dumps(model, ensure_ascii=False)).body


def _switch_on(body: bytes, text: str, options: Member) -> Splice:
    members, _ = object_members(text, options.start)
    found = [member for member in members if member.key == "include_usage"]
    if any(member.value is True for member in found) or len(found) > 1:
        return Splice(body=body, injected=False)
    if found:
        return _spliced(body, text, found[0].start, found[0].end, "true")
    opened = options.start + 1
    return _spliced(body, text, opened, opened, _OPTION + ("," if members else ""))


def _spliced(body: bytes, text: str, start: int, end: int, new: str) -> Splice:
    """Positions are in characters; the bytes around them stay as they are."""
    if len(text) != len(body):
        start, end = len(text[:start].encode()), len(text[:end].encode())
    return Splice(body=body[:start] + new.encode() + body[end:], injected=True)
