"""The whole process: exec wrapper, start-up, logs, SnapStart and the freeze between invocations."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from asyncio.subprocess import Process
from pathlib import Path
from typing import Any

import pytest

from tests.support.runtime_api import RuntimeAPI, function_url_event
from tests.support.runtime_process import WRAPPER, function_process

HELLO = """
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        raise NotImplementedError
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})
"""

LIFESPAN = """
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        assert (await receive())["type"] == "lifespan.startup"
        scope["state"]["greeting"] = b"started"
        await send({"type": "lifespan.startup.complete"})
        await receive()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": scope["state"]["greeting"]})
"""

LOGS = """
import logging

print("at import")

async def app(scope, receive, send):
    assert scope["type"] == "http"
    logging.getLogger("mine").warning("careful, %s", "now")
    logging.getLogger("mine").info("not shown")
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})
"""

SNAPSHOT = """
import random
import sys
import types

hooks = types.ModuleType("snapshot_restore_py")
before, after = [], []
hooks.get_before_snapshot, hooks.get_after_restore = lambda: before, lambda: after
sys.modules["snapshot_restore_py"] = hooks
calls = []
before.append((calls.append, ("before, registered first",), {}))
before.append((calls.append, ("before, registered second",), {}))
after.append((calls.append, ("after",), {}))
random.seed(1)

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        calls.append("startup")
        await send({"type": "lifespan.startup.complete"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": repr((calls, random.random())).encode()})
"""


def freeze(process: Process) -> None:
    """Return when the process stands still, as Lambda's do between two invocations."""
    process.send_signal(signal.SIGSTOP)
    os.waitpid(process.pid, os.WUNTRACED)


async def init_error_of(code: str, folder: Path, handler: str = "handler.app") -> dict[str, Any]:
    async with RuntimeAPI() as api, function_process(api.address, folder, code, handler=handler) as process:
        assert await process.wait() == 1
        assert api.journal == ["init/error"]
        return api.init_errors[0]


def test_wrapper_starts_the_runtime_in_place_of_the_bootstrap(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with RuntimeAPI() as api, function_process(api.address, tmp_path, HELLO) as process:
            for _ in range(2):
                invocation = api.invoke(function_url_event())
                await invocation.finished()
                assert invocation.content == b"hello"
            assert process.returncode is None

    asyncio.run(scenario())


def test_wrapper_replaces_itself_so_that_signals_reach_the_runtime(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with RuntimeAPI() as api, function_process(api.address, tmp_path, HELLO) as process:
            await api.journal_has("next")
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == -signal.SIGTERM

    asyncio.run(scenario())


def test_wrapper_without_an_interpreter_explains_itself() -> None:
    result = subprocess.run([WRAPPER], capture_output=True, text=True, check=False)
    assert result.returncode == 64
    assert "INTERPRETER" in result.stderr


def test_functions_own_modules_come_before_everything_else(tmp_path: Path) -> None:
    (tmp_path / "colorsys.py").write_text("answer = b'mine'")
    code = HELLO.replace('b"hello"', "colorsys.answer").replace("async def app", "import colorsys\nasync def app")

    async def scenario() -> None:
        async with RuntimeAPI() as api, function_process(api.address, tmp_path, code):
            invocation = api.invoke(function_url_event())
            await invocation.finished()
            assert invocation.content == b"mine"

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("code", "handler", "error_type"),
    [
        ("import a_module_that_is_not_there", "handler.app", "Runtime.ImportModuleError"),
        ("def app(:", "handler.app", "Runtime.UserCodeSyntaxError"),
        ("raise LookupError('QUEUE_URL is not set')", "handler.app", "LookupError"),
        ("", "handler.app", "Runtime.HandlerNotFound"),
        ("app = 7", "handler.app", "Runtime.HandlerNotFound"),
        ("", "handler", "Runtime.MalformedHandlerName"),
        ("", "elsewhere.app", "Runtime.ImportModuleError"),
    ],
)
def test_app_that_cannot_be_loaded_is_an_init_error(tmp_path: Path, code: str, handler: str, error_type: str) -> None:
    error = asyncio.run(init_error_of(code, tmp_path, handler))
    assert error["errorType"] == error_type


def test_startup_runs_before_the_first_next_and_shares_its_state(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with RuntimeAPI() as api, function_process(api.address, tmp_path, LIFESPAN):
            invocation = api.invoke(function_url_event())
            await invocation.finished()
            assert invocation.content == b"started"

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "failure", ['await send({"type": "lifespan.startup.failed", "message": "no database"})', 'raise OSError("no database")']
)
def test_startup_that_fails_is_an_init_error(tmp_path: Path, failure: str) -> None:
    code = f"async def app(scope, receive, send):\n    await receive()\n    {failure}"
    error = asyncio.run(init_error_of(code, tmp_path))
    assert error["errorType"] == "StartupFailed"
    assert "no database" in error["errorMessage"]


def test_app_that_takes_lifespan_for_a_request_is_served_all_the_same(tmp_path: Path) -> None:
    naive = HELLO.replace('    if scope["type"] == "lifespan":\n        raise NotImplementedError\n', "    await receive()\n")

    async def scenario() -> None:
        async with RuntimeAPI() as api, function_process(api.address, tmp_path, naive):
            invocation = api.invoke(function_url_event())
            await invocation.finished()
            assert invocation.content == b"hello"

    asyncio.run(scenario())


def test_logs_are_json_lines_written_at_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with RuntimeAPI() as api, function_process(api.address, tmp_path, LOGS) as process:
            assert process.stdout is not None
            assert await process.stdout.readline() == b"at import\n"
            api.invoke(function_url_event())
            line = json.loads(await process.stdout.readline())
            assert line["message"] == "careful, now"
            assert line["level"] == "WARNING"
            assert line["logger"] == "mine"
            assert line["requestId"] == "request-0"

    asyncio.run(scenario())


def test_nothing_is_connected_before_the_snapshot_and_clones_differ_after_it(tmp_path: Path) -> None:
    async def clone() -> tuple[list[str], float]:
        env = {"AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start"}
        async with RuntimeAPI() as api, function_process(api.address, tmp_path, SNAPSHOT, env=env):
            await api.journal_has("restore/next")
            assert api.connections == 1
            invocation = api.invoke(function_url_event())
            api.restored.set()
            await invocation.finished()
            assert api.journal[:2] == ["restore/next", "next"]
            calls, number = eval(invocation.content)
            return calls, number

    async def scenario() -> None:
        (calls, first), (_, second) = await clone(), await clone()
        assert calls == ["before, registered second", "before, registered first", "after", "startup"]
        assert first != second

    asyncio.run(scenario())


@pytest.mark.parametrize(("registry", "status", "journal"), [("before", 64, ["init/error"]), ("after", 65, None)])
def test_hook_that_fails_ends_the_process(tmp_path: Path, registry: str, status: int, journal: list[str] | None) -> None:
    code = SNAPSHOT + f"\n{registry}.append((int, ('x',), {{}}))"

    async def scenario() -> None:
        env = {"AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start"}
        async with RuntimeAPI() as api, function_process(api.address, tmp_path, code, env=env) as process:
            api.restored.set()
            assert await process.wait() == status
            assert api.journal == (journal or ["restore/next", "restore/error"])
            errors = api.init_errors + api.restore_errors
            assert errors[0]["errorType"] in ("Runtime.BeforeSnapshotError", "Runtime.AfterRestoreError")

    asyncio.run(scenario())


def test_frozen_process_serves_the_event_that_came_meanwhile_with_a_fresh_deadline(tmp_path: Path) -> None:
    code = HELLO.replace('b"hello"', 'repr(scope["extensions"]["navplane.deadline"] - time.monotonic()).encode()')

    async def scenario() -> None:
        async with RuntimeAPI() as api, function_process(api.address, tmp_path, "import time\n" + code) as process:
            await api.invoke(function_url_event()).finished()
            await api.journal_has("next", 2)
            freeze(process)
            invocation = api.invoke(function_url_event(), seconds=50)
            process.send_signal(signal.SIGCONT)
            await invocation.finished()
            assert 0 < float(invocation.content) <= 50.1

    asyncio.run(scenario())


def test_connection_that_died_during_the_freeze_is_opened_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with RuntimeAPI() as api, function_process(api.address, tmp_path, HELLO) as process:
            await api.journal_has("next")
            freeze(process)
            await api.drop_connections()
            process.send_signal(signal.SIGCONT)
            invocation = api.invoke(function_url_event())
            await invocation.finished()
            assert invocation.content == b"hello"

    asyncio.run(scenario())


def test_process_ends_when_the_runtime_api_is_gone(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with RuntimeAPI() as api, function_process(api.address, tmp_path, HELLO) as process:
            api.close_next = 2
            assert await process.wait() == 1

    asyncio.run(scenario())


def test_runtime_needs_nothing_but_the_standard_library() -> None:
    code = "import sys; sys.path.insert(0, sys.argv[1]); import navplane_runtime.main; print(*sys.modules)"
    command = [sys.executable, "-I", "-S", "-c", code, str(WRAPPER.parent / "python")]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    foreign = {name.partition(".")[0] for name in loaded} - sys.stdlib_module_names - {"navplane_runtime", "__main__"}
    assert foreign == set()
