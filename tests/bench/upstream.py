"""A provider that answers at once: what is left of a measurement is the proxy. Run: python -m tests.bench.upstream PORT_FILE

It answers `GET /v1/models`, and `POST …/chat/completions` with a fixed completion, or, when the body asks for a stream, with
100 chunks and a usage event.
"""

import asyncio
import json
import sys
from pathlib import Path
from typing import cast

import httptools
import uvloop

CREATED = 1_780_000_000
USAGE = {"prompt_tokens": 12, "completion_tokens": 100, "total_tokens": 112}


def http(content_type: str, body: bytes) -> bytes:
    head = f"HTTP/1.1 200 OK\r\nx-request-id: req_bench\r\ncontent-type: {content_type}\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


def completion() -> bytes:
    message = {"role": "assistant", "content": "word " * 100}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    answer = {
        "id": "chatcmpl-bench",
        "object": "chat.completion",
        "created": CREATED,
        "model": "gpt-bench",
        "choices": [choice],
    }
    return json.dumps(answer | {"usage": USAGE}).encode()


def chunk(choices: list[dict[str, object]], usage: dict[str, int] | None = None) -> bytes:
    event = {
        "id": "chatcmpl-bench",
        "object": "chat.completion.chunk",
        "created": CREATED,
        "model": "gpt-bench",
        "choices": choices,
    }
    data = b"data: " + json.dumps(event | {"usage": usage}).encode() + b"\n\n"
    return b"%x\r\n%s\r\n" % (len(data), data)


COMPLETION = http("application/json", completion())
MODELS = http("application/json", b'{"object":"list","data":[]}')
STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\nx-request-id: req_bench\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
)
WORD = chunk([{"index": 0, "delta": {"content": "word "}, "finish_reason": None}])
LAST = chunk([], USAGE) + b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"


class Provider(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.parser = httptools.HttpRequestParser(self)
        self.body = b""

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        body, self.body = self.body, b""
        if self.parser.get_method() == b"GET":
            self.transport.write(MODELS)
        elif b'"stream":true' in body.replace(b" ", b""):
            asyncio.get_running_loop().create_task(self.stream())
        else:
            self.transport.write(COMPLETION)

    async def stream(self) -> None:
        self.transport.write(STREAM_HEAD)
        for _ in range(100):
            self.transport.write(WORD)
            await asyncio.sleep(0)
        self.transport.write(LAST)


def announce(port_file: Path, port: int) -> None:
    """Write the port in one step: whoever waits for the file never reads half of it."""
    port_file.with_suffix(".new").write_text(str(port))
    port_file.with_suffix(".new").rename(port_file)


async def main(port_file: Path) -> None:
    server = await asyncio.get_running_loop().create_server(Provider, "127.0.0.1", 0)
    announce(port_file, server.sockets[0].getsockname()[1])
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(Path(sys.argv[1])))
