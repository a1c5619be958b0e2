"""Apps that fail: before the first byte, in the middle, after the last one, and at the deadline."""

import asyncio
import json

import pytest
from navplane_runtime.client import RuntimeAPI as Client
from navplane_runtime.client import RuntimeAPIError
from navplane_runtime.loop import serve

from tests.support.hosted_app import Receive, Scope, Send, body, hosted, start
from tests.support.runtime_api import RuntimeAPI, function_url_event


def test_exception_before_the_response_goes_to_error() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise KeyError("lost")

    async def scenario() -> None:
        async with hosted(app) as api:
            invocation = api.invoke(function_url_event(), headers={"Lambda-Runtime-Invocation-Id": "echo-me"})
            await invocation.finished()
            assert invocation.error is not None
            assert invocation.error["errorType"] == "KeyError"
            assert invocation.error["errorMessage"] == "'lost'"
            assert invocation.error["stackTrace"]
            assert invocation.error_headers["lambda-runtime-function-error-type"] == "KeyError"
            assert invocation.error_headers["lambda-runtime-invocation-id"] == "echo-me"
            assert invocation.chunks == []
            await api.journal_has("next", 2)

    asyncio.run(scenario())


def test_exception_after_the_prelude_goes_into_the_trailers() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send)
        await body(send, b"half", more=True)
        raise ValueError("broken")

    async def scenario() -> None:
        async with hosted(app) as api:
            invocation = api.invoke(function_url_event())
            await invocation.finished()
            assert invocation.content == b"half"
            assert invocation.error is None
            assert invocation.trailers["lambda-runtime-function-error-type"] == "ValueError"
            assert invocation.error_body["errorMessage"] == "broken"
            await api.journal_has("next", 2)

    asyncio.run(scenario())


def test_trailers_fit_the_four_kibibytes_that_gos_server_reads() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send)
        raise ValueError("€" * 100_000)

    async def scenario() -> None:
        async with hosted(app) as api:
            invocation = api.invoke(function_url_event())
            await invocation.finished()
            assert sum(len(name) + len(value) + 4 for name, value in invocation.trailers.items()) < 3_500

    asyncio.run(scenario())


def test_exception_after_the_last_byte_is_only_logged(capsys: pytest.CaptureFixture[str]) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send)
        await body(send, b"all")
        raise ValueError("too late to matter")

    async def scenario() -> None:
        async with hosted(app) as api:
            invocation = api.invoke(function_url_event())
            await api.journal_has("next", 2)
            assert invocation.error is None
            assert invocation.trailers == {}

    asyncio.run(scenario())
    line = json.loads(capsys.readouterr().out)
    assert line["errorMessage"] == "too late to matter"
    assert line["requestId"] == "request-0"
    assert line["level"] == "ERROR"


def test_app_that_returns_without_a_response_is_a_fault() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        return

    async def scenario() -> None:
        async with hosted(app) as api:
            invocation = api.invoke(function_url_event())
            await invocation.finished()
            assert invocation.error is not None
            assert invocation.error["errorType"] == "Runtime.NoResponse"

    asyncio.run(scenario())


def test_app_that_returns_in_the_middle_is_a_fault() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send)
        await body(send, b"half", more=True)

    async def scenario() -> None:
        async with hosted(app) as api:
            invocation = api.invoke(function_url_event())
            await invocation.finished()
            assert invocation.trailers["lambda-runtime-function-error-type"] == "Runtime.IncompleteResponse"

    asyncio.run(scenario())


def test_event_that_is_not_http_never_reaches_the_app() -> None:
    called: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        called.append(scope)

    async def scenario() -> None:
        async with hosted(app) as api:
            invocation = api.invoke({"Records": []})
            await invocation.finished()
            assert invocation.error is not None
            assert invocation.error["errorType"] == "Runtime.UnknownEvent"
            assert called == []
            await api.journal_has("next", 2)

    asyncio.run(scenario())


def test_deadline_cancels_the_app_in_the_middle_and_says_so_in_the_trailers() -> None:
    cancelled: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send)
        await body(send, b"half", more=True)
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.append(scope["extensions"]["aws.request_id"])

    async def scenario() -> None:
        async with hosted(app) as api:
            invocation = api.invoke(function_url_event(), seconds=0.5)
            await invocation.finished()
            assert cancelled == ["request-0"]
            assert invocation.content == b"half"
            assert invocation.trailers["lambda-runtime-function-error-type"] == "Runtime.DeadlineExceeded"
            await api.journal_has("next", 2)

    asyncio.run(scenario())


def test_deadline_before_the_response_goes_to_error() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.Event().wait()

    async def scenario() -> None:
        async with hosted(app) as api:
            invocation = api.invoke(function_url_event(), seconds=0.4)
            await invocation.finished()
            assert invocation.error is not None
            assert invocation.error["errorType"] == "Runtime.DeadlineExceeded"

    asyncio.run(scenario())


def test_work_after_the_response_ends_at_the_deadline() -> None:
    cancelled: list[bool] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send)
        await body(send, b"all")
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.append(True)

    async def scenario() -> None:
        async with hosted(app) as api:
            invocation = api.invoke(function_url_event(), seconds=0.5)
            await api.journal_has("next", 2)
            assert cancelled == [True]
            assert invocation.done.is_set()
            assert invocation.trailers == {}

    asyncio.run(scenario())


def test_deadline_during_the_final_write_lets_it_finish(capsys: pytest.CaptureFixture[str]) -> None:
    cancelled = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send)
        try:
            await body(send, b"all")
        finally:
            cancelled.set()

    async def scenario() -> None:
        async with hosted(app) as api:
            invocation = api.invoke(function_url_event(), seconds=0.5)
            invocation.may_accept.clear()
            await cancelled.wait()
            invocation.may_accept.set()
            await invocation.finished()
            await api.journal_has("next", 2)
            assert invocation.content == b"all"
            assert invocation.trailers == {}

    asyncio.run(scenario())
    assert capsys.readouterr().out == ""


def test_response_that_nobody_reads_does_not_outlive_its_deadline() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send)
        while True:
            await body(send, bytes(1 << 20), more=True)

    async def scenario() -> None:
        async with hosted(app) as api:
            api.invoke(function_url_event(), seconds=0.5).may_read.clear()
            await api.journal_has("next", 2)

    asyncio.run(scenario())


def test_next_is_asked_again_on_a_new_connection_when_it_was_closed_while_idle() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send)
        await body(send, b"all")

    async def scenario() -> None:
        async with hosted(app) as api:
            api.close_next = 1
            await api.invoke(function_url_event()).finished()

    asyncio.run(scenario())


def test_loop_ends_when_next_is_closed_twice() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise AssertionError("there is no invocation")

    async def scenario() -> None:
        async with RuntimeAPI() as api:
            api.close_next = 2
            with pytest.raises(OSError, match="twice"):
                await serve(app, Client(api.address))

    asyncio.run(scenario())


def test_loop_ends_when_next_is_refused() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise AssertionError("there is no invocation")

    async def scenario() -> None:
        async with RuntimeAPI() as api:
            api.next_status = 403
            with pytest.raises(RuntimeAPIError, match="403"):
                await serve(app, Client(api.address))

    asyncio.run(scenario())
