"""Usage of images and audio, where OpenAI documents it."""

import json
from typing import Any

import pytest
from navplane.model.reading import Reading
from navplane.model.usage import Usage
from navplane.upstream.usage import UsageReader
from navplane.upstream.usage_media import ImagesReader, SpeechReader, TranscriptionReader

IMAGES = {
    "input_tokens": 50,
    "output_tokens": 4160,
    "total_tokens": 4210,
    "input_tokens_details": {"text_tokens": 10, "image_tokens": 40},
}
TOKENS = {
    "type": "tokens",
    "input_tokens": 14,
    "input_token_details": {"text_tokens": 4, "audio_tokens": 10},
    "output_tokens": 45,
}
SECONDS = {"type": "duration", "seconds": 27}


def read_body(reader: UsageReader, body: Any) -> Reading:
    reader.body(body if isinstance(body, bytes) else json.dumps(body).encode())
    return reader.reading()


def read_events(reader: UsageReader, *events: dict[str, Any]) -> Reading:
    for event in events:
        piece = f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()
        if reader.skim(piece):
            reader.event(piece)
    return reader.reading()


def test_images_are_counted_behind_megabytes_of_them() -> None:
    tail = (json.dumps({"created": 1, "data": [{"b64_json": "A" * 5000}], "usage": IMAGES}).encode())[-2000:]
    reading = read_body(ImagesReader(), tail)
    assert (reading.usage, reading.final, reading.raw) == (Usage(input_tokens=50, output_tokens=4160), True, IMAGES)


@pytest.mark.parametrize("kind", ["image_generation", "image_edit"])
def test_streamed_image_is_counted_by_its_last_event(kind: str) -> None:
    partial = {"type": f"{kind}.partial_image", "b64_json": "AAAA", "partial_image_index": 0}
    reading = read_events(ImagesReader(), partial, {"type": f"{kind}.completed", "b64_json": "AAAA", "usage": IMAGES})
    assert (reading.usage, reading.final, reading.ended) == (Usage(input_tokens=50, output_tokens=4160), True, True)


def test_images_of_an_older_model_have_no_count() -> None:
    reading = read_body(ImagesReader(), {"created": 1, "data": [{"url": "https://x"}]})
    assert (reading.usage, reading.final) == (None, False)


def test_transcription_counts_tokens_or_seconds() -> None:
    tokens, seconds = (read_body(TranscriptionReader(), {"text": "Hi", "usage": usage}) for usage in (TOKENS, SECONDS))
    assert (tokens.usage, tokens.final) == (Usage(input_tokens=14, output_tokens=45, audio_input_tokens=10), True)
    assert (seconds.usage, seconds.final, seconds.raw) == (Usage(audio_seconds=27), True, SECONDS)


@pytest.mark.parametrize(
    ("body", "seconds"),
    [
        ({"usage": {"type": "duration", "seconds": 0.2}}, 1),
        ({"duration": 8.47, "text": "Hi", "language": "english"}, 9),
        ({"duration": "3.0", "text": "Hi"}, 3),
    ],
)
def test_each_begun_second_counts(body: dict[str, Any], seconds: int) -> None:
    reading = read_body(TranscriptionReader(), body)
    assert (reading.usage, reading.final) == (Usage(audio_seconds=seconds), True)


@pytest.mark.parametrize("duration", [0, -1, "long", "nan", True, None, 1e12, [3]])
def test_a_duration_that_is_none_is_no_usage(duration: Any) -> None:
    reading = read_body(TranscriptionReader(), {"duration": duration, "text": "Hi"})
    assert (reading.usage, reading.final) == (None, False)


def test_tokens_go_before_a_duration_beside_them() -> None:
    reading = read_body(TranscriptionReader(), {"duration": 8.4, "usage": TOKENS})
    assert reading.usage == Usage(input_tokens=14, output_tokens=45, audio_input_tokens=10)


def test_streamed_transcription_is_counted_by_its_last_event() -> None:
    delta = {"type": "transcript.text.delta", "delta": "Hello"}
    reading = read_events(TranscriptionReader(), delta, {"type": "transcript.text.done", "text": "Hello", "usage": TOKENS})
    assert (reading.usage, reading.text_bytes) == (Usage(input_tokens=14, output_tokens=45, audio_input_tokens=10), 5)


@pytest.mark.parametrize("text", [b"Hello there\n", b"1\n00:00:00,000 --> 00:00:01,000\nHi\n", b"WEBVTT\n\n"])
def test_text_and_subtitles_have_no_count(text: bytes) -> None:
    assert read_body(TranscriptionReader(), text).usage is None


def test_speech_is_counted_only_where_it_comes_as_events() -> None:
    assert read_body(SpeechReader(), b"ID3\x04\x00").usage is None
    usage = {"input_tokens": 14, "output_tokens": 101, "total_tokens": 115}
    reading = read_events(
        SpeechReader(), {"type": "speech.audio.delta", "audio": "AA=="}, {"type": "speech.audio.done", "usage": usage}
    )
    assert (reading.usage, reading.final) == (Usage(input_tokens=14, output_tokens=101), True)
