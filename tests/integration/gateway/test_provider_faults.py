"""Everything a provider can do wrong, streamed and not, and the one answer and one row that come of it."""

import gzip
import json
from collections.abc import Iterator, Sequence

import pytest
from navplane.gateway.limits import Limits
from navplane.model.usage import Outcome, Usage, UsageQuality

from tests.integration.gateway.conftest import Application
from tests.support.gateway import GatewayServer, sealed_key
from tests.support.provider import Close, Cut, FakeProvider, Hang, Step, answer, chunk, head, json_answer, stream

CHAT, MESSAGES, RESPONSES = "/v1/chat/completions", "/v1/messages", "/v1/responses"
GEMINI = "/google/v1/chat/completions"
BODIES = {
    CHAT: {"model": "gpt-5"},
    MESSAGES: {"model": "claude-opus-5"},
    RESPONSES: {"model": "gpt-5"},
    GEMINI: {"model": "gemini-3"},
}
FIRST = {
    CHAT: b'data: {"choices":[{"delta":{"content":"Hello"}}]}\n\n',
    MESSAGES: b'event: message_start\ndata: {"type":"message_start","message":{"usage":{"input_tokens":77}}}\n\n',
    RESPONSES: b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","delta":"Hello"}\n\n',
    GEMINI: b'data: {"choices":[{"delta":{"content":"Hello"}}]}\n\n',
}
SURFACES = [CHAT, MESSAGES, RESPONSES, GEMINI]
UPSTREAM_ERROR = ("upstream_error", "api_error")


@pytest.fixture(scope="module")
def server(provider: FakeProvider) -> Iterator[GatewayServer]:
    """Impatient, so that silence is noticed at once."""
    limits = Limits(first_byte=0.6, first_byte_streamed=0.6, idle=0.6, response_bytes=100_000)
    providers = dict.fromkeys(("openai", "anthropic", "google"), provider.url)
    with GatewayServer(providers, limits=limits) as running:
        yield running


@pytest.fixture
def application(application: Application) -> Application:
    application.server.gate.add_provider_key(sealed_key(application.tenant.org_id, "google"))
    return application


def body_of(path: str, *, streamed: bool) -> bytes:
    return json.dumps({**BODIES[path], "stream": streamed}).encode()


def code_of(path: str, error: dict[str, object]) -> object:
    return error["type"] if path == MESSAGES else error["code"]


@pytest.mark.parametrize("path", SURFACES)
@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    ("steps", "status", "code", "anthropic"),
    [
        ([Close()], 502, "upstream_unreachable", "api_error"),
        ([Cut()], 502, "upstream_unreachable", "api_error"),
        ([b"HTTP/1.1 200 OK\r\ncontent-ty", Cut()], 502, "upstream_unreachable", "api_error"),
        ([Hang()], 504, "upstream_timeout", "timeout_error"),
        ([b"HTTP/1.1 200 OK\r\n", Hang()], 504, "upstream_timeout", "timeout_error"),
        ([b"this is not HTTP\r\n\r\n", Close()], 502, "upstream_error", "api_error"),
        (answer("302 Found", headers=[("location", "/elsewhere")]), 502, "upstream_redirected", "api_error"),
        (answer("304 Not Modified"), 502, "upstream_redirected", "api_error"),
        ([b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n", Close()], 502, *UPSTREAM_ERROR),
        (answer("099 Early"), 502, *UPSTREAM_ERROR),
        (answer("600 Late"), 502, *UPSTREAM_ERROR),
    ],
    ids=[
        "closed",
        "reset",
        "cut in headers",
        "hang",
        "hang in headers",
        "garbage",
        "redirect",
        "not modified",
        "switching",
        "status 99",
        "status 600",
    ],
)
def test_fault_before_the_first_byte_is_an_error_of_its_own(
    application: Application,
    provider: FakeProvider,
    path: str,
    streamed: bool,
    steps: Sequence[Step],
    status: int,
    code: str,
    anthropic: str,
) -> None:
    provider.script(steps)
    before = len(provider.requests)
    response = application.post(path, body_of(path, streamed=streamed))
    assert response.status_code == status
    assert code_of(path, response.json()["error"]) == (anthropic if path == MESSAGES else code)
    assert len(provider.requests) == before + 1, "a request that may have been billed is never repeated"
    row = application.row()
    assert (row.status, row.error_code, row.outcome, row.attempts) == (status, code, Outcome.FAILED, 1)
    refused = "redirected" in code
    assert row.usage_quality is (UsageQuality.EXACT if refused else UsageQuality.ESTIMATED)
    assert (row.usage.input_tokens > 0) is not refused


@pytest.mark.parametrize("path", SURFACES)
@pytest.mark.parametrize(
    ("after", "code"), [([Cut()], "upstream_cut"), ([Close()], "upstream_cut"), ([Hang()], "upstream_timeout")],
    ids=["reset", "closed", "stall"],
)  # fmt: skip
def test_stream_that_breaks_ends_with_an_error_event_of_its_dialect(
    application: Application, provider: FakeProvider, path: str, after: Sequence[Step], code: str
) -> None:
    provider.script(stream([FIRST[path], *after], end=False))
    response = application.post(path, body_of(path, streamed=True))
    assert response.status_code == 200
    assert response.content.startswith(FIRST[path])
    event = response.content.removeprefix(FIRST[path])
    assert_error_event(path, event, code)
    row = application.row()
    assert (row.status, row.error_code, row.outcome) == (200, code, Outcome.FAILED)
    assert row.usage_quality is UsageQuality.ESTIMATED
    assert row.usage.input_tokens == (77 if path == MESSAGES else -(-len(body_of(path, streamed=True)) // 4))


def assert_error_event(path: str, event: bytes, code: str) -> None:
    assert event.endswith(b"\n\n")
    assert b"[DONE]" not in event
    *name, data = event.strip().split(b"\n")
    assert name == ([] if path in (CHAT, GEMINI) else [b"event: error"])
    error = json.loads(data.removeprefix(b"data: "))["error"]
    assert code_of(path, error) == ({"upstream_timeout": "timeout_error"}.get(code, "api_error") if path == MESSAGES else code)


def test_event_cut_in_its_middle_does_not_swallow_the_error(application: Application, provider: FakeProvider) -> None:
    start = b'event: content_block_delta\ndata: {"type":"content_blo'
    provider.script(stream([start, Cut()], end=False))
    content = application.post(MESSAGES, body_of(MESSAGES, streamed=True)).content
    assert content.startswith(start + b"\n\nevent: error\n")


def test_part_of_an_event_is_not_delivered_where_events_are_filtered(application: Application, provider: FakeProvider) -> None:
    provider.script(stream([FIRST[CHAT], b'data: {"choices":[{"del', Cut()], end=False))
    content = application.post(CHAT, body_of(CHAT, streamed=True)).content
    assert content.startswith(FIRST[CHAT] + b'data: {"error"')


def test_stream_without_framing_that_ends_before_its_end_mark_is_cut(application: Application, provider: FakeProvider) -> None:
    """Its end can't be told from a break by HTTP; both SDKs would take it for a success."""
    whole = [head("200 OK", [("content-type", "text/event-stream")]), FIRST[CHAT]]
    provider.script([*whole, Close()])
    content = application.post(CHAT, body_of(CHAT, streamed=True)).content
    assert_error_event(CHAT, content.removeprefix(FIRST[CHAT]), "upstream_cut")
    provider.script([*whole, b"data: [DONE]\n\n", Close()])
    assert application.post(CHAT, body_of(CHAT, streamed=True)).content == FIRST[CHAT] + b"data: [DONE]\n\n"


@pytest.mark.parametrize("path", SURFACES)
@pytest.mark.parametrize(
    "steps",
    [
        [*answer(headers=[("content-type", "application/json")], body=b'{"half', length=100), Close()],
        [head("200 OK", [("content-type", "application/json"), ("transfer-encoding", "chunked")]), chunk(b'{"half'), Cut()],
        [head("200 OK", [("content-type", "application/json"), ("content-length", "100")]), b'{"half', Hang()],
    ],
    ids=["short", "reset", "stall"],
)
def test_body_that_breaks_off_is_never_taken_for_whole(
    application: Application, provider: FakeProvider, path: str, steps: Sequence[Step]
) -> None:
    provider.script(steps)
    with pytest.raises(Exception, match=r"(?i)peer closed|incomplete|disconnected"):
        application.post(path, body_of(path, streamed=False))
    row = application.row()
    assert (row.status, row.outcome, row.usage_quality) == (200, Outcome.FAILED, UsageQuality.ESTIMATED)
    assert row.error_code in ("upstream_cut", "upstream_timeout")


ERRORS = [
    ("400 Bad Request", b'{"error":{"message":"no","type":"invalid_request_error"}}'),
    ("404 Not Found", b'{"error":{"message":"no such model"}}'),
    ("408 Request Timeout", b""),
    ("429 Too Many Requests", b'{"error":{"message":"slow down","type":"requests","code":"rate_limit_exceeded"}}'),
    ("500 Internal Server Error", b"<html>oops</html>"),
    ("503 Service Unavailable", b"\x00\xff"),
    ("529 Overloaded", b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}'),
]


@pytest.mark.parametrize("path", SURFACES)
@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(("status", "body"), ERRORS, ids=[status for status, _ in ERRORS])
def test_providers_own_errors_are_passed_on_as_they_are(
    application: Application, provider: FakeProvider, path: str, streamed: bool, status: str, body: bytes
) -> None:
    headers = [
        ("content-type", "application/x"),
        ("retry-after", "7"),
        ("x-ratelimit-limit-tokens", "1"),
        ("x-request-id", "r"),
    ]
    provider.script(answer(status, headers=headers, body=body))
    before = len(provider.requests)
    response = application.post(path, body_of(path, streamed=streamed))
    assert (response.status_code, response.content) == (int(status[:3]), body)
    for name, value in headers:
        assert response.headers[name] == value
    assert len(provider.requests) == before + 1, "retries are the client's"
    row = application.row()
    assert (row.status, row.outcome, row.error_code) == (int(status[:3]), Outcome.FAILED, "upstream_error")
    assert (row.usage, row.usage_quality) == (Usage(), UsageQuality.EXACT)


@pytest.mark.parametrize("path", SURFACES)
def test_error_inside_a_successful_stream_is_passed_and_recorded_as_a_failure(
    application: Application, provider: FakeProvider, path: str
) -> None:
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "x"}}
    event = f"event: error\ndata: {json.dumps(error)}\n\n".encode()
    provider.script(stream([FIRST[path], event]))
    assert application.post(path, body_of(path, streamed=True)).content == FIRST[path] + event
    row = application.row()
    assert (row.status, row.outcome, row.error_code) == (200, Outcome.FAILED, "upstream_error")


@pytest.mark.parametrize("path", SURFACES)
def test_nonsense_in_a_stream_passes_and_costs_the_exact_count(
    application: Application, provider: FakeProvider, path: str
) -> None:
    events = [b"data: {nonsense\n\n", b"\x00\xff\n\n", b"data\n\n", b"data: [1,2]\n\n", b"x" * 70_000 + b"\n\n"]
    provider.script(stream(events))
    assert application.post(path, body_of(path, streamed=True)).content == b"".join(events)
    row = application.row()
    assert (row.outcome, row.usage_quality) == (Outcome.OK, UsageQuality.ESTIMATED)


def test_answer_without_end_is_ended(application: Application, provider: FakeProvider) -> None:
    provider.script(stream([b"data: " + b"x" * 30_000 + b"\n\n"] * 5 + [Hang()], end=False))
    content = application.post(MESSAGES, body_of(MESSAGES, streamed=True)).content
    assert len(content) < 110_000
    assert b"event: error" in content
    row = application.row()
    assert (row.outcome, row.error_code) == (Outcome.TERMINATED, "upstream_error")


def test_provider_that_can_not_be_reached_is_tried_twice_and_not_billed(provider: FakeProvider) -> None:
    with GatewayServer({"openai": "http://127.0.0.1:9"}) as server, server.client() as http:
        tenant = server.tenant()
        response = http.post(CHAT, json={"model": "gpt-5"}, headers={"authorization": f"Bearer {tenant.key}"})
        assert (response.status_code, response.json()["error"]["code"]) == (502, "upstream_unreachable")
        (row,) = server.log.wait_for(1)
        assert (row.attempts, row.usage, row.usage_quality) == (2, Usage(), UsageQuality.EXACT)
        assert server.gate.open_reservations() == []


def test_early_hints_do_not_confuse_the_answer(application: Application, provider: FakeProvider) -> None:
    provider.script([b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n", *json_answer(b"{}")])
    assert application.post(CHAT, body_of(CHAT, streamed=False)).content == b"{}"


@pytest.mark.parametrize("path", SURFACES)
def test_error_in_which_the_providers_key_could_not_be_found_is_not_passed_on(
    application: Application, provider: FakeProvider, path: str
) -> None:
    provider.script(answer("400 Bad Request", headers=[("content-encoding", "gzip")], body=gzip.compress(b"sk-echoed")))
    response = application.post(path, body_of(path, streamed=False))
    assert (response.status_code, response.headers.get("content-encoding")) == (502, None)
    assert code_of(path, response.json()["error"]) == ("api_error" if path == MESSAGES else "upstream_error")
    assert application.row().usage == Usage()
