"""Playing a list of server-sent events: pacing, the faults of the middle of a stream, and odd but legal framing."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from navplane_local.demo_upstream.exchange import Answer, Cut, Headers, Request, to_json
from navplane_local.demo_upstream.script import Script

GATE_SECONDS = 30.0


@dataclass(slots=True)
class Gates:
    """Streams of `demo-gated`: the first event goes out at once, each later one when it has been released."""

    _by_capture: dict[int, asyncio.Semaphore] = field(default_factory=dict)

    def release(self, capture_id: int, events: int) -> None:
        for _ in range(events):
            self._of(capture_id).release()

    async def wait(self, capture_id: int) -> None:
        """Raise Cut when nobody releases the next event in time, so that a failed test leaves no stream behind."""
        try:
            await asyncio.wait_for(self._of(capture_id).acquire(), GATE_SECONDS)
        except TimeoutError as exc:
            raise Cut from exc

    def forget(self, capture_id: int) -> None:
        self._by_capture.pop(capture_id, None)

    def _of(self, capture_id: int) -> asyncio.Semaphore:
        return self._by_capture.setdefault(capture_id, asyncio.Semaphore(0))


def event(data: object, *, name: str | None = None) -> bytes:
    line = b"data: " + (data if isinstance(data, bytes) else to_json(data)) + b"\n\n"
    return f"event: {name}\n".encode() + line if name else line


def typed_event(data: dict[str, Any]) -> bytes:
    """An event named after its own `type`, as Responses and Messages send them."""
    return event(data, name=data["type"])


def middle(events: Sequence[bytes]) -> int:
    """Where the scripted faults of a stream happen."""
    return len(events) // 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Player:
    """Turns events into an answer. `error` is the dialect's own error event, for scripts that ask for one."""

    request: Request
    script: Script
    gates: Gates

    def answer(self, events: Sequence[bytes], *, error: bytes, headers: Headers) -> Answer:
        headers = (("content-type", "text/event-stream; charset=utf-8"), ("cache-control", "no-cache"), *headers)
        body = self._framed(self._events(events, error))
        return Answer(headers=headers, body=body, delay_seconds=self.script.delay_seconds)

    async def _events(self, events: Sequence[bytes], error: bytes) -> AsyncIterator[bytes]:
        for position, item in enumerate(events):
            if position == middle(events):
                await self._misbehave()
                if self.script.has("error-event"):
                    yield error
                    return
            if position:
                await self._pace()
            yield self._last(item) if position == len(events) - 1 else item

    async def _misbehave(self) -> None:
        if self.script.has("cut"):
            raise Cut
        if self.script.has("stall"):
            await asyncio.Event().wait()

    async def _pace(self) -> None:
        if self.script.has("gated"):
            await self.gates.wait(self.request.capture_id)
        if self.script.chunk_delay_seconds:
            await asyncio.sleep(self.script.chunk_delay_seconds)

    def _last(self, item: bytes) -> bytes:
        return item.removesuffix(b"\n\n") if self.script.has("no-final-blank") else item

    async def _framed(self, items: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        number = 0
        async for item in items:
            number += 1
            for chunk in self._chunks(self._frame(item, number)):
                yield chunk

    def _frame(self, item: bytes, number: int) -> bytes:
        if self.script.has("comments"):
            item = b": DEMO PROCESSING\n\n" + item
        if self.script.has("id-lines"):
            item = f"id: {number}\n".encode() + item
        return item.replace(b"\n", b"\r\n") if self.script.has("crlf") else item

    def _chunks(self, item: bytes) -> Sequence[bytes]:
        return [item[i : i + 1] for i in range(len(item))] if self.script.has("one-byte") else [item]


def whole_or_broken(answer: Answer, script: Script, body: bytes) -> Answer:
    """An unstreamed answer under a script that may cut it short or never send it."""
    if not (script.has("cut") or script.has("stall")):
        return answer
    return Answer(status=answer.status, headers=answer.headers, body=_broken(body, script), length=len(body))


async def _broken(body: bytes, script: Script) -> AsyncIterator[bytes]:
    yield body[: len(body) // 2]
    if script.has("stall"):
        await asyncio.Event().wait()
    raise Cut
