"""From process start to the invocation loop."""

import asyncio
import os
from collections.abc import Mapping

from navplane_runtime import handler, logs, snapshot
from navplane_runtime.client import RuntimeAPI, RuntimeAPIError
from navplane_runtime.fault import Fault
from navplane_runtime.http1 import CONNECTION_LOST, BadAnswer
from navplane_runtime.lifespan import Lifespan, StartupFailed
from navplane_runtime.loop import App, serve

RUNTIME_API_GONE = (*CONNECTION_LOST, BadAnswer, RuntimeAPIError)


def main(env: Mapping[str, str] = os.environ) -> int:
    """The exit status of the process, which ends only when something failed."""
    logs.configure(env.get("AWS_LAMBDA_LOG_LEVEL", "WARNING"))
    handler.extend_path(env)
    api = RuntimeAPI(env["AWS_LAMBDA_RUNTIME_API"])
    with asyncio.Runner() as runner:
        try:
            return _live(runner, api, env)
        except RUNTIME_API_GONE as exc:
            logs.fault("the Runtime API is gone", Fault.from_exception(exc))
            return 1


def _live(runner: asyncio.Runner, api: RuntimeAPI, env: Mapping[str, str]) -> int:
    """The app is imported outside of the event loop, as under the managed runtime, and served inside of it."""
    try:
        app = handler.load(env["_HANDLER"])
    except handler.LoadError as exc:
        return runner.run(_init_failed(api, exc.fault))
    return runner.run(_serve(app, api, env))


async def _serve(app: App, api: RuntimeAPI, env: Mapping[str, str]) -> int:
    if snapshot.is_taken(env.get("AWS_LAMBDA_INITIALIZATION_TYPE", "")) and (status := await _snapshot(api)):
        return status
    # After the snapshot: this is where apps open their connections, and those would not survive it.
    lifespan = Lifespan(app)
    try:
        await lifespan.startup()
    except StartupFailed as exc:
        return await _init_failed(api, Fault.from_exception(exc))
    await serve(app, api, concurrency=int(env.get("AWS_LAMBDA_MAX_CONCURRENCY") or 1), state=lifespan.state)
    return 0


async def _snapshot(api: RuntimeAPI) -> int:
    """0, or the exit status with which the managed runtime ends when a hook fails."""
    try:
        snapshot.before()
    except Exception as exc:
        await _init_failed(api, Fault.from_exception(exc, type="Runtime.BeforeSnapshotError"))
        return 64
    await snapshot.restored(api)
    try:
        snapshot.after()
    except Exception as exc:
        fault = Fault.from_exception(exc, type="Runtime.AfterRestoreError")
        logs.fault("the restored process can't start", fault)
        await api.restore_error(fault)
        return 65
    return 0


async def _init_failed(api: RuntimeAPI, fault: Fault) -> int:
    logs.fault("the function can't start", fault)
    await api.init_error(fault)
    return 1
