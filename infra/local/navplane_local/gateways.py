"""The three ways in, as ASGI apps: a Function URL, an HTTP API and a REST API. And the one port that merges two of them.

As on AWS, a client that leaves is not reported to the function, whose answer is read to its end.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from navplane_local import http_events
from navplane_local.http_answers import Head, Refusals, read_buffered, read_streamed, send_json, send_stream
from navplane_local.http_request import ClientGone, HttpRequest, Receive, RequestTooLarge, Scope, Send, read_request
from navplane_local.invocation import FunctionError, Invocation, TooManyRequests
from navplane_local.resolver import ACCOUNT_ID
from navplane_local.routes import Match, match
from navplane_local.stack import RestApi, Route

Invoke = Callable[[str, bytes], Invocation]
Reader = Callable[[Invocation], Awaitable[tuple[Head, AsyncIterator[bytes]]]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

FUNCTION_URL_REFUSALS = Refusals(
    failed=(502, {"Message": "Internal Server Error"}),
    timed_out=(504, {"Message": "The function timed out"}),
    throttled=(429, {"Reason": "ConcurrentInvocationLimitExceeded", "Type": "User", "message": "Rate Exceeded."}),
    too_large=(413, {"Message": "Request Entity Too Large"}),
)
API_REFUSALS = Refusals(
    failed=(502, {"message": "Internal Server Error"}),
    timed_out=(504, {"message": "Endpoint request timed out"}),
    throttled=(429, {"message": "Too Many Requests"}),
    too_large=(413, {"message": "Request Entity Too Large"}),
)


class _Gateway:
    """Reads the request, lets a subclass answer it, and says what there is to say when that fails."""

    refusals = API_REFUSALS

    def __init__(self, invoke: Invoke) -> None:
        self._invoke = invoke

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self.answer(await read_request(scope, receive), send)
        except RequestTooLarge:
            await send_json(send, *self.refusals.too_large)
        except ClientGone:
            return

    async def answer(self, request: HttpRequest, send: Send) -> None:
        raise NotImplementedError

    async def respond(self, function: str, event: bytes, reader: Reader, send: Send) -> None:
        try:
            head, pieces = await reader(self._invoke(function, event))
        except (FunctionError, TooManyRequests) as exc:
            await self.refusals.send(send, exc)
        else:
            await send_stream(send, head, pieces)


class FunctionUrl(_Gateway):
    refusals = FUNCTION_URL_REFUSALS

    def __init__(self, function: str, invoke: Invoke, *, streams: bool) -> None:
        super().__init__(invoke)
        self._function, self._reader = function, read_streamed if streams else read_buffered

    async def answer(self, request: HttpRequest, send: Send) -> None:
        event = http_events.v2(request, api_id="local", account_id="anonymous", route_key="$default")
        await self.respond(self._function, http_events.encode(event), self._reader, send)


class HttpApi(_Gateway):
    def __init__(self, routes: Sequence[Route], invoke: Invoke) -> None:
        super().__init__(invoke)
        self._routes = routes

    def takes(self, method: str, path: str) -> bool:
        return match(self._routes, method=method, path=path) is not None

    async def answer(self, request: HttpRequest, send: Send) -> None:
        found = match(self._routes, method=request.method, path=request.raw_path)
        if found is None:
            await send_json(send, 404, {"message": "Not Found"})
            return
        event = http_events.v2(
            request,
            api_id=found.route.api,
            account_id=ACCOUNT_ID,
            route_key=f"{found.route.method} {found.route.path}",
            path_parameters=found.parameters,
        )
        await self.respond(found.route.function, http_events.encode(event), read_buffered, send)


class RestGateway(_Gateway):
    """`/{stage}/…`, as under execute-api."""

    def __init__(self, api: RestApi, routes: Sequence[Route], invoke: Invoke) -> None:
        super().__init__(invoke)
        self._api, self._routes = api, routes

    async def answer(self, request: HttpRequest, send: Send) -> None:
        stage, _, rest = request.raw_path.removeprefix("/").partition("/")
        path = f"/{rest}"
        found = match(self._routes, method=request.method, path=path) if stage == self._api.stage else None
        if found is None:
            await send_json(send, 403, {"message": "Missing Authentication Token"})
            return
        event = http_events.encode(self._event(request, found, path))
        await self.respond(found.route.function, event, read_streamed if found.route.streaming else read_buffered, send)

    def _event(self, request: HttpRequest, found: Match, path: str) -> dict[str, object]:
        return http_events.v1(
            request,
            api_id=self._api.logical_id,
            stage=self._api.stage,
            resource=found.route.path,
            path=path,
            path_parameters=found.parameters,
            binary_types=self._api.binary_types,
        )


class LocalEdge:
    """The one local port: what an HTTP API has a route for goes there, everything else to the proxy's Function URL."""

    def __init__(self, *, apis: Sequence[HttpApi], proxy: FunctionUrl) -> None:
        self._apis, self._proxy = apis, proxy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        method, path = scope["method"], scope["raw_path"].decode("latin-1")
        taken = next((api for api in self._apis if api.takes(method, path)), self._proxy)
        await taken(scope, receive, send)
