"""An ASGI app that asks the test, over the sink, before each thing it does."""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs


async def app(scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]) -> None:
    if scope["type"] != "http":
        return
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    reader, writer = await asyncio.open_unix_connection(os.environ["SINK"])
    await tell(writer, event=scope["aws.event"], body=body.decode(), pid=os.getpid())
    query = parse_qs(scope["query_string"].decode())
    status = int(query.get("status", ["200"])[0])
    headers = [(b"content-type", b"text/plain"), (b"x-one", b"1"), (b"set-cookie", b"a=1"), (b"set-cookie", b"b=2")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    while (line := await reader.readline()) not in (b"end\n", b""):
        command, _, text = line.decode().rstrip("\n").partition(" ")
        if command == "chunk":
            await send({"type": "http.response.body", "body": text.encode(), "more_body": True})
        elif command == "large":
            await send({"type": "http.response.body", "body": b"x" * int(text), "more_body": True})
        elif command == "fail":
            raise RuntimeError("asked to fail")
        elif command == "exit":
            os._exit(3)
        elif command == "hang":
            await asyncio.Event().wait()
        await tell(writer, did=command)
    await send({"type": "http.response.body", "body": b""})
    await tell(writer, finished=True)
    await reader.readline()
    writer.close()


async def tell(writer: asyncio.StreamWriter, **what: object) -> None:
    writer.write(json.dumps(what).encode() + b"\n")
    await writer.drain()
