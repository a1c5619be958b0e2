"""Lambda's own API, as far as functions use it: Invoke, waiting for the answer. An ASGI app.

https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html
"""

import json
import re
from collections.abc import Callable, Collection

from navplane_local.http_answers import send_json
from navplane_local.http_request import ClientGone, Receive, RequestTooLarge, Scope, Send, read_request
from navplane_local.invocation import FunctionError, Invocation, TooManyRequests

PATH = re.compile(r"/2015-03-31/functions/([^/]+)/invocations")


class LambdaApi:
    """Functions are named by their logical ids, which is what Ref gives here."""

    def __init__(self, invoke: Callable[[str, bytes], Invocation], functions: Collection[str]) -> None:
        self._invoke, self._functions = invoke, functions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            request = await read_request(scope, receive)
        except (RequestTooLarge, ClientGone):
            return
        found = PATH.fullmatch(request.raw_path)
        if request.method != "POST" or found is None or found[1] not in self._functions:
            await send_json(send, 404, {"Type": "User", "Message": f"Function not found: {request.raw_path}"})
            return
        try:
            answer = await self._invoke(found[1], request.body).payload()
        except TooManyRequests:
            await send_json(send, 429, {"Type": "User", "message": "Rate Exceeded."})
        except FunctionError as exc:
            report = json.dumps({"errorType": exc.kind, "errorMessage": exc.message}).encode()
            await _send(send, report, (b"x-amz-function-error", b"Unhandled"))
        else:
            await _send(send, answer)


async def _send(send: Send, body: bytes, *headers: tuple[bytes, bytes]) -> None:
    listed = [(b"content-type", b"application/json"), *headers]
    await send({"type": "http.response.start", "status": 200, "headers": listed})
    await send({"type": "http.response.body", "body": body})
