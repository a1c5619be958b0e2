"""The environments of one function: made on demand up to its limit, one invocation each, reaped when idle."""

import asyncio
import contextlib
import time
from collections.abc import Coroutine, Mapping

from navplane_local.environment import Environment, LogSink
from navplane_local.invocation import FunctionError, Invocation, TooManyRequests
from navplane_local.stack import Function

IDLE_SECONDS = 60.0
INIT_SECONDS = 30.0
# An answer reaches its caller a moment before its environment is free. A caller's next call waits that long for it: a cold
# start takes longer, and a small machine is better off with few processes.
SPARE_SECONDS = 0.25


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
        self._returned = asyncio.Event()
        self._active = 0
        self._stopped = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._reaper = asyncio.create_task(self._reap())

    def invoke(self, event: bytes) -> Invocation:
        """Raise TooManyRequests when every environment that there may be is busy, or after `stop`."""
        if self._stopped or self._active >= self.function.concurrency:
            raise TooManyRequests(self.function.logical_id)
        self._active += 1
        invocation = Invocation(event, arn=self.function.arn, timeout_seconds=self.function.timeout_seconds)
        self._spawn(self._run(invocation))
        return invocation

    async def warm(self) -> None:
        """Have one environment ready. Raise FunctionError when the function can't start."""
        if self.environments:
            return
        self._put_idle(await self._started())

    async def settled(self) -> None:
        """Wait until no invocation is under way."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def stop(self) -> None:
        self._stopped = True
        self._reaper.cancel()
        await asyncio.gather(*(environment.stop() for environment in self.environments))
        await self.settled()

    def _put_idle(self, environment: Environment) -> None:
        self._idle.append((time.monotonic(), environment))
        self._returned.set()

    def _take_idle(self) -> Environment | None:
        while self._idle:
            _, environment = self._idle.pop()
            if environment.alive:
                return environment
            self.environments.remove(environment)
        return None

    async def _take_spare(self) -> Environment | None:
        """One that has answered and is about to be free."""
        if not any(environment.has_answered for environment in self.environments):
            return None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SPARE_SECONDS):
                while not self._idle:
                    self._returned.clear()
                    await self._returned.wait()
        return self._take_idle()

    async def _run(self, invocation: Invocation) -> None:
        try:
            environment = self._take_idle() or await self._take_spare() or await self._started()
            await environment.invoke(invocation)
        except (FunctionError, OSError) as exc:
            self._log(self.function.name, f"could not start: {exc}".encode())
            invocation.finish(exc if isinstance(exc, FunctionError) else FunctionError("Runtime.InvalidEntrypoint", str(exc)))
            return
        finally:
            self._active -= 1
        if environment.alive:
            self._put_idle(environment)
        else:
            self.environments.remove(environment)

    async def _started(self) -> Environment:
        environment = Environment(self.function, variables=self._variables, freezes=self._freezes, log=self._log)
        self.environments.append(environment)
        try:
            await environment.start(init_seconds=self._init_seconds)
        except BaseException:
            self.environments.remove(environment)
            await environment.stop()
            raise
        return environment

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
