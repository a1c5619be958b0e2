"""What ends an open call early: the kill switch, the clock, a provider that fell silent, a client that left."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Self

from navplane.errors import DependencyUnavailable, NavPlaneError, UpstreamTimeout
from navplane.gate.gate import Caller, RefusalReason
from navplane.gateway.admit import refused
from navplane.gateway.asgi import Receive
from navplane.gateway.call import Call
from navplane.gateway.intake import ClientLeft
from navplane.model.usage import Outcome

Standing = Callable[[Sequence[Caller]], Awaitable[Sequence[RefusalReason | None]]]

# Most calls that are refused or fail do so within this time: they never pay for a watch.
GRACE_SECONDS = 0.1


class OpenCalls:
    """All calls that are open, asked about together: may their keys still be used?

    A kill or a revoke ends a call within `limit_seconds` of its acknowledgement. Fails closed: a call whose standing nobody
    could confirm for that long is ended too, as a failure of ours; where the organization chose so, only after `grace_seconds`.
    """

    def __init__(self, standing: Standing, *, interval_seconds: float, limit_seconds: float, grace_seconds: float) -> None:
        self._standing, self._interval, self._limit = standing, interval_seconds, limit_seconds
        self._grace = grace_seconds
        self._watches: set[Watch] = set()
        self._polling: asyncio.Task[None] | None = None

    def add(self, watch: "Watch") -> None:
        self._watches.add(watch)
        if self._polling is None or self._polling.done():
            self._polling = asyncio.get_running_loop().create_task(self._poll())

    def discard(self, watch: "Watch") -> None:
        """Nothing runs on while no call is open: on Lambda the process is about to be frozen."""
        self._watches.discard(watch)
        if not self._watches and self._polling is not None:
            self._polling.cancel()
            self._polling = None

    async def _poll(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._interval)
            asked_at = loop.time()
            watches = list(self._watches)
            try:
                await self._judge(watches, asked_at)
            except Exception:
                # Whatever keeps the gate from answering; without an answer nobody may go on for long.
                for watch in watches:
                    # The next answer would come too late.
                    if loop.time() + self._interval - watch.confirmed_at >= self._limit_of(watch):
                        unconfirmed = DependencyUnavailable("It could not be confirmed that this call may go on.")
                        watch.stop(unconfirmed, Outcome.TERMINATED)

    def _limit_of(self, watch: "Watch") -> float:
        return self._grace if watch.call.outlasts_gate else self._limit

    async def _judge(self, watches: "list[Watch]", asked_at: float) -> None:
        callers = list({watch.caller for watch in watches})
        async with asyncio.timeout(self._limit / 2):
            answers = await self._standing(callers)
        verdicts = dict(zip(callers, answers, strict=True))
        for watch in watches:
            reason = verdicts[watch.caller]
            if reason is None:
                watch.confirmed_at = asked_at
            else:
                watch.stop(refused(reason, watch.call), Outcome.TERMINATED)


class Watch:
    """Around the part of a call that is open: `async with`. Whatever stops it is raised out of the block.

    `receive` is None where the server does not tell that a client left. `waiting_since` is set while the provider is waited
    for, so that a slow client is not taken for a silent provider.
    """

    def __init__(
        self, call: Call, calls: OpenCalls, *, receive: Receive | None, wall_seconds: float, idle_seconds: float
    ) -> None:
        assert call.caller is not None
        self.caller: Caller = call.caller
        self.waiting_since: float | None = None
        self._loop = asyncio.get_running_loop()
        self.confirmed_at = self._loop.time() if call.remembered is None else call.remembered
        self.call = call
        self._calls, self._receive, self._idle = calls, receive, idle_seconds
        self._scope = asyncio.timeout(wall_seconds)
        self._timers: list[asyncio.TimerHandle] = []
        self._listening: asyncio.Task[None] | None = None
        self._stopped: tuple[NavPlaneError | ClientLeft, Outcome] | None = None
        self._open = False

    async def __aenter__(self) -> Self:
        await self._scope.__aenter__()
        self._open = True
        self._timers = [
            self._loop.call_later(GRACE_SECONDS, self._begin),
            self._loop.call_later(self._idle, self._check_silence),
        ]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._open = False
        for timer in self._timers:
            timer.cancel()
        self._calls.discard(self)
        if self._listening is not None:
            self._listening.cancel()
        try:
            await self._scope.__aexit__(kind, exc, traceback)
        except TimeoutError:
            reason, outcome = self._stopped or (_out_of_time(), Outcome.TERMINATED)
            self.call.outcome = outcome
            raise reason from None

    def stop(self, reason: NavPlaneError | ClientLeft, outcome: Outcome) -> None:
        """The first reason counts."""
        if self._open and self._stopped is None and not self._scope.expired():
            self._stopped = (reason, outcome)
            self._scope.reschedule(self._loop.time())

    def _begin(self) -> None:
        self._calls.add(self)
        if self._receive is not None:
            self._listening = self._loop.create_task(self._listen(self._receive))

    async def _listen(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self.stop(ClientLeft(), Outcome.ABORTED)

    def _check_silence(self) -> None:
        waited = time.monotonic() - self.waiting_since if self.waiting_since is not None else 0.0
        if waited >= self._idle:
            self.stop(UpstreamTimeout("The provider fell silent in the middle of its answer."), Outcome.FAILED)
        else:
            self._timers[1] = self._loop.call_later(self._idle - waited, self._check_silence)


def _out_of_time() -> NavPlaneError:
    return UpstreamTimeout("The answer takes longer than this gateway may run. Ask for less, or stream.")
