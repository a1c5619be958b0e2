"""Addresses that somebody typed: what their names lead to is looked at for every connection."""

import asyncio
import socket
from collections.abc import Sequence

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from navplane.errors import Invalid, UpstreamUnreachable
from navplane.model.provider_key import Secret
from navplane.upstream.address import NotPublic
from navplane.upstream.client import PublicResolver, UpstreamClient, UpstreamRequest
from navplane.upstream.origin import Origins
from navplane.upstream.provider import Origin
from navplane.upstream.providers import CUSTOM
from navplane.upstream.validate import validate_key

from tests.support.provider import FakeProvider, json_answer


class Names(AbstractResolver):
    """A name server that a test plays: each question gets the next answer, the last one again and again."""

    def __init__(self, answers: Sequence[Sequence[str]]) -> None:
        self._answers = list(answers)
        self.asked = 0

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> list[ResolveResult]:
        self.asked += 1
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        return [
            ResolveResult(hostname=host, host=address, port=port, family=socket.AF_INET, proto=0, flags=socket.AI_NUMERICHOST)
            for address in answer
        ]

    async def close(self) -> None:
        return None


def send(names: Names, origin: Origin, *, times: int = 1) -> list[type[BaseException]]:
    async def run() -> list[type[BaseException]]:
        client = UpstreamClient(Origins(overrides={}, demo_url=None), connect_seconds=2.0, names=lambda: names)
        failures = []
        for _ in range(times):
            try:
                await client.send(
                    UpstreamRequest(origin=origin, method="GET", path="/models", headers=(), first_byte_seconds=5)
                )
            except UpstreamUnreachable as exc:
                failures.append(BaseException if exc.billable else _root(exc))
        await client.aclose()
        return failures

    return asyncio.run(run())


def _root(error: BaseException) -> type[BaseException]:
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return type(error)


@pytest.mark.parametrize(
    "addresses", [["127.0.0.1"], ["169.254.169.254"], ["10.0.0.1"], ["8.8.8.8", "127.0.0.1"], ["127.0.0.1", "8.8.8.8"], []]
)
def test_name_that_leads_inside_is_never_connected_to(addresses: list[str]) -> None:
    with FakeProvider() as provider:
        origin = Origin(scheme="https", host="llm.example.com", port=provider.port, guarded=True)
        assert send(Names([addresses]), origin) == [NotPublic]
        assert provider.connections == 0


def test_name_is_looked_at_again_for_every_connection() -> None:
    """DNS rebinding: what a name led to when the key was stored, or a moment ago, says nothing of now."""
    names = Names([["127.0.0.1"], ["127.0.0.2"], ["127.0.0.1"]])
    with FakeProvider() as provider:
        origin = Origin(scheme="https", host="llm.example.com", port=provider.port, guarded=True)
        assert send(names, origin, times=3) == [NotPublic] * 3
        assert provider.connections == 0
    assert names.asked == 3


def test_what_was_looked_at_is_what_is_connected_to() -> None:
    names = Names([["8.8.8.8"], ["127.0.0.1"]])
    (found,) = asyncio.run(PublicResolver(names).resolve("llm.example.com", 443))
    assert (found["host"], found["hostname"], names.asked) == ("8.8.8.8", "llm.example.com", 1)


def test_key_for_an_address_inside_is_invalid() -> None:
    with FakeProvider() as provider:
        origin = Origin(scheme="https", host="localhost", port=provider.port, guarded=True)
        with pytest.raises(Invalid):
            validate_key(CUSTOM, Secret(b"sk-validate-1"), origin=origin)
        assert provider.connections == 0


def test_address_that_leads_back_to_a_navplane_is_invalid() -> None:
    with FakeProvider() as provider:
        provider.script(json_answer(b"{}", "508 Loop Detected"))
        with pytest.raises(Invalid):
            validate_key(CUSTOM, Secret(b"sk-validate-1"), origin=Origin.parse(provider.url))
