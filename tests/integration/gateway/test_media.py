"""Images, audio, moderations and single models, as the OpenAI SDK asks for them."""

import json
from collections.abc import Iterator

import openai
import pytest
from navplane.model.usage import Endpoint, Outcome, Usage, UsageQuality

from tests.integration.gateway.conftest import Application
from tests.support.gateway import PROVIDER_SECRET
from tests.support.provider import FakeProvider, answer, json_answer, stream

SOUND = b"ID3\x04\x00--\r\n\xff\xfe" * 2000


@pytest.fixture
def sdk(application: Application) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{application.server.url}/v1", api_key=application.tenant.key, max_retries=0) as sdk:
        yield sdk


def test_form_arrives_byte_for_byte_and_its_model_is_the_one_admitted(
    application: Application, provider: FakeProvider, sdk: openai.OpenAI
) -> None:
    provider.script(json_answer(b'{"text":"Hello","usage":{"type":"duration","seconds":3}}'))
    spoken = sdk.audio.transcriptions.create(model="whisper-1", file=("a.mp3", SOUND), prompt="Hi")
    assert spoken.text == "Hello"
    assert provider.last.target == "/v1/audio/transcriptions"
    assert SOUND in provider.last.body
    assert provider.last.all("content-type")[0].startswith("multipart/form-data; boundary=")
    assert provider.last.all("authorization") == [f"Bearer {PROVIDER_SECRET}"]
    row = application.row()
    assert (row.endpoint, row.model, row.usage_quality) == (Endpoint.TRANSCRIPTIONS, "whisper-1", UsageQuality.EXACT)
    assert (row.raw_usage, row.usage) == ({"type": "duration", "seconds": 3}, Usage(audio_seconds=3))
    assert application.server.gate.asks[-1].model == "whisper-1"


def test_streamed_transcription_is_counted_exactly(
    application: Application, provider: FakeProvider, sdk: openai.OpenAI
) -> None:
    done = {"type": "transcript.text.done", "text": "Hi", "usage": {"type": "tokens", "input_tokens": 14, "output_tokens": 2}}
    events = [{"type": "transcript.text.delta", "delta": "Hi"}, done]
    provider.script(stream([f"data: {json.dumps(event)}\n\n".encode() for event in events]))
    kinds = [
        event.type for event in sdk.audio.transcriptions.create(model="gpt-4o-transcribe", file=("a.mp3", SOUND), stream=True)
    ]
    assert kinds == ["transcript.text.delta", "transcript.text.done"]
    row = application.row()
    assert (row.stream, row.usage, row.usage_quality) == (True, Usage(input_tokens=14, output_tokens=2), UsageQuality.EXACT)


def test_recording_is_never_estimated_by_its_size(application: Application, provider: FakeProvider, sdk: openai.OpenAI) -> None:
    provider.script(answer(headers=[("content-type", "text/plain")], body=b"Hello there\n"))
    sdk.audio.transcriptions.create(model="whisper-1", file=("a.mp3", SOUND), response_format="text")
    row = application.row()
    assert (row.endpoint, row.usage_quality) == (Endpoint.TRANSCRIPTIONS, UsageQuality.ESTIMATED)
    assert (row.usage.input_tokens, row.usage.output_tokens) == (0, 3)


def test_pictures_go_both_ways(application: Application, provider: FakeProvider, sdk: openai.OpenAI) -> None:
    usage = {"input_tokens": 50, "output_tokens": 4160, "total_tokens": 4210}
    provider.script(json_answer(json.dumps({"created": 1, "data": [{"b64_json": "A" * 200_000}], "usage": usage}).encode()))
    edited = sdk.images.edit(model="gpt-image-1", image=[("a.png", b"\x89PNG"), ("b.png", b"\x89PNG")], prompt="a cat")
    assert edited.data is not None
    assert provider.last.target == "/v1/images/edits"
    row = application.row()
    assert (row.usage, row.usage_quality) == (Usage(input_tokens=50, output_tokens=4160), UsageQuality.EXACT)


def test_pictures_without_a_count_are_not_taken_for_text(
    application: Application, provider: FakeProvider, sdk: openai.OpenAI
) -> None:
    provider.script(json_answer(json.dumps({"created": 1, "data": [{"b64_json": "A" * 200_000}]}).encode()))
    sdk.images.generate(model="dall-e-3", prompt="a cat")
    row = application.row()
    assert (row.endpoint, row.usage_quality, row.usage.output_tokens) == (Endpoint.IMAGES, UsageQuality.ESTIMATED, 0)
    assert row.usage.images == 1


@pytest.mark.parametrize("how", ["json", "form"])
def test_pictures_without_a_count_are_counted_as_asked_for(
    application: Application, provider: FakeProvider, sdk: openai.OpenAI, how: str
) -> None:
    provider.script(json_answer(b'{"created":1,"data":[{"url":"https://x"},{"url":"https://y"},{"url":"https://z"}]}'))
    if how == "json":
        sdk.images.generate(model="dall-e-2", prompt="a cat", n=3)
    else:
        sdk.images.edit(model="dall-e-2", image=b"\x89PNG", prompt="a cat", n=3)
    assert application.row().usage.images == 3


def test_sound_arrives_byte_for_byte(application: Application, provider: FakeProvider, sdk: openai.OpenAI) -> None:
    provider.script(answer(headers=[("content-type", "audio/mpeg")], body=SOUND))
    assert sdk.audio.speech.create(model="tts-1", voice="alloy", input="Hello").content == SOUND
    row = application.row()
    assert (row.endpoint, row.usage_quality, row.outcome) == (Endpoint.SPEECH, UsageQuality.ESTIMATED, Outcome.OK)
    assert (row.usage.output_tokens, row.usage.characters) == (0, 5)


def test_what_was_refused_was_not_spoken(application: Application, provider: FakeProvider) -> None:
    provider.script(json_answer(b'{"error":{"message":"no"}}', status="400 Bad Request"))
    assert application.post("/v1/audio/speech", b'{"model":"tts-1","voice":"x","input":"Hello"}').status_code == 400
    row = application.row()
    assert (row.usage, row.usage_quality) == (Usage(), UsageQuality.EXACT)


def test_moderation_costs_nothing_and_says_so(application: Application, provider: FakeProvider, sdk: openai.OpenAI) -> None:
    provider.script(json_answer(b'{"id":"modr-1","model":"omni-moderation-latest","results":[]}'))
    sdk.moderations.create(model="omni-moderation-latest", input="Hello")
    row = application.row()
    assert (row.endpoint, row.usage, row.usage_quality) == (Endpoint.MODERATIONS, Usage(), UsageQuality.EXACT)


def test_one_model_is_asked_for_where_its_name_leads(
    application: Application, provider: FakeProvider, sdk: openai.OpenAI
) -> None:
    provider.script(json_answer(b'{"id":"ft:gpt-5:acme::x1","object":"model","created":1,"owned_by":"acme"}'))
    assert sdk.models.retrieve("ft:gpt-5:acme::x1").id == "ft:gpt-5:acme::x1"
    assert provider.last.target == "/v1/models/ft:gpt-5:acme::x1"
    row = application.row()
    assert (row.endpoint, row.model, row.usage_quality) == (Endpoint.MODEL, "ft:gpt-5:acme::x1", UsageQuality.EXACT)


def test_model_of_nobody_is_not_found(application: Application, provider: FakeProvider) -> None:
    called = len(provider.requests)
    found = application.http.get("/v1/models/no-such-model", headers=application.bearer)
    assert (found.status_code, found.json()["error"]["code"]) == (404, "model_not_found")
    assert len(provider.requests) == called


BAD_FORMS = {
    "twice": (
        400,
        "invalid_model",
        b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nwhisper-1\r\n' * 2 + b"--b--\r\n",
    ),
    "missing": (
        400,
        "invalid_model",
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nx\r\n--b--\r\n',
    ),
    "no form": (400, "invalid_multipart", b'{"model":"whisper-1"}'),
}


@pytest.mark.parametrize("case", BAD_FORMS)
def test_form_without_one_model_is_refused_before_the_gate(application: Application, provider: FakeProvider, case: str) -> None:
    status, code, body = BAD_FORMS[case]
    asked, called = len(application.server.gate.asks), len(provider.requests)
    refused = application.post("/v1/audio/transcriptions", body, headers={"content-type": "multipart/form-data; boundary=b"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (status, code)
    assert (len(application.server.gate.asks), len(provider.requests)) == (asked, called)


def test_a_form_is_no_json_and_json_is_no_form(application: Application, provider: FakeProvider) -> None:
    body = BAD_FORMS["missing"][2]
    form_type = {"content-type": "multipart/form-data; boundary=b"}
    assert application.post("/v1/chat/completions", body, headers=form_type).status_code == 415
    assert application.post("/v1/audio/transcriptions", b'{"model":"whisper-1"}').status_code == 415
