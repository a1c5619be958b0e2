"""One execution environment: a child process group that runs a function with its real handler, runtime and layers."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from navplane_local import tethered
from navplane_local.invocation import FunctionError, FunctionTimeout, Invocation
from navplane_local.resolver import REGION
from navplane_local.runtime_api import RuntimeApi
from navplane_local.stack import Function

OPT = "/opt/"
WRAPPER = "AWS_LAMBDA_EXEC_WRAPPER"
LogSink = Callable[[str, bytes], None]


class Environment:
    """Starts with `start`, then serves one invocation at a time with `invoke`. `freezes` stops the process group between
    invocations, as Lambda does."""

    def __init__(self, function: Function, *, variables: Mapping[str, str], freezes: bool, log: LogSink) -> None:
        self.function = function
        self.api = RuntimeApi()
        self._variables = variables
        self._freezes = freezes
        self._log = log
        self._invocation: Invocation | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._watcher: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.returncode is None

    @property
    def has_answered(self) -> bool:
        """Its invocation's answer is complete, but not the work behind it."""
        return self._invocation is not None and self._invocation.ended.is_set()

    async def start(self, *, init_seconds: float) -> None:
        """Raise FunctionError when the function doesn't come to ask for its first event."""
        await self._launch(await self.api.start())
        try:
            await asyncio.wait_for(asyncio.shield(self.api.initialised), init_seconds)
        except TimeoutError:
            raise FunctionError("Sandbox.Timedout", f"The function did not start within {init_seconds:g} seconds.") from None
        self._freeze()

    async def _launch(self, address: str) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", tethered.__file__, str(os.getpid()), str(int(signal.SIGKILL)), "-"),
            *command(self.function),
            cwd=self.function.folder,
            env={**self._process_variables(), **self._variables, "AWS_LAMBDA_RUNTIME_API": address},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
        self._watcher = asyncio.create_task(self._watch(self._process))

    async def invoke(self, invocation: Invocation) -> None:
        """Returns when the function asks for its next event, or is dead: only then the environment is free again."""
        self.thaw()
        self._invocation = invocation
        invocation.set_deadline()
        self.api.deliver(invocation)
        try:
            await asyncio.wait_for(self._free(), invocation.timeout_seconds)
        except TimeoutError:
            invocation.finish(FunctionTimeout(invocation.timeout_seconds))
            await self.stop()
        else:
            self._freeze()
        finally:
            self._invocation = None

    def kill(self) -> None:
        if self.alive:
            self._signal(signal.SIGKILL)

    def thaw(self) -> None:
        if self._freezes:
            self._signal(signal.SIGCONT)

    async def stop(self) -> None:
        """Kill it, and return when it is gone."""
        self.kill()
        if self._watcher is not None:
            await asyncio.wait((self._watcher,))
        await self.api.stop()

    async def _free(self) -> None:
        idle = asyncio.ensure_future(self.api.idle.wait())
        assert self._watcher is not None
        try:
            await asyncio.wait((idle, self._watcher), return_when=asyncio.FIRST_COMPLETED)
        finally:
            idle.cancel()

    def _freeze(self) -> None:
        if self._freezes and self.alive:
            self._signal(signal.SIGSTOP)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    async def _watch(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        copying = asyncio.create_task(self._copy_log(process.stdout))
        status = await process.wait()
        self._signal(signal.SIGKILL)  # what the function may have started, which may hold the log open
        await copying
        self.api.fail(FunctionError("Runtime.ExitError", f"The function's process ended with status {status}."))
        await self.api.stop()

    async def _copy_log(self, output: asyncio.StreamReader) -> None:
        rest = b""
        while piece := await output.read(64 * 1024):
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                self._log(self.function.name, line)
        if rest:
            self._log(self.function.name, rest)

    def _process_variables(self) -> dict[str, str]:
        """What Lambda sets. Nothing is inherited: a function sees its template's variables, not the developer's shell."""
        python = Path(sys.executable).parent
        return {
            "PATH": f"{python}:/usr/local/bin:/usr/bin:/bin",
            "LANG": "en_US.UTF-8",
            "TZ": ":UTC",
            "PYTHONPATH": os.pathsep.join(str(layer) for layer in self.function.layers if layer.is_dir()),
            "LAMBDA_TASK_ROOT": str(self.function.folder),
            "_HANDLER": self.function.handler,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_LAMBDA_FUNCTION_NAME": self.function.logical_id,
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(self.function.memory_mb),
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{self.function.logical_id}",
            "AWS_LAMBDA_LOG_STREAM_NAME": "local",
            **self.function.environment,
        }


def command(function: Function) -> list[str]:
    """What Lambda starts: the managed runtime, or the function's exec wrapper, which is told how that would be started."""
    wrapper = function.environment.get(WRAPPER)
    if wrapper:
        return [str(_in_layers(function, wrapper)), sys.executable, "/var/runtime/bootstrap.py"]
    return [sys.executable, "-m", "awslambdaric", function.handler]


def _in_layers(function: Function, wrapper: str) -> Path:
    """Lambda unpacks all layers into /opt; here they are folders, whose `python` is on the import path."""
    for layer in function.layers:
        found = layer.parent / wrapper.removeprefix(OPT)
        if found.is_file():
            return found
    raise FunctionError("Runtime.InvalidEntrypoint", f"{WRAPPER} is {wrapper}, which no layer of {function.logical_id} holds.")
