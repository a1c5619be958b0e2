"""The environments of one function: made on demand up to its limit, one invocation each, reaped when idle."""

import asyncio
import time
from collections.abc import Coroutine, Mapping

from navplane_local.environment import Environment, LogSink
from navplane_local.invocation import FunctionError, Invocation, TooManyRequests
from navplane_local.stack import Function

IDLE_SECONDS = 60.0
INIT_SECONDS = 30.0


class Fleet:
    """`invoke` begins an invocation and returns it at once; its answer is read from it."""

    def __init__(
        self,
        function: Function,
        *,
        variables: Mapping[str, str],
        log: LogSink,
        freezes: bool = False,
        idle_seconds: float = IDLE_SECONDS,
        init_seconds: float = INIT_SECONDS,
    ) -> None:
        self.function = function
        self.environments: list[Environment] = []
        self._variables, self._log, self._freezes = variables, log, freezes
        self._idle_seconds, self._init_seconds = idle_seconds, init_seconds
        self._idle: list[tuple[float, Environment]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._reaper = asyncio.create_task(self._reap())

    def invoke(self, event: bytes) -> Invocation:
        """Raise TooManyRequests when every environment that there may be is busy."""
        environment = self._take_idle()
        if environment is None and len(self.environments) >= self.function.concurrency:
            raise TooManyRequests(self.function.logical_id)
        invocation = Invocation(event, arn=self.function.arn, timeout_seconds=self.function.timeout_seconds)
        self._spawn(self._run(environment or self._new(), invocation))
        return invocation

    async def warm(self) -> None:
        """Have one environment ready. Raise FunctionError when the function can't start."""
        if self.environments:
            return
        environment = self._new()
        await self._start(environment)
        self._idle.append((time.monotonic(), environment))

    async def settled(self) -> None:
        """Wait until no invocation is under way."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def stop(self) -> None:
        self._reaper.cancel()
        await asyncio.gather(*(environment.stop() for environment in self.environments))
        await self.settled()

    def _new(self) -> Environment:
        environment = Environment(self.function, variables=self._variables, freezes=self._freezes, log=self._log)
        self.environments.append(environment)
        return environment

    def _take_idle(self) -> Environment | None:
        while self._idle:
            _, environment = self._idle.pop()
            if environment.alive:
                return environment
            self.environments.remove(environment)
        return None

    async def _start(self, environment: Environment) -> None:
        try:
            await environment.start(init_seconds=self._init_seconds)
        except (FunctionError, OSError):
            self.environments.remove(environment)
            await environment.stop()
            raise

    async def _run(self, environment: Environment, invocation: Invocation) -> None:
        environment.busy = True
        try:
            if environment.pid is None:
                await self._start(environment)
        except (FunctionError, OSError) as exc:
            self._log(self.function.name, f"could not start: {exc}".encode())
            invocation.finish(exc if isinstance(exc, FunctionError) else FunctionError("Runtime.InvalidEntrypoint", str(exc)))
            return
        await environment.invoke(invocation)
        environment.busy = False
        if environment.alive:
            self._idle.append((time.monotonic(), environment))
        else:
            self.environments.remove(environment)

    async def _reap(self) -> None:
        while True:
            await asyncio.sleep(self._idle_seconds / 4)
            before = time.monotonic() - self._idle_seconds
            for entry in [entry for entry in self._idle if entry[0] < before]:
                self._idle.remove(entry)
                self.environments.remove(entry[1])
                await entry[1].stop()

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
