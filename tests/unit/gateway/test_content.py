"""What is kept of a call's bodies: never more than its bound, and nothing in which a key stands."""

from uuid import UUID

import pytest
from navplane.errors import DependencyUnavailable
from navplane.gate.gate import Caller
from navplane.gateway.content import Capture, DataModes
from navplane.gateway.headers import KeyFinder
from navplane.gateway.threads import Threads
from navplane.model.ids import new_id
from navplane.model.kept_content import MARK, MAX_BYTES, KeptContent
from navplane.model.provider_key import Secret
from navplane.model.tenancy import DataMode
from navplane.model.usage_event import MalformedEvent, UsageEvent

from tests.support.gate_memory import MemoryGate

KEYS = KeyFinder(("np_",))
KEY = b"np_0b0f6f2e-7c0e-4c58-8f0b-0e4a5a1f9f1e"
SECRET = b"sk-canary/1"
IDS = {"request_id": new_id(), "key_id": new_id()}


def kept(request: bytes, *chunks: bytes) -> KeptContent | None:
    capture = Capture(request, Secret(SECRET))
    for chunk in chunks:
        capture.answered(chunk)
    return capture.kept(IDS["request_id"], IDS["key_id"], KEYS)


def test_both_bodies_are_kept_as_they_were() -> None:
    assert kept(b'{"a":1}', b"data: 1\n", b"\xff") == KeptContent(
        **IDS, request=b'{"a":1}', response=b"data: 1\n\xff", request_truncated=False, response_truncated=False
    )


@pytest.mark.parametrize("over", [0, 1, 500_000])
def test_more_than_the_bound_is_cut_and_says_so(over: int) -> None:
    body = b"x" * (MAX_BYTES + over)
    content = kept(body, body[:1000], body[1000:])
    assert content is not None
    assert (len(content.request), len(content.response)) == (MAX_BYTES, MAX_BYTES)
    assert (content.request_truncated, content.response_truncated) == (over > 0, over > 0)


@pytest.mark.parametrize("key", [KEY, SECRET, b"sk-canary\\/1", b"sk-canary%2F1"])
@pytest.mark.parametrize("lead", [0, MAX_BYTES - 5])
def test_nothing_is_kept_where_a_key_stands_also_across_the_cut(key: bytes, lead: int) -> None:
    text = b" " * lead + key + b" " * 100
    assert kept(text, b"") is None
    assert kept(b"", text[: lead + 4], text[lead + 4 :]) is None


def test_the_largest_message_fits_into_any_queue() -> None:
    content = kept(b"\x00" * 2 * MAX_BYTES, b"\xff" * 2 * MAX_BYTES)
    assert content is not None
    assert len(content.to_json().encode()) < 256 * 1024


def test_it_survives_its_wire_form_and_is_told_from_a_usage_event() -> None:
    content = kept(b'{"a":"\xc3\xa9"}', b"\x00\xff")
    assert content is not None
    text = content.to_json()
    assert text.startswith(MARK)
    assert KeptContent.from_json(text) == content
    with pytest.raises(MalformedEvent):
        UsageEvent.from_json(text)


@pytest.mark.parametrize("text", ["", "{", MARK + '"request_id":1}', MARK + '"request_id":"x","key_id":"x"}'])
def test_what_is_none_is_malformed_without_a_word_of_it(text: str) -> None:
    with pytest.raises(MalformedEvent, match=r"^not a kept content$"):
        KeptContent.from_json(text)


def test_a_usage_event_has_no_field_that_could_carry_content() -> None:
    carrying = {name for name in UsageEvent.__dataclass_fields__ if name in KeptContent.__dataclass_fields__}
    assert carrying == {"request_id", "key_id"}


class GateThatIsAway(MemoryGate):
    def keeps_content(self, caller: Caller) -> bool:
        raise DependencyUnavailable("away")


def test_the_gate_is_asked_once_in_a_while_and_an_error_is_not_remembered() -> None:
    gate, caller = MemoryGate(), Caller(org_id=new_id(), workspace_id=new_id(), key_id=new_id())
    threads = Threads()
    modes = DataModes(gate, threads=threads)
    assert modes.at_hand(caller) is None
    gate.set_data_mode(caller.workspace_id, DataMode.FULL)
    assert modes.ask(caller) is True
    assert modes.at_hand(caller) is True
    assert modes.at_hand(Caller(org_id=caller.org_id, workspace_id=UUID(int=1), key_id=caller.key_id)) is None
    away = DataModes(GateThatIsAway(), threads=threads)
    with pytest.raises(DependencyUnavailable):
        away.ask(caller)
    assert away.at_hand(caller) is None
