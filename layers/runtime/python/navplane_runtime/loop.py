"""The invocation loop: N pollers on one event loop, one task per invocation, nothing left running when `/next` is asked."""

import asyncio
import contextvars
import os
import time
from collections.abc import Awaitable, Callable
from typing import Any

from navplane_runtime import event, logs
from navplane_runtime.client import Invocation, Poller, RuntimeAPI, RuntimeAPIError
from navplane_runtime.fault import Fault
from navplane_runtime.http1 import CONNECTION_LOST, BadAnswer
from navplane_runtime.response import Exchange, Message

App = Callable[[dict[str, Any], Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]]

# At the deadline the platform kills the process: the task is cancelled this long before, so that the trailers still leave.
# An app that wants to say a last word stops itself earlier; it finds the deadline in its scope.
CANCEL_SECONDS = 0.25
# How long a cancelled app may clean up, and how long the Runtime API may take to accept the end of a failed response.
CLOSING_SECONDS = 1.0

trace_id: contextvars.ContextVar[str | None] = contextvars.ContextVar("trace_id", default=None)


async def serve(app: App, api: RuntimeAPI, *, concurrency: int = 1, state: dict[str, Any] | None = None) -> None:
    """Serve until the Runtime API is gone, which raises (see Poller.next)."""
    # One invocation at a time may keep its trace id in the environment, where the X-Ray SDK looks for it.
    pollers = [_poll(app, api, state or {}, export_trace=concurrency == 1) for _ in range(concurrency)]
    await asyncio.gather(*pollers)


async def _poll(app: App, api: RuntimeAPI, state: dict[str, Any], *, export_trace: bool) -> None:
    poller = Poller(api)
    try:
        while True:
            invocation = await poller.next()
            trace_id.set(invocation.trace_id)
            logs.request_id.set(invocation.request_id)
            if export_trace and invocation.trace_id:
                os.environ["_X_AMZN_TRACE_ID"] = invocation.trace_id
            await _handle(app, api, invocation, state)
    finally:
        poller.close()


async def _handle(app: App, api: RuntimeAPI, invocation: Invocation, state: dict[str, Any]) -> None:
    """Run one invocation to its end, the work after its response included. Never raises."""
    try:
        scope, body = event.parse(invocation.event)
    except event.UnknownEvent as exc:
        await _report(api, invocation, Fault.from_exception(exc, type="Runtime.UnknownEvent"))
        return
    scope["state"] = state.copy()
    scope["extensions"] = {
        "navplane.deadline": invocation.deadline,
        "aws.request_id": invocation.request_id,
        "aws.trace_id": invocation.trace_id,
    }
    exchange = Exchange(api, invocation, body, rest=event.is_rest(scope["aws.event"]))
    fault = await _run(app(scope, exchange.receive, exchange.send), invocation.deadline)
    await _conclude(api, invocation, exchange, fault)


async def _run(call: Awaitable[None], deadline: float) -> Fault | None:
    """Await the app until just before the deadline; return what went wrong."""
    task = asyncio.ensure_future(call)
    await asyncio.wait((task,), timeout=max(0.0, deadline - CANCEL_SECONDS - time.monotonic()))
    if not task.done():
        task.cancel()
        await asyncio.wait((task,), timeout=CLOSING_SECONDS)
        return Fault("Runtime.DeadlineExceeded", "the invocation was stopped at its deadline")
    if task.cancelled():
        return Fault("Runtime.AppCancelled", "the app cancelled its own task")
    exc = task.exception()
    return Fault.from_exception(exc) if exc else None


async def _conclude(api: RuntimeAPI, invocation: Invocation, exchange: Exchange, fault: Fault | None) -> None:
    """An app that failed before its response has its fault reported; after the first byte the trailers carry it."""
    if exchange.over:
        if fault:
            logs.fault("the app failed after its response", fault)
    elif exchange.started:
        await _cut(exchange, fault or Fault("Runtime.IncompleteResponse", "the app returned before its response ended"))
    else:
        await _report(api, invocation, fault or Fault("Runtime.NoResponse", "the app returned without a response"))


async def _cut(exchange: Exchange, fault: Fault) -> None:
    if not exchange.ending:
        logs.fault("the response was cut", fault)
    try:
        async with asyncio.timeout(CLOSING_SECONDS):
            await exchange.end(fault)
    except (OSError, TimeoutError) as exc:
        exchange.abort()
        logs.fault("the end of the response was not accepted", Fault.from_exception(exc))


async def _report(api: RuntimeAPI, invocation: Invocation, fault: Fault) -> None:
    logs.fault("the invocation failed", fault)
    try:
        async with asyncio.timeout(CLOSING_SECONDS):
            await api.invocation_error(invocation, fault)
    except (*CONNECTION_LOST, TimeoutError, BadAnswer, RuntimeAPIError) as exc:
        logs.fault("the fault could not be reported", Fault.from_exception(exc))
