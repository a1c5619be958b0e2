"""`GET /v1/models` without a provider's prefix: what this key may call, of all providers, in the dialect of who asks.

No provider is asked, so nothing is reserved; the gate's word is the same that an admission would have. Below a prefix
(`/openai/v1/models`) the list is the provider's own.
"""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

from navplane.errors import DependencyUnavailable
from navplane.gate.gate import Gate, Menu, Refusal
from navplane.gateway import record
from navplane.gateway.admit import error_of
from navplane.gateway.call import Call
from navplane.gateway.limits import Limits
from navplane.gateway.reply import Reply
from navplane.gateway.route import Route
from navplane.gateway.threads import Threads, run_in
from navplane.model.dialect import Dialect
from navplane.model.usage import Endpoint, Outcome
from navplane.upstream.providers import PROVIDERS, serving

# What a list of models is for.
_ENDPOINTS = {Dialect.OPENAI: Endpoint.CHAT_COMPLETIONS, Dialect.ANTHROPIC: Endpoint.MESSAGES}
# Nobody says when a model was made; both SDKs insist on a time.
_LONG_AGO = "1970-01-01T00:00:00Z"


def is_menu(route: Route) -> bool:
    return route.endpoint is Endpoint.MODELS and route.provider is None


class Menus:
    def __init__(self, gate: Gate, *, threads: Threads, limits: Limits) -> None:
        self._gate, self._threads, self._limits = gate, threads, limits

    async def answer(self, call: Call, key_digest: bytes, reply: Reply) -> None:
        """Raise the gate's refusal, or DependencyUnavailable."""
        try:
            async with asyncio.timeout(self._limits.gate):
                menu = await run_in(self._threads.gate, lambda: self._ask(call, key_digest))
        except TimeoutError as exc:
            raise DependencyUnavailable("It could not be told in time what this key may call.") from exc
        call.caller = menu.caller
        if isinstance(menu, Refusal):
            raise error_of(menu, call)
        body = json.dumps(_SHAPES[call.dialect](names_of(menu, call.dialect))).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await reply.start(200, [*headers, (b"x-navplane-request-id", str(call.request_id).encode())], events=False)
        await reply.write(body)
        await reply.end()
        call.outcome = Outcome.ABORTED if reply.deaf else Outcome.OK

    def _ask(self, call: Call, key_digest: bytes) -> Menu | Refusal:
        offering = offering_in(call.dialect)
        return self._gate.menu(key_digest, dialect=call.dialect, region=call.region, offering=offering, now=record.now())


def offering_in(dialect: Dialect) -> tuple[str, ...]:
    """Those whose models are known by name: what stands behind an address of one's own nobody else can list."""
    return tuple(
        provider.name
        for provider in PROVIDERS.values()
        if provider.dialect is dialect and _ENDPOINTS[dialect] in provider.paths and provider.address is None
    )


def names_of(menu: Menu, dialect: Dialect) -> list[tuple[str, str]]:
    """What to write into `model`, and whose it is: the bare name where it leads to the provider, else `provider/model`. An
    alias takes the place of a model of its name."""
    names = dict.fromkeys(menu.aliases, "route")
    for provider, model in menu.models:
        leads_to = serving(_ENDPOINTS[dialect], model)
        names.setdefault(model if leads_to is not None and leads_to.name == provider else f"{provider}/{model}", provider)
    return list(names.items())


def _for_openai(names: Sequence[tuple[str, str]]) -> dict[str, Any]:
    models = [{"id": name, "object": "model", "created": 0, "owned_by": owner} for name, owner in names]
    return {"object": "list", "data": models}


def _for_anthropic(names: Sequence[tuple[str, str]]) -> dict[str, Any]:
    models = [{"type": "model", "id": name, "display_name": name, "created_at": _LONG_AGO} for name, _ in names]
    first, last = (names[0][0], names[-1][0]) if names else (None, None)
    return {"data": models, "has_more": False, "first_id": first, "last_id": last}


_SHAPES = {Dialect.OPENAI: _for_openai, Dialect.ANTHROPIC: _for_anthropic}
