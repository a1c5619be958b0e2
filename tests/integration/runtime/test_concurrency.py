"""AWS_LAMBDA_MAX_CONCURRENCY: several pollers, one event loop."""

import asyncio
import os

import pytest
from navplane_runtime.loop import trace_id

from tests.support.hosted_app import Receive, Scope, Send, body, hosted, start
from tests.support.runtime_api import function_url_event


def test_as_many_invocations_run_at_once_as_there_are_pollers() -> None:
    everyone = asyncio.Barrier(3)
    traces: dict[str, str | None] = {}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        # Nobody leaves before three are here: only concurrent invocations get through.
        await everyone.wait()
        traces[scope["extensions"]["aws.request_id"]] = trace_id.get()
        await start(send)
        await body(send, scope["path"].encode())

    async def scenario() -> None:
        async with hosted(app, concurrency=3) as api:
            invocations = [api.invoke(function_url_event(rawPath=f"/{number}")) for number in range(6)]
            for number, invocation in enumerate(invocations):
                await invocation.finished()
                assert invocation.content == b"/%d" % number

    asyncio.run(scenario())
    assert traces == {f"request-{number}": f"Root=1-request-{number}" for number in range(6)}


def test_one_poller_serves_one_invocation_at_a_time() -> None:
    running: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        running.append(scope["path"])
        assert len(running) == 1
        await start(send)
        await body(send, b"")
        await asyncio.sleep(0)
        running.clear()

    async def scenario() -> None:
        async with hosted(app) as api:
            for invocation in [api.invoke(function_url_event()) for _ in range(5)]:
                await invocation.finished()
                assert invocation.prelude["statusCode"] == 200

    asyncio.run(scenario())


@pytest.mark.parametrize(("concurrency", "exported"), [(1, "Root=1-request-0"), (2, None)])
def test_trace_id_is_in_the_environment_only_when_there_is_one_at_a_time(
    concurrency: int, exported: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("_X_AMZN_TRACE_ID", raising=False)
    monkeypatch.setattr(os, "environ", os.environ.copy())
    found: list[str | None] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        found.append(os.environ.get("_X_AMZN_TRACE_ID"))
        await start(send)
        await body(send, b"")

    async def scenario() -> None:
        async with hosted(app, concurrency=concurrency) as api:
            await api.invoke(function_url_event()).finished()

    asyncio.run(scenario())
    assert found == [exported]
