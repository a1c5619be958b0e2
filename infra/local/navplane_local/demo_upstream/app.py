"""The ASGI application: reads a request whole, finds who answers it, sends the answer and keeps both on record."""

import asyncio
import time
from collections.abc import Callable

from navplane_local.demo_upstream import control, credentials, models
from navplane_local.demo_upstream.anthropic_messages import count_tokens, messages
from navplane_local.demo_upstream.capture import Captured, Captures
from navplane_local.demo_upstream.completion import Served
from navplane_local.demo_upstream.exchange import Answer, Cut, ProviderError, Receive, Request, Scope, Send
from navplane_local.demo_upstream.openai_chat import chat_completions
from navplane_local.demo_upstream.openai_embeddings import embeddings
from navplane_local.demo_upstream.openai_responses import responses
from navplane_local.demo_upstream.refusal import render
from navplane_local.demo_upstream.stream import Gates

_GENERATING: dict[str, Callable[[Served], Answer]] = {
    "/v1/chat/completions": chat_completions,
    "/v1/responses": responses,
    "/v1/embeddings": embeddings,
    "/v1/messages": messages,
    "/v1/messages/count_tokens": count_tokens,
}


class DemoUpstream:
    """`accept_any_key` takes every key but those that begin with `sk-bad-`."""

    def __init__(self, *, accept_any_key: bool = False) -> None:
        self._accept_any_key = accept_any_key
        self._captures = Captures()
        self._gates = Gates()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await _lifespan(receive, send)
        request = await _read(scope, receive, self._captures.next_id())
        if request is None:
            return None
        captured = Captured(request=request)
        if request.path.startswith(control.PREFIX) and request.path != control.REDIRECT_TARGET:
            answer = control.control(request, self._captures, self._gates)
        else:
            self._captures.keep(captured)
            answer = self._answer(request)
        await _deliver(answer, captured, receive, send)
        self._gates.forget(request.capture_id)
        return None

    def _answer(self, request: Request) -> Answer:
        try:
            credentials.check(request, accept_any_key=self._accept_any_key)
            return self._route(request)
        except ProviderError as error:
            return render(request, error)

    def _route(self, request: Request) -> Answer:
        if request.path in _GENERATING:
            _require(request, "POST")
            return _GENERATING[request.path](Served.of(request, gates=self._gates, now=int(time.time())))
        if request.path == "/v1/models" or request.path.startswith("/v1/models/"):
            _require(request, "GET")
            return models.list_models(request) if request.path == "/v1/models" else models.get_model(request)
        raise ProviderError(404, f"Invalid URL ({request.method} {request.path})")


def _require(request: Request, method: str) -> None:
    if request.method != method:
        raise ProviderError(405, f"Not allowed to {request.method} on {request.path}.", headers=(("allow", method),))


async def _read(scope: Scope, receive: Receive, capture_id: int) -> Request | None:
    """The request with its whole body; None when the caller left before its end."""
    body = bytearray()
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return Request(
        capture_id=capture_id,
        method=scope["method"],
        path=(scope.get("raw_path") or scope["path"].encode()).decode("latin-1"),
        query=scope["query_string"].decode("latin-1"),
        headers=tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]),
        body=bytes(body),
    )


async def _deliver(answer: Answer, captured: Captured, receive: Receive, send: Send) -> None:
    """Send the answer until its end or until the caller leaves, whichever comes first."""
    sending = asyncio.create_task(_send(answer, captured, send))
    leaving = asyncio.create_task(_left(receive))
    try:
        await asyncio.wait((sending, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not sending.done():
            captured.ended = "disconnected"
    finally:
        for task in (sending, leaving):
            task.cancel()
        await asyncio.gather(sending, leaving, return_exceptions=True)


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _send(answer: Answer, captured: Captured, send: Send) -> None:
    """A body that raises Cut leaves the response unfinished: the server closes the connection where it stands."""
    await asyncio.sleep(answer.delay_seconds)
    headers = (*answer.headers, ("x-demo-capture-id", str(captured.request.capture_id)))
    headers += (("content-length", str(answer.length)),) if answer.length is not None else ()
    captured.status, captured.headers = answer.status, headers
    raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    await send({"type": "http.response.start", "status": answer.status, "headers": raw})
    try:
        async for chunk in answer.body:
            captured.sent.add(chunk)
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
    except Cut:
        captured.ended = "cut"
        return
    captured.ended = "complete"
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _lifespan(receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})
