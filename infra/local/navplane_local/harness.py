"""All functions of a stack, with what invokes them. Bring the queues and the variables; the gateways are built on `invoke`."""

import asyncio
from collections.abc import Callable, Mapping

from navplane_local import schedule
from navplane_local.environment import Environment, LogSink
from navplane_local.fleet import IDLE_SECONDS, Fleet
from navplane_local.invocation import Invocation
from navplane_local.sqs_source import MessageQueue, SqsPoller
from navplane_local.stack import Function, Stack

Variables = Callable[[Function], Mapping[str, str]]


class Harness:
    """`variables` gives what a function's environment has here besides what its template says. Made inside a running event
    loop; functions start when they are first needed."""

    def __init__(
        self,
        stack: Stack,
        *,
        variables: Variables,
        log: LogSink,
        freezes: bool = False,
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        self.stack = stack
        self._fleets = {
            name: Fleet(function, variables=variables(function), log=log, freezes=freezes, idle_seconds=idle_seconds)
            for name, function in stack.functions.items()
        }
        self._pollers: list[SqsPoller] = []
        self._schedules: list[asyncio.Task[None]] = []

    def invoke(self, function: str, event: bytes) -> Invocation:
        """Raise TooManyRequests when all its environments are busy."""
        return self._fleets[function].invoke(event)

    def environments(self, function: str) -> list[Environment]:
        return list(self._fleets[function].environments)

    async def warm(self, *functions: str) -> None:
        """Have an environment of each ready. Raise FunctionError for one that can't start."""
        await asyncio.gather(*(self._fleets[name].warm() for name in functions))

    def start_sources(self, queues: Mapping[str, MessageQueue], *, return_seconds: int | None = None) -> None:
        for name, function in self.stack.functions.items():
            for source in function.sources:
                queue = queues[source.queue]
                poller = SqsPoller(source, queue, self._fleets[name].invoke, return_seconds=return_seconds)
                poller.start()
                self._pollers.append(poller)

    def start_schedules(self, *, seconds: float | None = None) -> None:
        """`seconds` replaces the interval of every schedule."""
        for name, function in self.stack.functions.items():
            for entry in function.schedules:
                work = schedule.run(entry, self._fleets[name].invoke, seconds=seconds)
                self._schedules.append(asyncio.create_task(work))

    async def settled(self, *functions: str) -> None:
        """Wait until no invocation of these (or of any) function is under way, work after the answer included."""
        await asyncio.gather(*(self._fleets[name].settled() for name in functions or self._fleets))

    async def drain(self, *, seconds: float) -> None:
        """Stop the schedules, and let the queues run empty, for so long at most."""
        for task in self._schedules:
            task.cancel()
        await asyncio.gather(*(poller.drain(seconds=seconds) for poller in self._pollers))

    async def stop(self) -> None:
        """End every process; what a queue's batch was not done with goes back to the queue."""
        for task in self._schedules:
            task.cancel()
        await asyncio.gather(*(fleet.stop() for fleet in self._fleets.values()))
        await asyncio.gather(*(poller.stop() for poller in self._pollers))
