"""Keeping what was asked and answered, for workspaces that opted in. Nothing here can hold up or fail a call."""

import asyncio
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING
from uuid import UUID

from navplane.gate.gate import Caller, Gate
from navplane.gateway.headers import KeyFinder, spellings
from navplane.gateway.route import Route
from navplane.gateway.threads import Threads, run_in
from navplane.model.ids import RequestId
from navplane.model.kept_content import MAX_BYTES, KeptContent
from navplane.model.provider_key import Secret
from navplane.model.usage import Endpoint
from navplane.telemetry import logger

if TYPE_CHECKING:
    from navplane.gateway.call import Call

# How long a workspace's answer is gone by; the writer asks again before anything is stored.
MODE_SECONDS = 30.0
MAX_WORKSPACES = 4096
# How long a call waits to hear whether it is to be kept; it isn't if that takes longer.
CONTENT_SECONDS = 0.25
# Looked at beyond what is kept, so that no key is cut in two and passes unseen.
MARGIN_BYTES = 1024


class DataModes:
    """Which workspaces want content kept, as the gate said lately. Fails closed: what can't be told is not kept."""

    def __init__(self, gate: Gate, *, threads: Threads) -> None:
        self._gate, self._threads = gate, threads
        self._known: dict[UUID, tuple[float, bool]] = {}

    async def keeps(self, call: "Call") -> bool:
        """Whether the call's bodies are to be kept. Never raises but for a cancellation."""
        assert call.route is not None
        if call.caller is None or not is_keepable(call.route):
            return False
        caller, keeps = call.caller, self.at_hand(call.caller)
        # A remembered admission means that there is nobody to ask.
        if keeps is None and call.remembered is None:
            try:
                async with asyncio.timeout(CONTENT_SECONDS):
                    keeps = await run_in(self._threads.gate, lambda: self.ask(caller))
            except Exception as exc:
                logger.warning("content.unknown", extra={"request_id": str(call.request_id), "error": type(exc).__name__})
        return bool(keeps)

    def at_hand(self, caller: Caller) -> bool | None:
        """None where the gate has to be asked."""
        asked_at, keeps = self._known.get(caller.workspace_id, (0.0, False))
        return keeps if asked_at and time.monotonic() - asked_at < MODE_SECONDS else None

    def ask(self, caller: Caller) -> bool:
        """Raise DependencyUnavailable."""
        keeps = self._gate.keeps_content(caller)
        if len(self._known) >= MAX_WORKSPACES:
            self._known.clear()
        self._known[caller.workspace_id] = (time.monotonic(), keeps)
        return keeps


class Capture:
    """A copy of one call's bodies, up to a bound. `secret` is the provider's key, which is never kept."""

    def __init__(self, request: bytes, secret: Secret) -> None:
        self._request = request
        self._response = bytearray()
        self._spellings = spellings(secret.reveal())

    def answered(self, chunk: bytes) -> None:
        room = MAX_BYTES + MARGIN_BYTES - len(self._response)
        if room > 0:
            self._response += chunk[:room]

    def kept(self, request_id: RequestId, key_id: UUID, keys: KeyFinder) -> KeptContent | None:
        """None where a key stands in it, ours or the provider's: then none of it is kept."""
        response = bytes(self._response)
        if self._holds_a_key(self._request[: MAX_BYTES + MARGIN_BYTES], keys) or self._holds_a_key(response, keys):
            return None
        return KeptContent(
            request_id=request_id,
            key_id=key_id,
            request=self._request[:MAX_BYTES],
            response=response[:MAX_BYTES],
            request_truncated=len(self._request) > MAX_BYTES,
            response_truncated=len(response) > MAX_BYTES,
        )

    def _holds_a_key(self, text: bytes, keys: KeyFinder) -> bool:
        return keys.finds(text) or _stands_in(self._spellings, text)


def is_keepable(route: Route) -> bool:
    """Text that was sent in a body: no forms, no sound, and nothing that only looks at what is stored elsewhere."""
    return route.takes_body and not route.takes_form and route.endpoint is not Endpoint.SPEECH


def _stands_in(spelled: Sequence[bytes], text: bytes) -> bool:
    return any(spelling in text for spelling in spelled)
