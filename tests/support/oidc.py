"""The development issuer behind real HTTP: what the admin API's tokens come from in tests."""

import asyncio
import json
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from functools import cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from navplane_local.issuer import Issuer

from tests.support.http_script import Answer, Request, Script, ScriptedServer, serving


@cache
def rsa_key(name: str = "usual") -> rsa.RSAPrivateKey:
    """One key per name and test run: making one takes a tenth of a second."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@contextmanager
def issuing() -> Iterator[tuple[Issuer, ScriptedServer]]:
    """An issuer that answers, and the server it answers on."""
    with serving(lambda request: Answer(status=404)) as server:
        issuer = Issuer(server.url, rsa_key())
        server.script = answers_of(issuer)
        yield issuer, server


def answers_of(issuer: Issuer) -> Script:
    """All that the issuer answers: its documents, its sign-in page and its tokens."""
    return lambda request: asyncio.run(_answer(issuer, request))


async def _answer(issuer: Issuer, request: Request) -> Answer:
    path, _, query = request.path.partition("?")
    headers = [(name.encode(), value.encode()) for name, value in request.headers.items()]
    scope = {"type": "http", "method": request.method, "path": path, "query_string": query.encode(), "headers": headers}
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": request.body}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    await issuer(scope, receive, send)
    start, body = sent
    return Answer(
        status=start["status"],
        headers={name.decode(): value.decode() for name, value in start["headers"]},
        body=body["body"],
    )


def json_answer(document: object) -> Answer:
    return Answer(headers={"content-type": "application/json"}, body=json.dumps(document).encode())
