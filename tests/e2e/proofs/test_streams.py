"""Streams arrive chunk by chunk. Under `observe` the bytes on both sides are the same; under `inject` they differ by exactly
the option that was added and the one event that was withheld."""

import hashlib
import itertools
import statistics
import time
from collections.abc import Iterator, Sequence
from typing import Any

import httpx2
import pytest

from tests.e2e.proofs.surfaces import as_json
from tests.e2e.proofs.transcripts import CHAT, CHAT_USAGE, CHAT_WITHOUT_USAGE, MESSAGES, RESPONSES, Transcript
from tests.support.local_cloud import LocalCloud
from tests.support.organization import Organization
from tests.support.provider import FakeProvider, Pause, json_answer, stream

WAYS_IN = ["base_url", "rest_url"]
CHUNK_BYTES = 11
OPTION = b'"stream_options":{"include_usage":true},'


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def asked(organization: Organization) -> dict[str, str]:
    return {"authorization": f"Bearer {organization.api_key}", "content-type": "application/json"}


def body_of(transcript: Transcript, **more: Any) -> bytes:
    return as_json({"model": transcript.model, "stream": True, **transcript.asked, **more})


def post(cloud: LocalCloud, organization: Organization, path: str, body: bytes) -> httpx2.Response:
    with httpx2.Client(trust_env=False, timeout=60) as client:
        return client.post(cloud.base_url + path, content=body, headers=asked(organization))


def withheld_between(chunks: Sequence[bytes]) -> tuple[list[bytes | Pause], list[Pause]]:
    """The chunks with a pause behind each, and the pauses."""
    pauses = [Pause() for _ in chunks]
    return list(itertools.chain.from_iterable(zip(chunks, pauses, strict=True))), pauses


def receive(received: Iterator[bytes], size: int) -> bytes:
    got = b""
    while len(got) < size:
        got += next(received)
    return got


def play(
    url: str, organization: Organization, provider: FakeProvider, body: bytes, *, chunks: list[bytes], expected: list[bytes]
) -> None:
    """The provider sends each chunk only after the client has received what is expected of the one before."""
    steps, pauses = withheld_between(chunks)
    provider.script(stream(steps))
    with (
        httpx2.Client(trust_env=False, timeout=60) as client,
        client.stream("POST", url, content=body, headers=asked(organization)) as answer,
    ):
        assert answer.status_code == 200
        received = answer.iter_raw()
        for pause, part in zip(pauses, expected, strict=True):
            assert receive(received, len(part)) == part
            pause.release()
        assert b"".join(received) == b""


def assert_metered(organization: Organization, *transcripts: Transcript) -> None:
    """One row for each stream that was played, in their order."""
    rows = organization.wait_for_rows(len(transcripts))
    assert {(row["status"], row["outcome"], row["stream"]) for row in rows} == {(200, "ok", True)}
    for row, transcript in zip(rows, transcripts, strict=True):
        assert row["usage_quality"] == ("exact" if transcript.usage else "estimated")
        assert transcript.usage in (None, (row["input_tokens"], row["output_tokens"]))


@pytest.mark.parametrize("way_in", WAYS_IN)
def test_observed_streams_arrive_chunk_by_chunk_and_byte_by_byte_as_they_were_sent(
    way_in: str, cloud: LocalCloud, played: Organization, provider: FakeProvider
) -> None:
    played.update(stream_usage="observe")
    transcripts = [CHAT, CHAT_WITHOUT_USAGE, RESPONSES, MESSAGES]
    for transcript in transcripts:
        chunks, body = transcript.pieces(CHUNK_BYTES), body_of(transcript)
        play(getattr(cloud, way_in) + transcript.path, played, provider, body, chunks=chunks, expected=chunks)
        assert sha256(provider.last.body) == sha256(body)
    assert_metered(played, *transcripts)


def test_inject_changes_nothing_but_chat(cloud: LocalCloud, played: Organization, provider: FakeProvider) -> None:
    for transcript in (RESPONSES, MESSAGES):
        chunks, body = transcript.pieces(CHUNK_BYTES), body_of(transcript)
        play(cloud.base_url + transcript.path, played, provider, body, chunks=chunks, expected=chunks)
        assert sha256(provider.last.body) == sha256(body)
    assert_metered(played, RESPONSES, MESSAGES)


@pytest.mark.parametrize("way_in", WAYS_IN)
def test_injected_streams_arrive_event_by_event_without_the_one_that_nobody_asked_for(
    way_in: str, cloud: LocalCloud, played: Organization, provider: FakeProvider
) -> None:
    body = body_of(CHAT)
    expected = [b"" if event == CHAT_USAGE else event for event in CHAT.events]
    play(getattr(cloud, way_in) + CHAT.path, played, provider, body, chunks=list(CHAT.events), expected=expected)
    assert provider.last.body == b"{" + OPTION + body[1:]
    assert_metered(played, CHAT)


def test_the_withheld_event_is_the_whole_difference_wherever_its_bytes_are_cut(
    cloud: LocalCloud, played: Organization, provider: FakeProvider
) -> None:
    sizes = [1, 2, 7, 64, 4096]
    for size in sizes:
        provider.script(stream(CHAT.pieces(size)))
        answer = post(cloud, played, CHAT.path, body_of(CHAT))
        assert sha256(answer.content) == sha256(CHAT.whole.replace(CHAT_USAGE, b""))
    assert_metered(played, *[CHAT] * len(sizes))


REQUESTS = [
    # as it was sent, as it was forwarded, whether the client gets the usage event
    (b'{"model":"gpt-5", "stream" : true}\n', b"{" + OPTION + b'"model":"gpt-5", "stream" : true}\n', False),
    (
        '{"x":"Grüße 你好 🌍","stream_options":{"include_usage":false},"model":"gpt-5","stream":true}'.encode(),
        '{"x":"Grüße 你好 🌍","stream_options":{"include_usage":true},"model":"gpt-5","stream":true}'.encode(),
        False,
    ),
    (
        b'{"model":"gpt-5","stream":true,"stream_options":{"include_obfuscation":false}}',
        b'{"model":"gpt-5","stream":true,"stream_options":{"include_usage":true,"include_obfuscation":false}}',
        False,
    ),
    (
        b'{"model":"gpt-5","stream":true,"stream_options":{"include_usage":true}}',
        b'{"model":"gpt-5","stream":true,"stream_options":{"include_usage":true}}',
        True,
    ),
]


def test_inject_adds_the_option_and_takes_its_event_back(
    cloud: LocalCloud, played: Organization, provider: FakeProvider
) -> None:
    provider.script(stream(list(CHAT.events)))
    for sent, forwarded, passed in REQUESTS:
        answer = post(cloud, played, CHAT.path, sent)
        assert provider.last.body == forwarded
        assert answer.content == (CHAT.whole if passed else CHAT.whole.replace(CHAT_USAGE, b""))
    assert_metered(played, *[CHAT] * len(REQUESTS))


@pytest.mark.parametrize("mode", ["inject", "observe"])
def test_unstreamed_answers_are_the_same_on_both_sides(
    mode: str, cloud: LocalCloud, played: Organization, provider: FakeProvider
) -> None:
    played.update(stream_usage=mode)
    told = '{ "choices" : [],\n "usage": {"prompt_tokens": 3, "completion_tokens": 2}, "x": "Grüße 🌍" }\n'.encode()
    provider.script(json_answer(told))
    sent = '{\n  "model": "gpt-5",\n  "messages": [{"role": "user", "content": "你好"}]\n}\n'.encode()
    answer = post(cloud, played, CHAT.path, sent)
    assert (sha256(provider.last.body), sha256(answer.content)) == (sha256(sent), sha256(told))
    [row] = played.wait_for_rows(1)
    assert (row["input_tokens"], row["output_tokens"], row["usage_quality"]) == (3, 2, "exact")


@pytest.mark.parametrize("way_in", WAYS_IN)
def test_gaps_between_the_events_of_a_paced_stream(way_in: str, cloud: LocalCloud, organization: Organization) -> None:
    """Measured and printed: how long a gap is depends on the machine. What was held back would come all at once."""
    body = as_json({"model": "demo-long-25", "stream": True, "messages": [{"role": "user", "content": "count"}]})
    arrivals = []
    with (
        httpx2.Client(trust_env=False, timeout=60) as client,
        client.stream("POST", getattr(cloud, way_in) + CHAT.path, content=body, headers=asked(organization)) as answer,
    ):
        for _ in answer.iter_raw():
            arrivals.append(time.monotonic())
    gaps = [1000 * (after - before) for before, after in itertools.pairwise(arrivals)]
    print(f"{way_in}: {len(arrivals)} reads; gaps {min(gaps):.1f} / {statistics.median(gaps):.1f} / {max(gaps):.1f} ms")
    assert len(arrivals) > 2
