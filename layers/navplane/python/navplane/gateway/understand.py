"""From the bytes that a caller sent to what they ask for: read whole, read strictly, and named."""

import asyncio
from collections.abc import Awaitable, Callable
from urllib.parse import unquote_to_bytes

from navplane.errors import AmbiguousModel, BadFraming, BadQuery
from navplane.gateway import batches
from navplane.gateway.asgi import RawHeaders, Receive
from navplane.gateway.attributes import attributes_of
from navplane.gateway.batches import BatchPlan
from navplane.gateway.body import ModelCall, parse
from navplane.gateway.bounds import worst_of
from navplane.gateway.call import Call
from navplane.gateway.headers import KeyFinder
from navplane.gateway.intake import check_headers, check_media_type, read_body
from navplane.gateway.multipart import read_form
from navplane.gateway.route import check_query
from navplane.gateway.units import units_of
from navplane.model.usage import BATCH_CREATIONS, FILES_AND_BATCHES, Endpoint
from navplane.upstream.providers import serving

PlanOf = Callable[[Call, str], Awaitable[BatchPlan | None]]
LARGE_BODY_BYTES = 256 * 1024


class Understanding:
    """`seconds` bounds the wait for a body of at most `max_body_bytes`. `plan_of` knows what stands in an uploaded file."""

    def __init__(self, *, keys: KeyFinder, max_body_bytes: int, seconds: float, plan_of: PlanOf) -> None:
        self._keys, self._max_body_bytes, self._seconds = keys, max_body_bytes, seconds
        self._plan_of = plan_of

    def check(self, call: Call, query: bytes) -> None:
        """The query and the headers. Raise BadRequest for what is not to go on."""
        check_query(query)
        if self._keys.finds(unquote_to_bytes(query)):
            raise BadQuery("A key in the query string ends up in logs. Send it as Authorization: Bearer.")
        check_headers(call.headers)
        call.attributes = attributes_of(call.headers)

    async def read(self, call: Call, receive: Receive) -> tuple[bytes | None, ModelCall | None]:
        """The body and what it means, and so which provider it is for."""
        route = call.route
        assert route is not None
        call.provider = route.provider
        if not route.takes_body:
            self._name(call, route.model)
            return None, None
        check_media_type(call.headers, form=route.takes_form)
        body = await self._receive(receive, call.headers)
        if route.endpoint in FILES_AND_BATCHES:
            return body, await self._read_batch(call, body)
        request = await self._parse(call, body)
        call.request_bytes, call.stream = len(body), request.stream
        call.worst = worst_of(route.endpoint, request, request_bytes=len(body))
        call.background = route.endpoint is Endpoint.RESPONSES and request.says("background")
        call.units = units_of(route.endpoint, request)
        call.continues = request.text_of("previous_response_id")
        self._name(call, request.model)
        return body, request

    async def _read_batch(self, call: Call, body: bytes) -> ModelCall:
        """The requests of a batch as one, for its model, and with all that they may use together."""
        assert call.route is not None
        call.request_bytes, call.background = len(body), call.route.endpoint in BATCH_CREATIONS
        if call.route.endpoint is Endpoint.FILE_UPLOAD:
            call.plan = await asyncio.to_thread(batches.read_upload, body, call.headers)
        elif call.route.endpoint is Endpoint.MESSAGE_BATCHES:
            call.plan = await asyncio.to_thread(batches.read_message_batch, body)
        else:
            call.continues = file_id = batches.read_creation(body)
            call.plan = await self._plan_of(call, file_id)
        if call.plan is not None and call.background:
            call.worst = call.plan.worst
        self._name(call, call.plan.model if call.plan else None)
        return batches.as_call(call.plan)

    async def _receive(self, receive: Receive, headers: RawHeaders) -> bytes:
        try:
            async with asyncio.timeout(self._seconds):
                return await read_body(receive, headers, limit=self._max_body_bytes)
        except TimeoutError as exc:
            raise BadFraming(f"The body did not arrive within {self._seconds:.0f} seconds.") from exc

    async def _parse(self, call: Call, body: bytes) -> ModelCall:
        """A large body takes a while, in which other calls go on."""
        route = call.route
        assert route is not None
        form, named = route.takes_form, route.model

        def read() -> ModelCall:
            return read_form(body, call.headers, named=named) if form else parse(body, named=named)

        return read() if len(body) < LARGE_BODY_BYTES else await asyncio.to_thread(read)

    def _name(self, call: Call, model: str | None) -> None:
        """The model that is asked for, if any, and so the provider."""
        assert call.route is not None
        if model is not None and self._keys.finds(model.encode()):
            raise AmbiguousModel("The model's name holds an API key, and names end up in logs.")
        call.model = model
        call.provider = call.route.provider or serving(call.route.endpoint, model or "")
