"""The harness with the small functions of this folder, and the sink through which they speak with a test."""

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
from navplane_local import stack_builder, template
from navplane_local.gateways import FunctionUrl, HttpApi, RestGateway
from navplane_local.harness import Harness
from navplane_local.listener import Listener, bind

HERE = Path(__file__).parent
WAIT_SECONDS = 20


class Talk:
    """One function at the other end of the sink: it tells what it does, and does what it is told."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def hear(self) -> dict[str, Any]:
        """What it says next; empty when it is gone."""
        line = await asyncio.wait_for(self._reader.readline(), WAIT_SECONDS)
        heard: dict[str, Any] = json.loads(line or b"{}")
        return heard

    async def say(self, command: str) -> None:
        self._writer.write(command.encode() + b"\n")
        await self._writer.drain()

    def close(self) -> None:
        self._writer.close()


class Sink:
    def __init__(self) -> None:
        self._talks: asyncio.Queue[Talk] = asyncio.Queue()
        self._all: list[Talk] = []

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talk = Talk(reader, writer)
        self._all.append(talk)
        self._talks.put_nowait(talk)

    async def next(self) -> Talk:
        return await asyncio.wait_for(self._talks.get(), WAIT_SECONDS)

    def close(self) -> None:
        for talk in self._all:
            talk.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class SmallCloud:
    harness: Harness
    sink: Sink
    log: list[str]
    function_url: str
    api_url: str
    rest_url: str
    client: httpx2.AsyncClient


@asynccontextmanager
async def small_cloud(*, freezes: bool = False, idle_seconds: float = 60, stream_seconds: int = 3) -> AsyncIterator[SmallCloud]:
    sink, log = Sink(), list[str]()
    with tempfile.TemporaryDirectory() as folder:
        server = await asyncio.start_unix_server(sink.accept, f"{folder}/sink")
        stack = stack_builder.build(
            template.load(HERE / "template.yaml"),
            root=HERE,
            aws_endpoint="http://127.0.0.1:9",
            suffix=f"-{uuid4().hex[:8]}",
            parameters={"Sink": f"{folder}/sink", "StreamSeconds": str(stream_seconds)},
        )
        harness = Harness(
            stack,
            variables=lambda function: {},
            log=lambda function, line: log.append(f"{function}: {line.decode()}"),
            freezes=freezes,
            idle_seconds=idle_seconds,
        )
        apps = [
            FunctionUrl("StreamFunction", harness.invoke, streams=True),
            HttpApi([route for route in stack.routes if route.api == "Api"], harness.invoke),
            RestGateway(stack.rest_apis["RestApi"], [r for r in stack.routes if r.api == "RestApi"], harness.invoke),
        ]
        listeners = [Listener(app, bind(), grace_seconds=1) for app in apps]
        try:
            for listener in listeners:
                await listener.start()
            async with httpx2.AsyncClient(timeout=WAIT_SECONDS, trust_env=False) as client:
                urls = [listener.url for listener in listeners]
                yield SmallCloud(
                    harness=harness, sink=sink, log=log, client=client, function_url=urls[0], api_url=urls[1], rest_url=urls[2]
                )
        finally:
            sink.close()
            await harness.stop()
            await asyncio.gather(*(listener.stop() for listener in listeners))
            server.close()
