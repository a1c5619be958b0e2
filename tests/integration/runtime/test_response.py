"""What the Runtime API receives, byte by byte and in which order."""

import asyncio
import os

import pytest

from tests.support.hosted_app import Message, Receive, Scope, Send, body, hosted, start
from tests.support.runtime_api import function_url_event, rest_event


def test_answer_is_a_prelude_of_its_own_then_the_raw_body() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send, 201, ((b"content-type", b"text/plain"), (b"set-cookie", b"a=1")))
        await body(send, b"hello ", more=True)
        await body(send, b"world")

    async def scenario() -> None:
        async with hosted(app) as api:
            invocation = api.invoke(function_url_event())
            await invocation.finished()
            assert invocation.prelude == {"statusCode": 201, "cookies": ["a=1"], "headers": {"content-type": "text/plain"}}
            assert invocation.chunks[0].endswith(b"\0" * 8)
            assert invocation.chunks[1:] == [b"hello ", b"world"]
            assert invocation.trailers == {}

    asyncio.run(scenario())


def test_response_announces_that_it_streams() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send)
        await body(send, b"")

    async def scenario() -> None:
        async with hosted(app) as api:
            invocation = api.invoke(function_url_event(), headers={"Lambda-Runtime-Invocation-Id": "echo-me"})
            await invocation.finished()
            headers = invocation.request_headers
            assert headers["lambda-runtime-function-response-mode"] == "streaming"
            assert headers["transfer-encoding"] == "chunked"
            assert headers["content-type"] == "application/vnd.awslambda.http-integration-response"
            assert headers["trailer"] == "Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body"
            assert headers["lambda-runtime-invocation-id"] == "echo-me"

    asyncio.run(scenario())


def test_each_chunk_arrives_before_the_next_one_exists() -> None:
    """The app makes a chunk only after the test has seen the one before."""
    seen = asyncio.Queue[None]()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send)
        for number in range(5):
            await seen.get()
            await body(send, b"chunk %d" % number, more=True)
        await seen.get()
        await body(send, b"")

    async def scenario() -> None:
        async with hosted(app) as api:
            invocation = api.invoke(function_url_event())
            for number in range(6):
                await invocation.arrived(number + 1)
                assert len(invocation.chunks) == number + 1
                seen.put_nowait(None)
            await invocation.finished()
            assert invocation.content == b"chunk 0chunk 1chunk 2chunk 3chunk 4"

    asyncio.run(scenario())


def test_empty_chunks_do_not_end_the_response() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send)
        await body(send, b"", more=True)
        await body(send, b"a", more=True)
        await body(send, b"", more=True)
        await body(send, b"b", more=True)
        await body(send, b"")

    async def scenario() -> None:
        async with hosted(app) as api:
            invocation = api.invoke(function_url_event())
            await invocation.finished()
            assert invocation.chunks[1:] == [b"a", b"b"]

    asyncio.run(scenario())


def test_big_body_arrives_whole() -> None:
    data = os.urandom(3 << 20)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send)
        await body(send, data)

    async def scenario() -> None:
        async with hosted(app) as api:
            invocation = api.invoke(function_url_event())
            await invocation.finished()
            assert invocation.content == data

    asyncio.run(scenario())


def test_a_reader_that_stalls_stalls_the_app() -> None:
    """Backpressure: with nobody reading, the app gets only as far as the kernel's buffers reach."""
    sent: list[int] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send)
        for number in range(64):
            await body(send, bytes(1 << 20), more=True)
            sent.append(number)
        await body(send, b"")

    async def scenario() -> None:
        async with hosted(app) as api:
            invocation = api.invoke(function_url_event())
            invocation.may_read.clear()
            await api.journal_has("response request-0")
            for _ in range(100):
                await asyncio.sleep(0)
            assert len(sent) < 32
            invocation.may_read.set()
            await invocation.finished()
            assert len(sent) == 64

    asyncio.run(scenario())


def test_rest_answer_keeps_repeated_headers_apart() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send, 200, ((b"set-cookie", b"a=1"), (b"set-cookie", b"b=2")))
        await body(send, b"")

    async def scenario() -> None:
        async with hosted(app) as api:
            invocation = api.invoke(rest_event())
            await invocation.finished()
            assert invocation.prelude["multiValueHeaders"] == {"set-cookie": ["a=1", "b=2"]}

    asyncio.run(scenario())


def test_request_reaches_the_app_with_its_deadline_and_id() -> None:
    got: dict[str, object] = {}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        got["left"] = scope["extensions"]["navplane.deadline"] - asyncio.get_running_loop().time()
        got["id"] = scope["extensions"]["aws.request_id"]
        got["trace"] = scope["extensions"]["aws.trace_id"]
        got["body"] = await receive()
        await start(send)
        await body(send, b"")

    async def scenario() -> None:
        async with hosted(app) as api:
            invocation = api.invoke(function_url_event(body="ask"), seconds=100)
            await invocation.finished()

    asyncio.run(scenario())
    assert isinstance(got["left"], float)
    assert 50 < got["left"] <= 100.1
    assert got["id"] == "request-0"
    assert got["trace"] == "Root=1-request-0"
    assert got["body"] == {"type": "http.request", "body": b"ask", "more_body": False}


def test_disconnect_comes_only_after_the_last_chunk_was_accepted() -> None:
    messages: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        listener = asyncio.ensure_future(receive())
        listener.add_done_callback(lambda task: messages.append(task.result()))
        await start(send)
        await body(send, b"all")
        await listener

    async def scenario() -> None:
        async with hosted(app) as api:
            invocation = api.invoke(function_url_event())
            invocation.may_accept.clear()
            await api.journal_has("end request-0")
            for _ in range(100):
                await asyncio.sleep(0)
            assert messages == []
            invocation.may_accept.set()
            await api.journal_has("next", 2)
            assert messages == [{"type": "http.disconnect"}]

    asyncio.run(scenario())


def test_next_is_asked_only_when_the_work_after_the_response_is_done() -> None:
    release = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send)
        await body(send, b"all")
        await release.wait()

    async def scenario() -> None:
        async with hosted(app) as api:
            invocation = api.invoke(function_url_event())
            await invocation.finished()
            for _ in range(100):
                await asyncio.sleep(0)
            assert api.journal.count("next") == 1
            release.set()
            await api.journal_has("next", 2)

    asyncio.run(scenario())


@pytest.mark.parametrize("status", [413, 400, 500, 202])
def test_early_answer_is_an_oserror_to_the_app_although_nobody_reads_on(status: int) -> None:
    errors: list[OSError] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send)
        try:
            while True:
                await body(send, bytes(1 << 20), more=True)
        except OSError as exc:
            errors.append(exc)

    async def scenario() -> None:
        async with hosted(app) as api:
            api.invoke(function_url_event()).refuse_with = (2, status)
            await api.journal_has("next", 2)
            assert str(status) in str(errors[0])

    asyncio.run(scenario())


def test_reset_connection_is_an_oserror_to_the_app_and_the_next_invocation_is_served() -> None:
    errors: list[OSError] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send)
        try:
            for _ in range(1000 if scope["path"] == "/gone" else 1):
                await body(send, bytes(1 << 16), more=True)
                await asyncio.sleep(0)
        except OSError as exc:
            errors.append(exc)
            raise
        await body(send, b"")

    async def scenario() -> None:
        async with hosted(app) as api:
            api.invoke(function_url_event(rawPath="/gone")).reset_after = 2
            after = api.invoke(function_url_event())
            await after.finished()
            assert len(errors) == 1
            assert after.content == bytes(1 << 16)

    asyncio.run(scenario())


def test_refusal_of_a_whole_response_is_an_oserror_too() -> None:
    errors: list[OSError] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send)
        try:
            await body(send, b"all")
        except OSError as exc:
            errors.append(exc)

    async def scenario() -> None:
        async with hosted(app) as api:
            api.invoke(function_url_event()).final_status = 413
            await api.journal_has("next", 2)
            assert "413" in str(errors[0])

    asyncio.run(scenario())


@pytest.mark.parametrize("kinds", [["http.response.body"], ["http.response.start"] * 2, ["websocket.accept"]])
def test_messages_out_of_order_are_the_apps_error(kinds: list[str]) -> None:
    errors: list[RuntimeError] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            for kind in kinds:
                await send({"type": kind, "status": 200, "body": b"x"})
        except RuntimeError as exc:
            errors.append(exc)

    async def scenario() -> None:
        async with hosted(app) as api:
            await api.invoke(function_url_event()).finished()
            assert len(errors) == 1

    asyncio.run(scenario())
